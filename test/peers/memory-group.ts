/**
 * A control group with a memory limit, below the one this process stands in, so that all limits around us stay in force. Needs root, or a
 * delegated group. Version 2 where it has the memory controller, else version 1; both are enforced by the kernel.
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../src/base/fault.ts';
import { type Place, placesOf } from '../../src/platform/cgroup.ts';

export interface MemoryGroup {
  readonly version: 1 | 2;
  readonly path: string;
  /** Processes that the kernel ended in it for want of memory. */
  readonly kernelKills: () => number;
  /** The most that was ever charged to it, page cache included. */
  readonly peakBytes: () => number;
  /** Charged now. */
  readonly usedBytes: () => number;
  readonly remove: () => void;
}

export type OpenedMemoryGroup =
  | { readonly kind: 'opened'; readonly group: MemoryGroup }
  | { readonly kind: 'none'; readonly reason: string };

export function openMemoryGroup(limitBytes: number): OpenedMemoryGroup {
  const reasons: string[] = [];
  for (const place of placesOf('self').toSorted((a, b) => b.version - a.version)) {
    try {
      return { kind: 'opened', group: groupIn(place, limitBytes) };
    } catch (error) {
      reasons.push(`version ${place.version}: ${messageOf(error)}`);
    }
  }
  return { kind: 'none', reason: reasons.join('; ') || 'there are no control groups here' };
}

const files = {
  1: {
    limit: 'memory.limit_in_bytes',
    peak: 'memory.max_usage_in_bytes',
    used: 'memory.usage_in_bytes',
    kills: 'memory.oom_control',
  },
  2: { limit: 'memory.max', peak: 'memory.peak', used: 'memory.current', kills: 'memory.events' },
} as const;

/** The kernel lets go of a removed group's name only after a while. */
let made = 0;

function groupIn({ version, path: parent }: Place, limitBytes: number): MemoryGroup {
  const path = join(parent, `muster-test-${process.pid}-${made++}`);
  const { limit, peak, used, kills } = files[version];
  if (version === 2) writeFileSync(join(parent, 'cgroup.subtree_control'), '+memory');
  mkdirSync(path);
  try {
    writeFileSync(join(path, limit), String(limitBytes));
  } catch (error) {
    rmdirSync(path);
    throw error;
  }
  const number = (file: string): number => Number(readFileSync(join(path, file), 'utf8').trim());
  return {
    version,
    path,
    kernelKills: () => Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(path, kills), 'utf8'))?.[1] ?? Number.NaN),
    peakBytes: () => number(peak),
    usedBytes: () => number(used),
    remove: () => rmdirSync(path),
  };
}
