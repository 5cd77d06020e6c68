/**
 * The agent CLIs that the contract tests run on, at their pinned versions. They are not dependencies: together they take over 700 MB;
 * `npm run agents -- NAME...` installs them into `.agents/<name>` of the checkout, which git ignores.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export interface PinnedAgent {
  readonly package: string;
  readonly version: string;
  /** Candidates for the program, the first that exists counts: Codex's own binary rather than its launcher, so that its pid is the agent's. */
  readonly programs: readonly string[];
}

const platform = `${process.platform}-${process.arch}`;
const codexTriple = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-${process.platform === 'darwin' ? 'apple-darwin' : 'unknown-linux-musl'}`;

export const pinnedAgents: Readonly<Record<string, PinnedAgent>> = {
  claude: { package: '@anthropic-ai/claude-code', version: '2.1.328', programs: ['node_modules/.bin/claude'] },
  codex: {
    package: '@openai/codex',
    version: '0.169.0',
    programs: [`node_modules/@openai/codex-${platform}/vendor/${codexTriple}/bin/codex`, 'node_modules/.bin/codex'],
  },
  qwen: { package: '@qwen-code/qwen-code', version: '0.15.10', programs: ['node_modules/.bin/qwen'] },
  gemini: { package: '@google/gemini-cli', version: '0.61.0', programs: ['node_modules/.bin/gemini'] },
  opencode: { package: 'opencode-ai', version: '1.18.33', programs: ['node_modules/.bin/opencode'] },
  pi: { package: '@mariozechner/pi-coding-agent', version: '0.73.1', programs: ['node_modules/.bin/pi'] },
};

export const agentsFolder: string = join(import.meta.dirname, '../../.agents');

/** The installed program; undefined if it is not installed here. */
export const installedAgent = (name: string): string | undefined =>
  pinnedAgents[name]?.programs.map((path) => join(agentsFolder, name, path)).find((path) => existsSync(path));
