/** Finds an agent's program, and gives it the part of our environment that it may see. */
import { execFile } from 'node:child_process';
import { realpath, stat } from 'node:fs/promises';
import { findProgram } from '../platform/ask-program.ts';
import type { Agent, FoundAgent } from './agent.ts';

/** Agents that start through an interpreter take up to 3 s to print their version on a busy machine. */
const versionLimitMs = 10_000;
const versionOutputMax = 10_000;

export interface FindOptions {
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
  /** Program and first arguments, instead of the agent's own name on the path. */
  readonly command?: readonly string[];
}

/** Undefined if there is no such program, or it prints no version. */
export async function findAgent(agent: Agent, { path, env, command }: FindOptions): Promise<FoundAgent | undefined> {
  const [program = agent.executable, ...args] = command ?? [];
  const found = await findProgram(program, path, []);
  if (found === undefined) return undefined;
  const file = await realpath(found);
  const version = agent.parseVersion(await versionOutput(file, [...args, ...agent.versionArgs], env));
  return version === undefined ? undefined : { file, args, version };
}

/**
 * What a program printed is believed for so long while its files stay the same: a job asks at the door and at its start, and some agents
 * take seconds to answer. Longer would hide that a wrapper script now starts another version.
 */
const versionBelievedMs = 60_000;
/** Programs remembered; more are configured by nobody. */
const versionsKept = 50;
const versions = new Map<string, { readonly output: string; readonly askedAt: number }>();

async function versionOutput(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const marks = await Promise.all([file, ...args].map(fileMark));
  const key = JSON.stringify([file, args, marks]);
  const known = versions.get(key);
  if (known && performance.now() - known.askedAt < versionBelievedMs) return known.output;
  const output = await printed(file, args, env);
  versions.delete(key);
  if (output !== '') versions.set(key, { output, askedAt: performance.now() });
  for (const old of [...versions.keys()].slice(0, Math.max(0, versions.size - versionsKept))) versions.delete(old);
  return output;
}

/** Changes when the file does; empty for an argument that is no file. */
async function fileMark(path: string): Promise<string> {
  try {
    const { mtimeMs, size } = await stat(path);
    return `${mtimeMs} ${size}`;
  } catch {
    // An option, not a file.
    return '';
  }
}

function printed(file: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile(
      file,
      args,
      { env, timeout: versionLimitMs, maxBuffer: versionOutputMax, killSignal: 'SIGKILL' },
      (_, stdout) => resolve(stdout),
    );
    child.stdin?.end();
  });
}

const commonVariables = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LC_*',
  'TZ',
  'TMPDIR',
  'XDG_*',
  'SSH_AUTH_SOCK',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
];

/** The common variables and those that the adapter names; nothing else of ours. */
export function agentEnvironment(agent: Agent, env: NodeJS.ProcessEnv): Record<string, string> {
  const wanted = [...commonVariables, ...agent.environment];
  const allowed = (name: string): boolean =>
    wanted.some((pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value !== undefined && allowed(name) ? [[name, value]] : [])),
  );
}
