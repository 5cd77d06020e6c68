/**
 * A lock that at most one process holds, and that is free again the moment its holder is gone, however it went: an open write
 * transaction on a tiny SQLite file, which is a lock of the kernel. Who holds it stands as JSON in `<path>.holder` beside it. That file
 * is for people and for `doctor`; it decides nothing, so a stale or torn one does no harm.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { explained } from './sqlite-faults.ts';

/** As plain JSON: whatever identifies the holder, e.g. `{pid, startTicks, startedAt}`. */
export type LockHolder = Readonly<Record<string, unknown>>;

export interface Lock {
  readonly kind: 'acquired';
  /** Calling it twice is harmless. */
  readonly release: () => void;
}

export interface LockHeld {
  readonly kind: 'held';
  /** As the holder wrote it; undefined if it is just being taken, or was written by a program we don't know. */
  readonly by: LockHolder | undefined;
}

/** SQLITE_BUSY and SQLITE_LOCKED. */
const lockedCodes: readonly unknown[] = [5, 6];

/** Keeps the locks of this process alive: a database that nothing refers to is closed when memory is collected, and its lock is gone. */
const heldHere = new Set<DatabaseSync>();

/** Never waits. The folder must exist. Faults: LEDGER_UNREACHABLE, LEDGER_DAMAGED, DISK_FULL. */
export function acquireLock(path: string, holder: LockHolder): Lock | LockHeld {
  const database = explained(path, () => new DatabaseSync(path, { timeout: 0 }));
  try {
    database.exec('pragma journal_mode = delete; begin exclusive');
    writeFileSync(holderFile(path), JSON.stringify(holder), { mode: 0o600 });
  } catch (error) {
    database.close();
    if (error instanceof Error && 'errcode' in error && lockedCodes.includes(error.errcode)) {
      return { kind: 'held', by: readHolder(path) };
    }
    return explained(path, () => {
      throw error;
    });
  }
  heldHere.add(database);
  return { kind: 'acquired', release: () => releaseLock(path, database) };
}

/** The file itself stays: to remove it would let two processes lock two files of the same name. */
function releaseLock(path: string, database: DatabaseSync): void {
  if (!database.isOpen) return;
  rmSync(holderFile(path), { force: true });
  heldHere.delete(database);
  database.close();
}

const holderFile = (path: string): string => `${path}.holder`;

function readHolder(path: string): LockHolder | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(holderFile(path), 'utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    // Absent or half written: the holder is unknown, and that is what the answer says.
    return undefined;
  }
}
