/**
 * Who a process is, and how to end everything that one of ours started.
 *
 * A pid alone proves nothing: it is reused. An identity is pid + start time + boot id. What we start carries a secret mark in its
 * environment (`MUSTER_INSTANCE`), which descendants inherit through double forks and `setsid`; `sweep` ends what carries the mark, and
 * only that. A process that drops its environment (`env -i`) escapes the mark; the signal to its process group catches most of those.
 *
 * Linux reads /proc; macOS asks `ps`. A zombie is dead: it holds nothing but its exit status. Scans are cut into slices, so that the
 * event loop of a busy host never waits for one.
 */
import { execFile, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { delay } from '../base/wait.ts';
import { isZombie, statField, statFields, variableIn } from './proc.ts';

export interface ProcessIdentity {
  readonly pid: number;
  /** Start time as the system tells it: clock ticks since boot (Linux), start date (macOS). Only good to compare. */
  readonly startTicks: string;
  readonly bootId: string;
}

export interface MarkedProcess extends ProcessIdentity {
  /** Its mark: the value of `MUSTER_INSTANCE`. */
  readonly instance: string;
  /** For people: the command line, clipped, as the process presents it. */
  readonly command: string;
}

export const instanceVariable = 'MUSTER_INSTANCE';

/** /proc entries read per turn of the event loop: about 2 ms of work. */
const scanSlice = 64;
const commandCharactersMax = 200;
/** `ps` answers in tens of milliseconds; a machine on which it takes longer is in no state to be asked. */
const psLimitMs = 5000;

let bootIdOnce: string | undefined;

/** Names this boot of this machine: a pid and a start time of another boot say nothing about this one. */
export function bootId(): string {
  bootIdOnce ??=
    process.platform === 'linux'
      ? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
      : spawnSync('sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8', timeout: psLimitMs }).stdout.trim();
  return bootIdOnce;
}

/** The identity of a living process, undefined if there is none (a zombie counts as none). */
export function identify(pid: number): ProcessIdentity | undefined {
  const startTicks = process.platform === 'linux' ? startTicksOf(pid) : startDateOf(pid);
  return startTicks === undefined ? undefined : { pid, startTicks, bootId: bootId() };
}

/** True if this very process lives: not a zombie, not another one that got its number. */
export function isAlive(identity: ProcessIdentity): boolean {
  const now = identify(identity.pid);
  return now !== undefined && now.startTicks === identity.startTicks && now.bootId === identity.bootId;
}

/** Signals this very process. False if it is gone or not ours to signal. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch {
    // It went between the two lines, or belongs to another user.
    return false;
  }
}

/** All living processes, except this one, whose environment carries the mark. */
export async function findByMark(instance: string): Promise<MarkedProcess[]> {
  const marked = await findMarked();
  return marked.filter((found) => found.instance === instance);
}

/** All living processes, except this one, that carry any mark. */
export async function findMarked(): Promise<MarkedProcess[]> {
  return process.platform === 'linux' ? scanProc() : scanPs();
}

export interface Sweep {
  /** How many processes were ended. */
  readonly ended: number;
  /** What would not die in time: named, never hidden. */
  readonly survivors: readonly MarkedProcess[];
}

/** A process needs a moment to disappear after SIGKILL; one in an uninterruptible wait may need for ever. */
const sweepLimitMs = 2000;
const sweepPollMs = 10;
/** A process that forked during a scan can hide from it behind its parent's end: only two empty looks in a row prove that none is left. */
const emptyScansNeeded = 2;

export interface SweepOptions {
  /** What carries the mark may end by itself for so long before it is killed. Default 0. */
  readonly graceMs?: number;
  /** After the grace. Default 2 s. */
  readonly limitMs?: number;
}

/** Kills everything that carries the mark, or one of several, until two looks in a row find nothing. */
export async function sweep(marks: string | ReadonlySet<string>, options: SweepOptions = {}): Promise<Sweep> {
  const graceMs = options.graceMs ?? 0;
  const isMarked = ({ instance }: MarkedProcess): boolean =>
    typeof marks === 'string' ? marks === instance : marks.has(instance);
  const look = async (): Promise<MarkedProcess[]> => (await findMarked()).filter(isMarked);
  if (graceMs > 0) await awaitEnds(await look(), graceMs);
  const until = performance.now() + (options.limitMs ?? sweepLimitMs);
  const killed = new Set<string>();
  let empty = 0;
  let found: MarkedProcess[] = [];
  while (empty < emptyScansNeeded) {
    found = await look();
    empty = found.length === 0 ? empty + 1 : 0;
    for (const one of found) if (signalProcess(one, 'SIGKILL')) killed.add(`${one.pid} ${one.startTicks}`);
    if (performance.now() > until) break;
    // Also between empty scans: a process in the middle of `exec` shows no environment for a moment.
    if (empty < emptyScansNeeded) await delay(sweepPollMs);
  }
  const survivors = found.filter(isAlive);
  return { ended: Math.max(0, killed.size - survivors.length), survivors };
}

async function awaitEnds(processes: readonly ProcessIdentity[], graceMs: number): Promise<void> {
  const until = performance.now() + graceMs;
  while (performance.now() < until && processes.some(isAlive)) await delay(sweepPollMs);
}

function startTicksOf(pid: number): string | undefined {
  const stat = readProc(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const fields = statFields(stat);
  return isZombie(fields) ? undefined : fields[statField.startTicks];
}

/** Undefined where the process is gone or belongs to somebody else. */
function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // ENOENT and ESRCH: gone. EACCES: another user's, which can't be ours.
    return undefined;
  }
}

async function scanProc(): Promise<MarkedProcess[]> {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const found: MarkedProcess[] = [];
  for (const [index, name] of pids.entries()) {
    if (index % scanSlice === scanSlice - 1) await nextTurn();
    const instance = variableIn(readProc(`/proc/${name}/environ`) ?? '', instanceVariable);
    const identity = instance === undefined ? undefined : identify(Number(name));
    if (instance === undefined || identity === undefined) continue;
    const command = (readProc(`/proc/${name}/cmdline`) ?? '').split('\0').join(' ').trim();
    found.push({ ...identity, instance, command: command.slice(0, commandCharactersMax) });
  }
  return found;
}

function startDateOf(pid: number): string | undefined {
  const asked = ['-ww', '-o', 'pid=,state=,lstart=,command=', '-p', String(pid)];
  return parsePsRow(spawnSync('ps', asked, { encoding: 'utf8', timeout: psLimitMs }).stdout)?.startTicks;
}

const psRow = /^\s*(\d+)\s+(\S+)\s+(\w{3}\s+\w{3}\s+\d+\s+[\d:]+\s+\d{4})\s+(.*)$/;

/** macOS: `E` appends the environment to the command, for processes of the same user that are not protected by the system. */
async function scanPs(): Promise<MarkedProcess[]> {
  const { stdout } = await promisify(execFile)('ps', ['-axEww', '-o', 'pid=,state=,lstart=,command='], {
    timeout: psLimitMs,
    maxBuffer: 64 * 1024 * 1024,
  });
  const found: MarkedProcess[] = [];
  for (const line of stdout.split('\n')) {
    const row = parsePsRow(line);
    const instance = / MUSTER_INSTANCE=(\S+)/.exec(line)?.[1];
    if (row === undefined || instance === undefined || row.pid === process.pid) continue;
    found.push({ ...row, instance });
  }
  return found;
}

function parsePsRow(line: string): Omit<MarkedProcess, 'instance'> | undefined {
  const [, pid, state, started, command] = psRow.exec(line) ?? [];
  if (pid === undefined || started === undefined || state?.startsWith('Z')) return undefined;
  return {
    pid: Number(pid),
    startTicks: started.replace(/\s+/g, ' '),
    bootId: bootId(),
    command: (command ?? '').slice(0, commandCharactersMax),
  };
}
