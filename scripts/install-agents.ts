/**
 * `node scripts/install-agents.ts claude codex`: installs the agent CLIs that the contract tests run on, at their pinned versions, into
 * `.agents/<name>` of this checkout, which git ignores. They are not dependencies: together they take over 700 MB. Prints for each the
 * program and the version that it tells.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Pinned {
  readonly package: string;
  readonly version: string;
  /** Candidates for the program, the first that exists counts: Codex's own binary rather than its launcher, so that its pid is the agent's. */
  readonly programs: readonly string[];
}

const platform = `${process.platform}-${process.arch}`;
const codexTriple = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-${process.platform === 'darwin' ? 'apple-darwin' : 'unknown-linux-musl'}`;

const pinned: Readonly<Record<string, Pinned>> = {
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

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '.agents');
const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in pinned));
if (names.length === 0 || unknown.length > 0) {
  process.stderr.write(`usage: node scripts/install-agents.ts NAME...   (${Object.keys(pinned).join(', ')})\n`);
  process.exit(2);
}

for (const name of names) {
  const agent = pinned[name];
  if (agent) process.stdout.write(`${name}  ${install(name, agent)}\n`);
}

function install(name: string, agent: Pinned): string {
  const dir = join(root, name);
  mkdirSync(dir, { recursive: true });
  if (!existsSync(join(dir, 'package.json'))) writeFileSync(join(dir, 'package.json'), '{"private":true}\n');
  const wanted = `${agent.package}@${agent.version}`;
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--save-exact', wanted], {
    cwd: dir,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const program = agent.programs.map((path) => join(dir, path)).find((path) => existsSync(path));
  if (program === undefined) throw new Error(`${wanted} was installed, but none of its programs is there`);
  return `${execFileSync(program, ['--version'], { encoding: 'utf8' }).trim()}  ${program}`;
}
