/** `npm run agents -- claude codex`: installs agents for the contract tests, and prints for each the program and the version it tells. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { agentsFolder, installedAgent, type PinnedAgent, pinnedAgents } from '../test/agents/pinned.ts';

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in pinnedAgents));
if (names.length === 0 || unknown.length > 0) {
  process.stderr.write(`usage: npm run agents -- NAME...   (${Object.keys(pinnedAgents).join(', ')})\n`);
  process.exit(2);
}

for (const name of names) {
  const agent = pinnedAgents[name];
  if (agent) process.stdout.write(`${name}  ${install(name, agent)}\n`);
}

function install(name: string, agent: PinnedAgent): string {
  const dir = join(agentsFolder, name);
  mkdirSync(dir, { recursive: true });
  if (!existsSync(join(dir, 'package.json'))) writeFileSync(join(dir, 'package.json'), '{"private":true}\n');
  const wanted = `${agent.package}@${agent.version}`;
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--save-exact', wanted], {
    cwd: dir,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const program = installedAgent(name);
  if (program === undefined) throw new Error(`${wanted} was installed, but none of its programs is there`);
  return `${execFileSync(program, ['--version'], { encoding: 'utf8' }).trim()}  ${program}`;
}
