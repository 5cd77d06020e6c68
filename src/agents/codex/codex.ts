import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Agent } from '../agent.ts';
import { shellOrSlashCommand } from '../commands.ts';
import { unkeptAmong } from '../rules.ts';
import { codexMemory, interpretCodex } from './interpret.ts';
import { prepareCodex } from './prepare.ts';
import { whyCodexCannot } from './rules.ts';
import { codexComposer } from './screen.ts';

/** Codex, attended: its TUI with OSC 7501, title, rollout file and, last, the screen. */
export const codex: Agent = {
  id: 'codex',
  title: 'Codex',
  testedRange: '0.169.0',
  isTested: (version) => version === '0.169.0',
  executable: 'codex',
  versionArgs: ['--version'],
  parseVersion: (output) => /\b(\d+\.\d+\.\d+\S*)/.exec(output)?.[1],
  environment: ['OPENAI_*', 'CODEX_HOME', 'CODEX_API_KEY', 'AZURE_OPENAI_API_KEY'],
  personaFile: 'AGENTS.md',
  prepare: prepareCodex,
  unkeptRules: (rules) => unkeptAmong(rules, whyCodexCannot),
  memory: codexMemory,
  interpret: interpretCodex,
  keys: {
    settleMs: 300,
    submit: '\r',
    allow: 'y',
    /** Denies and ends the turn; Codex has no key that denies and goes on. */
    deny: '\u001b',
    interrupt: '\u001b',
    clear: '\u000b\u0015',
    quit: ['/quit', '\r'],
  },
  commandOf: shellOrSlashCommand,
  adopted: {
    packages: ['@openai/codex'],
    composer: codexComposer,
    environment: ['HOME', 'CODEX_HOME'],
    traces: (env) => {
      const dir = join(env.CODEX_HOME ?? join(env.HOME ?? homedir(), '.codex'), 'sessions');
      return {
        watches: [{ kind: 'rows', path: undefined, source: 'transcript' }],
        conversation: { dir, suffix: '.jsonl', by: 'open-file' },
      };
    },
  },
};
