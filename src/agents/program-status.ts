/**
 * OSC 7501, the Program Status Protocol (revisions 0.1 to 0.4, 2026): `key=value:key=value`. `msg` and `title` are base64.
 * Only the root record speaks for the session; records with an id belong to its parts.
 */

import { oneLine } from '../base/text.ts';
import type { Evidence, Observation } from '../protocol/state.ts';
import { isPlanLimit, turnError } from './errors.ts';

export interface ProgramStatus {
  readonly state: string;
  readonly kind: string | undefined;
  readonly message: string;
}

/** Longest sequence that the protocol allows. */
const sequenceMax = 4096;

/** `text` is what stands after `7501;`. Undefined for queries, records of parts, and anything malformed. */
export function parseProgramStatus(text: unknown): ProgramStatus | undefined {
  if (typeof text !== 'string' || text.length > sequenceMax) return undefined;
  const fields = new Map(
    text.split(':').flatMap((field): [string, string][] => {
      const at = field.indexOf('=');
      return at > 0 ? [[field.slice(0, at), field.slice(at + 1)]] : [];
    }),
  );
  const state = fields.get('state');
  if (state === undefined || fields.has('id')) return undefined;
  const message = oneLine(Buffer.from(fields.get('msg') ?? '', 'base64').toString('utf8'), 500);
  return { state, kind: fields.get('kind'), message };
}

/** `isSetup` tells a dialog of the agent's own start (trust) from a question about a tool call. */
export function interpretProgramStatus(
  observation: Observation,
  isSetup: (status: ProgramStatus) => boolean,
): readonly Evidence[] {
  const status = parseProgramStatus(observation.payload);
  if (!status) return [];
  const claim = claimOf(status, isSetup(status), observation.at);
  if (!claim) return [];
  const kind = status.kind === undefined ? '' : ` ${oneLine(status.kind, 30)}`;
  return [{ source: 'osc7501', at: observation.at, reason: `7501 ${oneLine(status.state, 30)}${kind}`, ...claim }];
}

type Claim = Omit<Evidence, 'source' | 'at' | 'reason'>;

function claimOf(status: ProgramStatus, isSetup: boolean, at: number): Claim | undefined {
  switch (status.state) {
    case 'idle':
      return { state: 'idle' };
    case 'working':
      return { state: 'working' };
    case 'done':
      return { state: 'done', turn: 'ended' };
    case 'error': {
      const error = turnError(undefined, status.message);
      return { state: isPlanLimit(status.message) ? 'limited' : 'failed', turn: 'ended', error };
    }
    case 'blocked':
      return isSetup ? { state: 'setup' } : blockedClaim(status, at);
    default:
      return undefined;
  }
}

function blockedClaim(status: ProgramStatus, at: number): Claim {
  if (status.kind === 'permission') {
    return { state: 'permission', permission: { id: `p${at}`, tool: '', summary: status.message } };
  }
  if (status.kind === 'auth') return { state: 'setup' };
  return { state: 'question' };
}
