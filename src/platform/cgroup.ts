/**
 * Control groups of Linux: what the kernel allows a process to use beyond what the machine has, and a group of our own for one session.
 *
 * Order of the parts: where a process stands (`/proc/PID/cgroup` and the mounts), what its groups leave it (`groupMemory`, version 2 and
 * version 1), and groups that we make below the one we stand in (`openSessionGroup`, version 2 only).
 *
 * Invariants: a limit counts of every group from the process's own up to the root, because each of them can be the tightest; whatever is
 * missing or unreadable is `undefined` or "has none: why", never a guess. macOS and BSD have no control groups: they say so.
 * Files: Linux kernel documentation, cgroup-v2.rst and cgroup-v1/memory.rst.
 */
import { accessSync, constants, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { messageOf } from '../base/fault.ts';
import { delay } from '../base/wait.ts';

export interface GroupMemory {
  /** Limit of the tightest group. */
  readonly limitBytes: number;
  /** What that group can still take: page cache that the kernel would give back counts as free. */
  readonly availableBytes: number;
}

export interface Place {
  readonly version: 1 | 2;
  /** Folder of the hierarchy, and of the process's group in it. */
  readonly mount: string;
  readonly path: string;
}

/** A limit above this is none: version 1 says "unlimited" as 2^63 rounded to pages. */
const unlimitedBytes = 2 ** 60;
/** Groups between a process and the root; deeper trees have not been seen. */
const depthMax = 32;

/** What the control groups of a process leave it; undefined if none limits memory, or none can be read. */
export function groupMemory(pid: number | 'self'): GroupMemory | undefined {
  return placesOf(pid)
    .flatMap((place) => upwards(place).map((path) => readMemory(place.version, path)))
    .filter((found) => found !== undefined)
    .toSorted((a, b) => a.availableBytes - b.availableBytes)[0];
}

/** PSI of the process's own group, "some avg10" in percent; version 2 only. */
export function groupPressureText(pid: number | 'self'): string | undefined {
  const place = placesOf(pid).find(({ version }) => version === 2);
  return place && read(join(place.path, 'memory.pressure'));
}

/** Where a process stands in the hierarchies that can limit memory. */
export function placesOf(pid: number | 'self'): readonly Place[] {
  if (process.platform !== 'linux') return [];
  const groups = read(`/proc/${pid}/cgroup`)?.split('\n') ?? [];
  const mounts = read('/proc/self/mountinfo')?.split('\n') ?? [];
  return groups.flatMap((line): Place[] => {
    const [hierarchy, controllers = '', path = '/'] = splitOnce(line);
    const version = hierarchy === '0' ? 2 : controllers.split(',').includes('memory') ? 1 : undefined;
    const mount = version && mountOf(mounts, version);
    return mount === undefined || version === undefined ? [] : [{ version, mount, path: join(mount, path) }];
  });
}

/** `4:memory:/a:b` is hierarchy, controllers and path; the path may hold colons. */
const splitOnce = (line: string): readonly string[] => /^(\d+):([^:]*):(.*)$/.exec(line)?.slice(1) ?? [];

/** `36 35 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory`: the mount point is the fifth word, the type follows the dash. */
function mountOf(mounts: readonly string[], version: 1 | 2): string | undefined {
  const found = mounts.find((line) => {
    const [, type = '', , options = ''] = / - (\S+) (\S+) (\S+)$/.exec(line) ?? [];
    return version === 2 ? type === 'cgroup2' : type === 'cgroup' && options.split(',').includes('memory');
  });
  return found?.split(' ')[4];
}

function upwards({ mount, path }: Place): readonly string[] {
  const all: string[] = [];
  for (let at = path; all.length < depthMax && at.startsWith(mount); at = dirname(at)) all.push(at);
  return all;
}

function readMemory(version: 1 | 2, path: string): GroupMemory | undefined {
  const [limitFile, usedFile] =
    version === 2 ? ['memory.max', 'memory.current'] : ['memory.limit_in_bytes', 'memory.usage_in_bytes'];
  const limit = Number(read(join(path, limitFile))?.trim()); // "max" is NaN: no limit
  const used = Number(read(join(path, usedFile))?.trim());
  if (!(limit < unlimitedBytes) || Number.isNaN(used)) return undefined;
  return {
    limitBytes: limit,
    availableBytes: Math.max(0, limit - used + reclaimable(read(join(path, 'memory.stat')))),
  };
}

/** As the kernel reckons MemAvailable: idle cache counts, of the active half. Version 1 has the sums over children as `total_`. */
function reclaimable(stat: string | undefined): number {
  const value = (name: string): number =>
    Number(new RegExp(`^(?:total_)?${name} (\\d+)$`, 'm').exec(totalsOf(stat ?? ''))?.[1] ?? 0);
  return value('inactive_file') + value('active_file') / 2 + value('slab_reclaimable') / 2;
}

/** In version 1 the plain names are of the group alone; only the totals count. */
const totalsOf = (stat: string): string =>
  stat.includes('total_inactive_file')
    ? stat
        .split('\n')
        .filter((line) => line.startsWith('total_'))
        .join('\n')
    : stat;

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // gone, not there on this system, or not ours to read: all mean that it can't be known
  }
}

// --- a group for one session

export interface SessionGroup {
  readonly path: string;
  /** True if the kernel keeps the session's memory under the limit that was asked for. */
  readonly limited: boolean;
  /** Ends everything in it at once, whatever it did to hide. */
  readonly kill: () => boolean;
  /** What the kernel had to end in it for want of memory; undefined if it does not tell. */
  readonly oomKills: () => number | undefined;
  /** It must be empty; a group of which something lives on is left, and false says so. */
  readonly remove: () => Promise<boolean>;
}

export type OpenedGroup =
  | { readonly kind: 'opened'; readonly group: SessionGroup }
  | { readonly kind: 'none'; readonly reason: string };

export interface GroupOptions {
  /** Letters, digits and dashes. */
  readonly name: string;
  readonly pid: number;
  /** Undefined: no limit, only the exact kill. */
  readonly memoryBytesMax: number | undefined;
}

/** Over this share of its limit the kernel slows a session down and takes its cache, before it has to end something in it. */
const highShare = 0.9;
/** A killed process leaves its group within milliseconds. */
const removeTries = 20;
const removePollMs = 25;

/**
 * The group of a session that may have had one, for whoever did not make it: an image of the host that took over, for example. Undefined
 * if there is none.
 */
export function findSessionGroup(name: string): SessionGroup | undefined {
  const own = placesOf('self').find(({ version }) => version === 2);
  if (!own) return undefined;
  const path = groupPath(own, name);
  return read(join(path, 'cgroup.procs')) === undefined ? undefined : sessionGroupAt(path, limitOf(path) !== undefined);
}

/** Whether a limit per session can be had here, in words for people. */
export function sessionLimits(): { readonly kind: 'possible' } | { readonly kind: 'none'; readonly reason: string } {
  const own = placesOf('self').find(({ version }) => version === 2);
  if (!own) return { kind: 'none', reason: noGroups() };
  const controllers = read(join(own.path, 'cgroup.controllers'))?.trim().split(' ') ?? [];
  if (!controllers.includes('memory'))
    return {
      kind: 'none',
      reason: `control groups here have no memory controller (${controllers.join(', ') || 'none at all'})`,
    };
  try {
    accessSync(join(own.path, 'cgroup.procs'), constants.W_OK);
    accessSync(own.path, constants.W_OK);
    return { kind: 'possible' };
  } catch {
    return { kind: 'none', reason: `${own.path} is not delegated to this user` };
  }
}

const groupPath = (own: Place, name: string): string => join(own.path, `muster-${name}`);
const limitOf = (path: string): number | undefined => {
  const limit = Number(read(join(path, 'memory.max'))?.trim());
  return limit < unlimitedBytes ? limit : undefined;
};

/** Puts a process that was just started, and with it all that it will start, into a group of its own below ours. */
export function openSessionGroup({ name, pid, memoryBytesMax }: GroupOptions): OpenedGroup {
  const own = placesOf('self').find(({ version }) => version === 2);
  if (!own) return { kind: 'none', reason: noGroups() };
  const path = groupPath(own, name);
  try {
    mkdirSync(path);
  } catch (error) {
    return { kind: 'none', reason: `no control group can be made here: ${messageOf(error)}` };
  }
  const group = sessionGroupAt(path, memoryBytesMax !== undefined && limitMemory(own.path, path, memoryBytesMax));
  try {
    writeFileSync(join(path, 'cgroup.procs'), String(pid));
    return { kind: 'opened', group };
  } catch (error) {
    void group.remove();
    return { kind: 'none', reason: `the control group does not take the process: ${messageOf(error)}` };
  }
}

const noGroups = (): string =>
  process.platform === 'linux'
    ? 'this system has no control groups of version 2'
    : `${process.platform === 'darwin' ? 'macOS' : process.platform} has no control groups`;

function limitMemory(parent: string, path: string, bytes: number): boolean {
  try {
    // Refused while processes stand in the parent itself, unless it is the root; then it was perhaps enabled by whoever delegated it.
    writeFileSync(join(parent, 'cgroup.subtree_control'), '+memory');
  } catch {
    // The next lines show whether it is there.
  }
  try {
    writeFileSync(join(path, 'memory.high'), String(Math.floor(bytes * highShare)));
    writeFileSync(join(path, 'memory.max'), String(bytes));
    return true;
  } catch {
    return false; // no memory controller here: said by `limited`
  }
}

function sessionGroupAt(path: string, limited: boolean): SessionGroup {
  return {
    path,
    limited,
    kill: () => {
      try {
        writeFileSync(join(path, 'cgroup.kill'), '1');
        return true;
      } catch {
        return false; // before Linux 5.14, or the group is gone already
      }
    },
    oomKills: () => {
      const count = /^oom_kill (\d+)$/m.exec(read(join(path, 'memory.events')) ?? '')?.[1];
      return count === undefined ? undefined : Number(count);
    },
    remove: async () => {
      for (let tries = 0; tries < removeTries; tries += 1) {
        try {
          rmdirSync(path);
          return true;
        } catch {
          await delay(removePollMs); // EBUSY: something in it is still on its way out
        }
      }
      return read(join(path, 'cgroup.procs')) === undefined;
    },
  };
}
