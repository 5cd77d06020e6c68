/**
 * What a long-lived process of this home says about itself in `run/daemon.json` and `run/host.json`: who it is, so that a later reader
 * can tell whether it is still that process. A record is a claim, never a proof: check it with `isAlive`, or by asking the process.
 */
import { readFile } from 'node:fs/promises';
import { isErrno, messageOf } from '../base/fault.ts';

export interface ProcessRecord {
  readonly pid: number;
  readonly startTicks: string;
  readonly bootId: string;
  readonly startedAt: number;
  readonly version: string;
  /** Where the daemon listens; the host has none. */
  readonly url: string | undefined;
}

export type RecordFound =
  | { readonly kind: 'absent' }
  | { readonly kind: 'unreadable'; readonly reason: string }
  | { readonly kind: 'found'; readonly record: ProcessRecord };

export async function readProcessRecord(file: string): Promise<RecordFound> {
  try {
    const record = parse(JSON.parse(await readFile(file, 'utf8')));
    return record ? { kind: 'found', record } : { kind: 'unreadable', reason: `${file} has not the expected fields` };
  } catch (error) {
    return isErrno(error, 'ENOENT')
      ? { kind: 'absent' }
      : { kind: 'unreadable', reason: `${file}: ${messageOf(error)}` };
  }
}

function parse(value: unknown): ProcessRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { pid, startTicks, bootId, startedAt, version, url } = value as Readonly<Record<string, unknown>>;
  if (!Number.isSafeInteger(pid) || Number(pid) <= 0) return undefined;
  if (typeof startTicks !== 'string' || typeof bootId !== 'string' || typeof startedAt !== 'number') return undefined;
  return {
    pid: Number(pid),
    startTicks,
    bootId,
    startedAt,
    version: String(version),
    url: typeof url === 'string' ? url : undefined,
  };
}
