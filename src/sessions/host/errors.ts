import type { HostErrorCode } from '../../protocol/host.ts';

/** A refusal that goes to the caller as `error` of the reply. */
export class HostError extends Error {
  readonly code: HostErrorCode;

  constructor(code: HostErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
