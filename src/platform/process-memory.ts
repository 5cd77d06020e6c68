/**
 * How much memory everything holds that carries a mark, for all marks in one look at the process table.
 *
 * Linux: a look reads the names in /proc, and of marked processes one line each (`stat`). Whose mark a process carries is read once per
 * process and remembered; one without a mark is looked at again now and then, because between fork and exec a process still has its
 * parent's environment. Shared pages are counted in parts (PSS), but reading PSS costs the kernel a walk through all pages of a process:
 * so it is read now and then, and in between the resident size is scaled by what the last one showed. macOS asks `ps` once per look and
 * counts shared pages in full.
 */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { isZombie, statField, statFields, variableIn } from './proc.ts';
import { instanceVariable } from './processes.ts';

export interface MemoryScan {
  /** Bytes by mark, of all marks that are there. */
  readonly look: () => Promise<ReadonlyMap<string, number>>;
}

interface Known {
  /** Tells it from a later process with the same number. */
  readonly startTicks: string;
  /** Undefined: carries none. */
  readonly mark: string | undefined;
  readonly markedAtLook: number;
  /** Proportional size by resident size, at most 1. */
  share: number;
  shareAtLook: number;
}

/** Looks after which a process without a mark is asked again: a new one within the next few seconds. */
const unmarkedLooks = 3;
/** Looks after which the share of pages of its own is read anew; also when the resident size has changed a lot. */
const shareLooks = 12;
const shareChange = 0.25;
/** Files read at the same time. */
const readersMax = 16;
const pageBytes = 4096;
const psLimitMs = 5000;

export function openMemoryScan(): MemoryScan {
  if (process.platform !== 'linux') return { look: lookByPs };
  const known = new Map<number, Known>();
  const residents = new Map<number, number>();
  let look = 0;

  const identify = async (pid: number, startTicks: string): Promise<Known> => {
    const before = known.get(pid);
    const isSame = before?.startTicks === startTicks;
    if (before && isSame && (before.mark !== undefined || look - before.markedAtLook < unmarkedLooks)) return before;
    const found: Known = {
      startTicks,
      mark: await markOf(pid),
      markedAtLook: look,
      share: 1,
      shareAtLook: -shareLooks,
    };
    known.set(pid, found);
    return found;
  };
  const sizeOf = async (pid: number): Promise<{ mark: string; bytes: number } | undefined> => {
    const before = known.get(pid);
    // Nothing but its number is read of one that had no mark a moment ago.
    if (before && before.mark === undefined && look - before.markedAtLook < unmarkedLooks) return undefined;
    const stat = await statOf(pid);
    if (!stat) return undefined;
    const one = await identify(pid, stat.startTicks);
    if (one.mark === undefined) return undefined;
    const last = residents.get(pid) ?? 0;
    const moved = Math.abs(stat.residentBytes - last) > last * shareChange;
    if (moved || look - one.shareAtLook >= shareLooks) {
      const proportional = await proportionalBytes(pid);
      one.share = proportional === undefined ? 1 : Math.min(1, proportional / Math.max(1, stat.residentBytes));
      one.shareAtLook = look;
      residents.set(pid, stat.residentBytes);
    }
    return { mark: one.mark, bytes: stat.residentBytes * one.share };
  };

  return {
    look: async () => {
      look += 1;
      const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
      const there = new Set(pids);
      for (const pid of known.keys()) {
        if (there.has(pid)) continue;
        known.delete(pid);
        residents.delete(pid);
      }
      const sums = new Map<string, number>();
      for (let at = 0; at < pids.length; at += readersMax) {
        for (const size of await Promise.all(pids.slice(at, at + readersMax).map(sizeOf)))
          if (size) sums.set(size.mark, (sums.get(size.mark) ?? 0) + size.bytes);
      }
      return sums;
    },
  };
}

/** Undefined where the process is gone or belongs to somebody else. */
const read = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined);

async function markOf(pid: number): Promise<string | undefined> {
  return variableIn((await read(`/proc/${pid}/environ`)) ?? '', instanceVariable);
}

async function statOf(pid: number): Promise<{ startTicks: string; residentBytes: number } | undefined> {
  const fields = statFields((await read(`/proc/${pid}/stat`)) ?? '');
  const [startTicks, pages] = [fields[statField.startTicks], fields[statField.residentPages]];
  if (startTicks === undefined || pages === undefined || isZombie(fields)) return undefined;
  return { startTicks, residentBytes: Number(pages) * pageBytes };
}

async function proportionalBytes(pid: number): Promise<number | undefined> {
  const kilobytes = /^Pss:\s+(\d+) kB/m.exec((await read(`/proc/${pid}/smaps_rollup`)) ?? '')?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

async function lookByPs(): Promise<ReadonlyMap<string, number>> {
  const { stdout } = await promisify(execFile)('ps', ['-axEww', '-o', 'rss=,command='], {
    timeout: psLimitMs,
    maxBuffer: 64 * 1024 * 1024,
  });
  return sumsOfPs(stdout);
}

/** Rows of `ps -axEww -o rss=,command=`: kilobytes, the command, its environment. */
export function sumsOfPs(text: string): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, kilobytes, mark] = /^\s*(\d+)\s.* MUSTER_INSTANCE=(\S+)/.exec(line) ?? [];
    if (mark !== undefined) sums.set(mark, (sums.get(mark) ?? 0) + Number(kilobytes) * 1024);
  }
  return sums;
}
