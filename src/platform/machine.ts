/** What the machine has to spare: memory, pressure, disk space, and how much memory one process holds. Everything in bytes. */
import { execFile } from 'node:child_process';
import { readFile, statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { isErrno } from '../base/fault.ts';
import { groupMemory, groupPressureText } from './cgroup.ts';

const run = promisify(execFile);

/** `ps` answers at once; a machine on which it does not can't tell. */
const psLimitMs = 2000;

export interface Memory {
  /** What a new process could get without swapping; respects a container's limit. */
  readonly availableBytes: number;
  /** The machine's memory, or the container's limit where that is smaller. */
  readonly totalBytes: number;
}

export function memory(): Memory {
  const limit = process.constrainedMemory();
  const total = totalmem();
  return { availableBytes: process.availableMemory(), totalBytes: limit > 0 && limit < total ? limit : total };
}

/** What sessions can have: the machine's memory or that of the tightest control group around any of the given processes. */
export async function sessionMemory(pids: readonly (number | 'self')[]): Promise<Memory> {
  const machine = await machineMemory();
  const groups = pids.map(groupMemory).filter((group) => group !== undefined);
  return {
    availableBytes: Math.min(machine.availableBytes, ...groups.map((group) => group.availableBytes)),
    totalBytes: Math.min(machine.totalBytes, ...groups.map((group) => group.limitBytes)),
  };
}

async function machineMemory(): Promise<Memory> {
  if (process.platform !== 'darwin') return memory();
  // What Node calls available on macOS are the free pages alone, of which a healthy machine has few.
  // It not being there says nothing about memory; then the free pages have to do.
  const told = await run('vm_stat', [], { timeout: psLimitMs }).catch(() => ({ stdout: '' }));
  return { availableBytes: parseVmStat(told.stdout) ?? memory().availableBytes, totalBytes: totalmem() };
}

/** Pages that are free or that macOS gives away without swapping, from `vm_stat`; undefined if it speaks another language. */
export function parseVmStat(text: string): number | undefined {
  const pageBytes = Number(/page size of (\d+) bytes/.exec(text)?.[1]);
  const pages = (name: string): number => Number(new RegExp(`^Pages ${name}:\\s+(\\d+)`, 'm').exec(text)?.[1]);
  const bytes = pageBytes * (pages('free') + pages('inactive') + pages('speculative'));
  return Number.isNaN(bytes) ? undefined : bytes;
}

/** The higher one of the machine and of the control group of the given process. */
export async function sessionPressure(pid: number | 'self'): Promise<number | undefined> {
  const machine = await memoryPressure();
  const group = parsePressure(groupPressureText(pid) ?? '');
  return machine === undefined || group === undefined ? (machine ?? group) : Math.max(machine, group);
}

/**
 * Share of the last 10 seconds in which some process waited for memory, in percent (Linux PSI, "some avg10").
 * Undefined where the kernel does not tell (macOS, Linux without PSI).
 */
export async function memoryPressure(): Promise<number | undefined> {
  try {
    return parsePressure(await readFile('/proc/pressure/memory', 'utf8'));
  } catch {
    return undefined; // no PSI here, or not readable in this container: both mean that we can't know
  }
}

export function parsePressure(text: string): number | undefined {
  const found = /^some avg10=([\d.]+)/m.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

export interface DiskSpace {
  /** The folder that was asked about: the path itself or its nearest parent that exists. */
  readonly path: string;
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Space on the file system on which `path` lies or would be made. Throws the system's error if it can't be asked. */
export async function diskSpace(path: string): Promise<DiskSpace> {
  let at = path;
  for (;;) {
    try {
      const { bavail, blocks, bsize } = await statfs(at);
      return { path: at, freeBytes: bavail * bsize, totalBytes: blocks * bsize };
    } catch (error) {
      const parent = dirname(at);
      if (!isErrno(error, 'ENOENT') || parent === at) throw error;
      at = parent;
    }
  }
}

/** Resident memory of a process; undefined if it is gone or may not be read. */
export async function residentBytes(pid: number): Promise<number | undefined> {
  try {
    if (process.platform === 'linux') {
      const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
      return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
    }
    const { stdout } = await run('ps', ['-o', 'rss=', '-p', String(pid)], { timeout: psLimitMs });
    const kilobytes = Number(stdout.trim());
    return kilobytes > 0 ? kilobytes * 1024 : undefined;
  } catch {
    return undefined; // it ended meanwhile, or belongs to somebody else
  }
}
