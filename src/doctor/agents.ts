/** Which agent CLIs are installed, in which version, and whether the adapters were tested with it. */

import type { Agent } from '../agents/agent.ts';
import { agents, findAgent } from '../agents/index.ts';
import { oneLine } from '../base/text.ts';
import { type Finding, failure, fine, warning } from './check.ts';

type Commands = Readonly<Record<string, readonly string[] | undefined>>;

export async function agentFindings(env: NodeJS.ProcessEnv, commands: Commands): Promise<readonly Finding[]> {
  const all = [...agents.values()];
  const findings = await Promise.all(all.map((agent) => agentFinding(agent, env, commands[agent.id])));
  const present = findings.filter((finding) => finding !== undefined);
  const missing = all.filter((_, index) => findings[index] === undefined).map(({ id }) => id);
  if (present.length === 0) {
    return [
      failure(`none of ${missing.join(', ')}`, 'Install one of them, or set its "command" in the configuration.'),
    ];
  }
  return missing.length === 0 ? present : [...present, { ...fine(missing.join(', ')), what: 'agents not installed' }];
}

async function agentFinding(
  agent: Agent,
  env: NodeJS.ProcessEnv,
  command: readonly string[] | undefined,
): Promise<Finding | undefined> {
  const what = agent.title;
  try {
    const found = await findAgent(agent, {
      path: env.PATH ?? '',
      env: defined(env),
      ...(command === undefined ? {} : { command }),
    });
    if (found === undefined) return undefined;
    const where = `${oneLine(found.version, 60)} at ${oneLine([found.file, ...found.args].join(' '), 200)}`;
    if (agent.isTested(found.version)) return { ...fine(where), what };
    return {
      ...warning(
        `${where}; tested with ${agent.testedRange}`,
        'It will probably work; watch its states, or install a tested version.',
      ),
      what,
    };
  } catch (error) {
    return { verdict: 'unknown', found: oneLine(String(error), 200), what };
  }
}

const defined = (env: NodeJS.ProcessEnv): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
