/**
 * Processes that this home has started and nobody looks after any more. Everything that a session or a verify command starts carries a mark.
 * A session's mark stands in `session.json` of its folder; a command's is made for the occasion, and is ours if it works inside the home.
 * Marked processes that are neither belong to other homes and are never touched.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type { Home } from '../platform/home.ts';
import { daemonMark } from '../platform/own-processes.ts';
import { findMarked, type MarkedProcess, sweep } from '../platform/processes.ts';

export type Owner =
  | { readonly kind: 'session'; readonly id: string; readonly ended: boolean }
  | { readonly kind: 'command' };

export interface Owned {
  readonly process: MarkedProcess;
  readonly owner: Owner;
}

export interface Marked {
  readonly ours: readonly Owned[];
  /** How many marked processes are not of this home. */
  readonly others: number;
}

export async function markedProcesses(home: Home): Promise<Marked> {
  const marked = await findMarked();
  if (marked.length === 0) return { ours: [], others: 0 };
  const sessions = await readMarks(home);
  const ours: Owned[] = [];
  for (const process of marked) {
    const owner = sessions.get(process.instance) ?? (await commandOwner(home, process));
    if (owner) ours.push({ process, owner });
  }
  return { ours, others: marked.length - ours.length };
}

/** Mark → session, for every session that has a readable record. */
async function readMarks(home: Home): Promise<ReadonlyMap<string, Owner>> {
  const names = await readdir(home.sessions).catch(() => []);
  const marks = await Promise.all(names.map((name) => readMark(join(home.sessions, name, 'session.json'))));
  return new Map(marks.filter((mark) => mark !== undefined));
}

async function readMark(file: string): Promise<readonly [string, Owner] | undefined> {
  try {
    const { id, instance, exit } = JSON.parse(await readFile(file, 'utf8')) as Readonly<Record<string, unknown>>;
    if (typeof id !== 'string' || typeof instance !== 'string' || instance === '') return undefined;
    return [instance, { kind: 'session', id, ended: exit !== null }];
  } catch {
    return undefined; // a folder without a readable record has no mark that we could know
  }
}

/** Prefixes of the marks that `platform/command.ts` and the gates give to commands. */
const commandMarks = ['command-', 'verify-'];

/** Only where the system tells the working folder of a process (Linux); elsewhere it counts as not ours. */
async function commandOwner(home: Home, { pid, instance }: MarkedProcess): Promise<Owner | undefined> {
  if (instance === daemonMark(home)) return { kind: 'command' };
  if (!commandMarks.some((prefix) => instance.startsWith(prefix))) return undefined;
  const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
  return cwd.startsWith(home.dir + sep) ? { kind: 'command' } : undefined;
}

/** Ends all of it; only for when neither a daemon nor a host of this home is left. Gives the number of processes ended. */
export async function sweepLeftovers(home: Home): Promise<number> {
  const { ours } = await markedProcesses(home);
  let ended = 0;
  for (const instance of new Set(ours.map(({ process }) => process.instance))) ended += (await sweep(instance)).ended;
  return ended;
}
