import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Agent } from '../agent.ts';
import { shellOrSlashCommand } from '../commands.ts';
import { answerNameOf, decisionOutput } from '../hooks.ts';
import { claudeMemory, interpretClaude } from './interpret.ts';
import { prepareClaude } from './prepare.ts';
import { claudeComposer } from './screen.ts';

/** Claude Code, attended: its TUI with hooks, session file, OSC 7501 and, last, the screen. */
export const claude: Agent = {
  id: 'claude',
  title: 'Claude Code',
  testedRange: '2.1.197 - 2.1.328',
  isTested: (version) => {
    const found = /^2\.1\.(\d+)$/.exec(version);
    return found !== null && Number(found[1]) >= 197 && Number(found[1]) <= 328;
  },
  executable: 'claude',
  versionArgs: ['--version'],
  parseVersion: (output) => /^(\d+\.\d+\.\d+\S*)/.exec(output.trim())?.[1],
  /** Not CLAUDE_CODE_*: a daemon started from within a session must not hand that session's marks on. */
  environment: [
    'ANTHROPIC_*',
    'CLAUDE_CONFIG_DIR',
    'CLAUDE_CODE_OAUTH_TOKEN',
    'CLAUDE_CODE_USE_BEDROCK',
    'CLAUDE_CODE_USE_VERTEX',
    'CLAUDE_CODE_USE_FOUNDRY',
    'CLAUDE_CODE_MAX_RETRIES',
    'CLAUDE_CODE_MAX_OUTPUT_TOKENS',
    'CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC',
    'CLOUD_ML_REGION',
    'AWS_REGION',
    'AWS_PROFILE',
    'AWS_BEARER_TOKEN_BEDROCK',
    'DISABLE_TELEMETRY',
  ],
  personaFile: '.claude/CLAUDE.md',
  prepare: prepareClaude,
  unkeptRules: () => [],
  memory: claudeMemory,
  interpret: interpretClaude,
  keys: {
    settleMs: 300,
    submit: '\r',
    /** The first choice is Yes in every version seen, and its number chooses at once. */
    allow: '1',
    deny: '\u001b',
    interrupt: '\u001b',
    /** To the end of the line, then to its beginning; a long paste is one placeholder. */
    clear: '\u000b\u0015',
    newConversation: '/clear',
    quit: ['/exit', '\r'],
  },
  commandOf: shellOrSlashCommand,
  adopted: {
    packages: ['@anthropic-ai/claude-code'],
    composer: claudeComposer,
    environment: ['HOME', 'CLAUDE_CONFIG_DIR'],
    traces: (env) => {
      const dir = env.CLAUDE_CONFIG_DIR ?? join(env.HOME ?? homedir(), '.claude');
      return {
        watches: [
          { kind: 'json-file', path: join(dir, 'sessions', '{pid}.json'), source: 'sessionFile' },
          { kind: 'rows', path: undefined, source: 'transcript' },
        ],
        conversation: { dir: join(dir, 'projects'), suffix: '.jsonl', by: 'resume-id' },
      };
    },
  },
  answerFile: (permission, decision) => {
    const name = answerNameOf(permission);
    return name === undefined ? undefined : { name, content: decisionOutput(decision) };
  },
};
