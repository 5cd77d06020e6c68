/** The agents of the contract tests: how each is set up in a fresh HOME as its owner would have left it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installedAgent } from './pinned.ts';

export interface Subject {
  readonly name: 'claude' | 'codex' | 'qwen';
  readonly version: string;
  readonly program: string | undefined;
  /** Prepares a fresh HOME as its owner would have left it, and says what the agent's environment is. */
  readonly home: (home: string, modelPort: number, repository: string) => Record<string, string>;
  /** Codex asks only where the model asks for more than its sandbox allows. */
  readonly asking: string;
  readonly sources: number;
}

const qwen = join(import.meta.dirname, '../../node_modules/.bin/qwen');

export const subjects: readonly Subject[] = [
  {
    name: 'claude',
    version: '2.1.328',
    program: installedAgent('claude'),
    home: (home, port, repository) => {
      const seeded = {
        hasCompletedOnboarding: true,
        customApiKeyResponses: { approved: ['sk-scripted-key'] },
        projects: { [repository]: { hasTrustDialogAccepted: true } },
      };
      writeFileSync(join(home, '.claude.json'), JSON.stringify(seeded));
      return {
        HOME: home,
        ANTHROPIC_BASE_URL: `http://127.0.0.1:${port}`,
        ANTHROPIC_API_KEY: 'sk-scripted-key',
        CLAUDE_CODE_MAX_RETRIES: '3',
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      };
    },
    asking: '',
    sources: 2,
  },
  {
    name: 'codex',
    version: '0.169.0',
    program: installedAgent('codex'),
    home: (home, port) => {
      mkdirSync(join(home, '.codex'));
      writeFileSync(
        join(home, '.codex', 'config.toml'),
        [
          'model = "gpt-5.5"',
          'model_provider = "scripted"',
          'check_for_update_on_startup = false',
          '[model_providers.scripted]',
          'name = "scripted"',
          `base_url = "http://127.0.0.1:${port}/v1"`,
          'wire_api = "responses"',
          'env_key = "OPENAI_API_KEY"',
          'request_max_retries = 3',
          'stream_max_retries = 3',
          '[tui]',
          'screen_reader_detection_done = true',
          '[notice.model_migrations]',
          '"gpt-5.5" = "gpt-6-sol"',
          '',
        ].join('\n'),
      );
      return { HOME: home, OPENAI_API_KEY: 'scripted-key' };
    },
    asking: ',"escalate":true',
    sources: 2,
  },
  {
    name: 'qwen',
    version: '0.15.10',
    program: qwen,
    home: (home, port) => {
      mkdirSync(join(home, '.qwen'));
      writeFileSync(
        join(home, '.qwen', 'settings.json'),
        JSON.stringify({ security: { auth: { selectedType: 'openai' } } }),
      );
      return {
        HOME: home,
        OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`,
        OPENAI_API_KEY: 'scripted-key',
        OPENAI_MODEL: 'scripted-model',
      };
    },
    asking: '',
    sources: 2,
  },
];

for (const subject of subjects) {
  if (subject.program === undefined)
    console.log(
      `skipped: ${subject.name} ${subject.version} is not installed; \`npm run agents -- ${subject.name}\` does it`,
    );
}
