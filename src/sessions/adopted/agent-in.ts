/**
 * Which agent runs in a terminal that is not ours. The name that tmux shows is often `node` or `bash`: the processes below the pane are
 * asked, by what they were called with. The nearest to the pane counts, because agents start helpers that look like themselves.
 */
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { Agent } from '../../agents/agent.ts';
import { descendants, type ProcessRow, processRow, programFile } from '../../platform/process-tree.ts';
import { identify, type ProcessIdentity } from '../../platform/processes.ts';
import type { AgentId } from '../../protocol/session.ts';

export interface FoundProcess {
  readonly agent: Agent;
  readonly row: ProcessRow;
}

const shells = [
  'sh',
  'bash',
  'zsh',
  'fish',
  'dash',
  'ash',
  'ksh',
  'tcsh',
  'csh',
  'nu',
  'pwsh',
  'login',
  'tmux',
  'screen',
];

/** Words before the name of the script: `node --flag script`, `npx tool`, `env tool`. */
const wordsLookedAt = 4;

export const programName = (row: ProcessRow): string => nameOf(row.argv[0] ?? '');

const nameOf = (word: string): string =>
  basename(word)
    .replace(/^-/, '')
    .replace(/\.(?:[cm]?js|exe)$/, '')
    .split(' ', 1)[0] ?? '';

export const isShell = (row: ProcessRow): boolean => shells.includes(programName(row));

/** The adapter whose program this process is. */
function agentOf(row: ProcessRow, agents: ReadonlyMap<AgentId, Agent>): Agent | undefined {
  const interpreted = /^(node|nodejs|bun|deno|env|npx|python\d*)$/.test(programName(row));
  const words = interpreted ? row.argv.slice(0, wordsLookedAt) : row.argv.slice(0, 1);
  return [...agents.values()].find((agent) =>
    words.some(
      (word) =>
        !word.startsWith('--') &&
        (nameOf(word) === agent.executable ||
          agent.adopted.packages.some((name) => word.includes(`/node_modules/${name}/`))),
    ),
  );
}

/** The agent below a process. With `wanted`, one of another kind is none, and an unknown program in front is taken for it. */
export function agentBelow(
  table: ReadonlyMap<number, ProcessRow>,
  root: number,
  { agents, wanted }: { readonly agents: ReadonlyMap<AgentId, Agent>; readonly wanted: Agent | undefined },
): FoundProcess | undefined {
  return agentAmong(descendants(table, root), { agents, wanted });
}

export function agentAmong(
  rows: readonly ProcessRow[],
  { agents, wanted }: { readonly agents: ReadonlyMap<AgentId, Agent>; readonly wanted: Agent | undefined },
): FoundProcess | undefined {
  for (const row of rows) {
    const agent = agentOf(row, agents);
    if (agent && (wanted === undefined || agent === wanted)) return { agent, row };
    if (agent) return undefined;
  }
  if (!wanted) return undefined;
  const front = rows.find((row) => row.group === row.foreground && !isShell(row));
  return front && { agent: wanted, row: front };
}

/** Undefined: gone. Whether it reads the terminal now: a stopped one, or one behind a shell, does not. */
export async function inFront(identity: ProcessIdentity): Promise<boolean | undefined> {
  const now = identify(identity.pid);
  if (now?.startTicks !== identity.startTicks || now.bootId !== identity.bootId) return undefined;
  const row = await processRow(identity.pid);
  return row && row.group === row.foreground;
}

/** From the place where its program lies; empty where that does not tell. Nothing is started to ask. */
export async function versionOf({ agent, row }: FoundProcess): Promise<string> {
  const file = (await programFile(row.pid)) ?? '';
  const numbered = /\/(\d+\.\d+\.\d+[^/]*)$/.exec(file)?.[1];
  if (numbered !== undefined) return numbered;
  const script = row.argv.slice(0, wordsLookedAt).find((word) => isAbsolute(word) && word !== file) ?? file;
  return script === '' ? '' : packageVersion(await realpath(script).catch(() => script), agent);
}

/** Native builds lie in a package of their own beside the main one: `@openai/codex-linux-x64`. */
const isPackageOf = ({ adopted }: Agent, name: unknown): boolean =>
  typeof name === 'string' && adopted.packages.some((each) => name === each || name.startsWith(`${each}-`));

/** Folders between a program and its package.json. */
const depthMax = 6;

async function packageVersion(script: string, agent: Agent): Promise<string> {
  let dir = dirname(script);
  for (let depth = 0; depth < depthMax; depth += 1, dir = dirname(dir)) {
    try {
      const told = JSON.parse(await readFile(join(dir, 'package.json'), 'utf8')) as {
        name?: unknown;
        version?: unknown;
      };
      if (!isPackageOf(agent, told.name)) return '';
      return typeof told.version === 'string' ? (/^\d+\.\d+\.\d+/.exec(told.version)?.[0] ?? '') : '';
    } catch {
      // None here, or not readable: the next folder up.
    }
  }
  return '';
}
