/** What SQLite's errors mean to people: faults that name the file. */
import { Fault } from '../base/fault.ts';

/** Errors that `run` throws become faults where the cause is known; others stay as they are. */
export function explained<T>(file: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw sqliteFault(file, error);
  }
}

/** Primary result codes of sqlite.org/rescode.html; the extended ones hold the primary one in their low byte. */
const codes = {
  busy: 5,
  locked: 6,
  readOnly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
} as const;
/** SQLITE_IOERR_SHMSIZE: the shared memory file can't grow, which happens when the disk is full. */
const shmSize = 4874;

const unreachableCodes: readonly unknown[] = [
  codes.readOnly,
  codes.io,
  codes.cannotOpen,
  'EACCES',
  'EROFS',
  'ENOENT',
  'EISDIR',
];

function sqliteFault(file: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const extended = 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : undefined;
  const code = extended === undefined ? undefined : extended & 0xff;
  const system = 'code' in error ? error.code : undefined;
  const options = { subject: file, cause: error };
  if (extended === shmSize || system === 'ENOSPC' || system === 'EDQUOT' || code === codes.full) {
    return new Fault('DISK_FULL', `No space left to write ${file}`, {
      ...options,
      hint: 'Free some space; nothing was half written.',
    });
  }
  if (code === codes.corrupt || code === codes.notADatabase) {
    return new Fault('LEDGER_DAMAGED', `${file} is not readable as a ledger: ${error.message}`, {
      ...options,
      hint: 'Keep the file, and put a copy back in its place (the safety copies lie beside it).',
    });
  }
  if (code === codes.busy || code === codes.locked) {
    return new Fault('LEDGER_BUSY', `${file} is locked by another process`, {
      ...options,
      hint: 'See who has it open and end that program.',
    });
  }
  if (unreachableCodes.includes(code ?? system)) {
    return new Fault('LEDGER_UNREACHABLE', `${file} can not be opened or written: ${error.message}`, {
      ...options,
      hint: 'Check that the folder exists, that it is yours, and that its file system is writable.',
    });
  }
  return error;
}
