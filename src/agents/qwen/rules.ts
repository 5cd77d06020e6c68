/** What Qwen Code 0.15 can keep: read from its `rule-parser.ts` and `permissionFlow.ts`. */
import type { PermissionMode, PermissionRule } from '../../protocol/rules.ts';
import type { RuleWords } from '../rules.ts';

export const qwenWords: RuleWords = {
  tools: {
    shell: ['Bash'],
    read: ['Read'],
    edit: ['Edit'],
    fetch: ['WebFetch'],
    search: ['web_search'],
    agent: ['Agent'],
  },
  detailed: { shell: 'Bash', read: 'Read', edit: 'Edit', fetch: 'WebFetch' },
};

/** Kinds for which `auto-edit` says yes before a rule is asked. */
const unaskedInEdits = ['edit', 'fetch', 'search'];

export function whyQwenCannot({ decision, tool, command }: PermissionRule, mode: PermissionMode): string | undefined {
  if (decision === 'ask' && mode === 'all') return 'with permissions "all" Qwen Code asks nothing';
  if (decision === 'ask' && mode === 'edits' && unaskedInEdits.includes(tool))
    return 'with permissions "edits" Qwen Code does not ask about this kind of tool';
  // To Qwen every command is the beginning of one. For ask and deny that is on the safe side.
  if (decision === 'allow' && command !== undefined && !command.endsWith(' *'))
    return 'Qwen Code would allow every command that begins so';
  return undefined;
}
