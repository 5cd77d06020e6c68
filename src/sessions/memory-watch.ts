/** Measures what sessions hold, all in one look, every few seconds while there are any. */
import { messageOf } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { openMemoryScan } from '../platform/process-memory.ts';

export interface Measured {
  /** Of everything that the session started. */
  readonly mark: string;
  readonly note: (bytes: number) => void;
}

export interface MemoryWatch {
  /** Looks now, unless the last look is younger. Never throws. */
  readonly measure: (maxAgeMs: number) => Promise<void>;
  readonly close: () => void;
}

/** A look costs some 5 ms: a thousandth of a core. */
const everyMs = 5000;
/** Smaller changes are no news: a session's view goes to every face. */
const stepBytes = 2 * 1024 * 1024;

export function openMemoryWatch(options: {
  readonly sessions: () => readonly Measured[];
  readonly log: Log;
}): MemoryWatch {
  const scan = openMemoryScan();
  let lookedAt = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | undefined;
  const look = async (): Promise<void> => {
    const sessions = options.sessions();
    if (sessions.length === 0) return;
    const sums = await scan.look();
    lookedAt = performance.now();
    for (const { mark, note } of sessions) {
      const bytes = sums.get(mark);
      if (bytes !== undefined) note(Math.round(bytes / stepBytes) * stepBytes);
    }
  };
  const measure = (maxAgeMs: number): Promise<void> => {
    if (performance.now() - lookedAt < maxAgeMs) return Promise.resolve();
    looking ??= look()
      .catch((error: unknown) => options.log.warn({ cause: messageOf(error) }, 'memory could not be measured'))
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };
  const timer = setInterval(() => void measure(0), everyMs);
  return { measure, close: () => clearInterval(timer) };
}
