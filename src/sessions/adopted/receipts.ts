/** Proof that a prompt arrived: a turn that began after it was typed, by the word of any source. */
import type { Receipt } from '../../protocol/session.ts';
import type { LiveSession } from '../live-session.ts';

export interface AdoptedInput {
  readonly inputId: string;
  readonly text: string;
  /** How long to wait for the agent's prompt before the input is refused. */
  readonly readyMs: number;
  readonly signal?: AbortSignal;
}

export const startedAfter = ({ facts }: LiveSession, at: number): boolean => (facts.turn.startedAt ?? 0) >= at;

export function acceptedReceipt({ facts }: LiveSession): Receipt {
  const { turn, recent, evidence } = facts;
  const startedAt = turn.startedAt ?? evidence.at;
  const proof =
    recent.find((each) => each.at >= startedAt && (each.turn === 'started' || each.state === 'working')) ?? evidence;
  return { kind: 'accepted', at: startedAt, by: proof.source, reason: proof.reason };
}
