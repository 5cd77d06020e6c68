import { type FaultCode, faults } from './faults.ts';

export interface FaultOptions {
  /** What the reader can do about it. */
  readonly hint?: string;
  /** The field, path or id that it is about. */
  readonly subject?: string;
  readonly cause?: unknown;
}

/** The one error class for expected errors: a code of the closed table, a message that names the thing, and a hint. */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly code: FaultCode;
  readonly hint: string | undefined;
  readonly subject: string | undefined;

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.subject = options.subject;
  }

  get status(): number {
    return faults[this.code].status;
  }

  get exit(): number {
    return faults[this.code].exit;
  }
}

/** Turns anything thrown into a `Fault`; what we did not foresee is `INTERNAL`, a full disk is told as such. */
export function toFault(error: unknown): Fault {
  if (error instanceof Fault) return error;
  if (isErrno(error, 'ENOSPC') || isErrno(error, 'EDQUOT') || /database or disk is full/.test(messageOf(error))) {
    return new Fault('DISK_FULL', `No space left: ${messageOf(error)}`, {
      cause: error,
      hint: 'Free some space; nothing was half written.',
    });
  }
  return new Fault('INTERNAL', messageOf(error), { cause: error });
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export const isErrno = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;
