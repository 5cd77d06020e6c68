/** The host's log: one JSON line each on descriptor 2, which is a file. A full disk or a defect that repeats must not end the host. */
import { writeSync } from 'node:fs';
import { isoInstant, systemClock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';

/** After so many lines of one host the log falls silent, but for a last word. */
const linesMax = 20_000;

export function openHostLog(): Log {
  let lines = 0;
  const write = (level: string, fields: object, message: string): void => {
    if (++lines > linesMax) return;
    const last = lines === linesMax ? { last: 'no more lines are written' } : {};
    const line = { at: isoInstant(systemClock()), level, pid: process.pid, message, ...fields, ...last };
    try {
      writeSync(2, `${JSON.stringify(line)}\n`);
    } catch {
      // ENOSPC: what matters is told to the daemon as a value; the log is for people only.
    }
  };
  return {
    info: (fields, message) => write('info', fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message),
  };
}
