import type { RuleWords } from '../rules.ts';

/** Claude Code 2.1 (code.claude.com/docs/en/permissions). `Task` is what older versions call `Agent`. */
export const claudeWords: RuleWords = {
  tools: {
    shell: ['Bash'],
    read: ['Read', 'Grep', 'Glob'],
    edit: ['Edit', 'Write', 'NotebookEdit'],
    fetch: ['WebFetch'],
    search: ['WebSearch'],
    agent: ['Task', 'Agent'],
  },
  detailed: { shell: 'Bash', read: 'Read', edit: 'Edit', fetch: 'WebFetch' },
};
