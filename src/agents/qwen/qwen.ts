import type { Agent } from '../agent.ts';
import { qwenCommand } from '../commands.ts';
import { unkeptAmong } from '../rules.ts';
import { interpretQwen, qwenMemory } from './interpret.ts';
import { prepareQwen } from './prepare.ts';
import { whyQwenCannot } from './rules.ts';
import { qwenComposer } from './screen.ts';

/** Qwen Code, attended: its TUI with hooks and the screen. */
export const qwen: Agent = {
  id: 'qwen',
  title: 'Qwen Code',
  testedRange: '0.15.10',
  isTested: (version) => version === '0.15.10',
  executable: 'qwen',
  versionArgs: ['--version'],
  parseVersion: (output) => /\b(\d+\.\d+\.\d+\S*)/.exec(output)?.[1],
  environment: ['OPENAI_API_KEY', 'OPENAI_BASE_URL', 'OPENAI_MODEL', 'DASHSCOPE_API_KEY', 'QWEN_HOME', 'BAILIAN_*'],
  personaFile: 'QWEN.md',
  prepare: prepareQwen,
  unkeptRules: (rules, mode) => unkeptAmong(rules, (rule) => whyQwenCannot(rule, mode)),
  memory: qwenMemory,
  interpret: interpretQwen,
  keys: {
    settleMs: 300,
    submit: '\r',
    allow: '1',
    deny: '\u001b',
    interrupt: '\u001b',
    /** An emptied line goes with a backspace only. */
    clear: '\u000b\u0015\u007f',
    quit: ['/quit', '\r'],
  },
  commandOf: qwenCommand,
  adopted: {
    packages: ['@qwen-code/qwen-code'],
    composer: qwenComposer,
    environment: [],
    traces: () => ({ watches: [] }),
  },
};
