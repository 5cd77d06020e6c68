/**
 * How an agent's keyboard is reached, what all inputs share, and the interrupt (SPEC.md, [I6]); prompts are in prompt.ts, answers to
 * permissions in answer.ts. Every input ends in a receipt.
 */

import { promptStates } from '../agents/agent.ts';
import { Fault, toFault } from '../base/fault.ts';
import { oneLine } from '../base/text.ts';
import type { Receipt } from '../protocol/session.ts';
import type { ScreenView, SessionState } from '../protocol/state.ts';
import { hostErrorOf } from './host-client.ts';
import type { HostLink } from './host-link.ts';
import type { LiveSession } from './live-session.ts';

/** An answer to a permission, and an interrupt, show as fast; a model call in flight may delay the latter. */
export const reactionMs = 6000;

/** How bytes reach the agent's terminal. */
export interface Keyboard {
  /** Writes at most once per input id; the time when it was written. */
  readonly write: (inputId: string, data: string) => Promise<number>;
  /** When each of these was written; null: not yet. */
  readonly written: (inputIds: string[]) => Promise<Record<string, number | null>>;
  /** How the terminal looks now. */
  readonly screen: () => Promise<ScreenView>;
  /** Answers and interrupts of one terminal take turns, where its holder wants it. */
  readonly inTurn: <T>(act: () => Promise<T>) => Promise<T>;
}

/** The keyboard of a session of our own: its PTY in the host. */
export const hostKeyboard = (host: HostLink, sessionId: string): Keyboard => ({
  write: async (inputId, data) => (await host.call('write', { sessionId, inputId, data })).at,
  written: async (inputIds) => (await host.call('inputs', { sessionId, inputIds })).at,
  screen: async () => (await host.call('snapshot', { sessionId })).screen,
  inTurn: (act) => act(),
});

export interface PromptInput {
  readonly inputId: string;
  readonly text: string;
  /** How long to wait for the agent's prompt before the input is refused. */
  readonly readyMs: number;
  /** Empties the box first if a draft of somebody else stands in it. */
  readonly overDraft?: boolean;
  /** Sends a text also if the agent takes it for a command. */
  readonly raw?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * What a piece of work with a keyboard ends in if its way breaks off: refused while certainly nothing was typed, unknown from the first
 * key on. Every key of it goes through the keyboard that it is given; `typed` is asked for what an earlier try may have typed. [I6]
 */
export async function withReceipt(
  { keyboard, clock, typedBefore }: { keyboard: Keyboard; clock: () => number; typedBefore?: () => boolean },
  act: (keyboard: Keyboard) => Promise<Receipt>,
): Promise<Receipt> {
  let typed = false;
  const write = async (inputId: string, data: string): Promise<number> => {
    const before = typed;
    typed = true;
    return keyboard.write(inputId, data).catch((error: unknown) => {
      if (isSurelyUntyped(error)) typed = before;
      throw error;
    });
  };
  try {
    return await act({ ...keyboard, write });
  } catch (error) {
    const fault = toFault(error);
    // A defect of ours, or an abort.
    if (fault.code === 'INTERNAL') throw error;
    if (typed || typedBefore?.() === true)
      return { kind: 'unknown', at: clock(), tried: `it may have been typed, or a part of it; then: ${fault.message}` };
    return { kind: 'refused', at: clock(), reason: fault.message };
  }
}

/** The terminal's holder would not take it, or has no such program, or it read nothing in time. A connection that broke off may have done its work. */
const isSurelyUntyped = (error: unknown): boolean =>
  (error instanceof Fault && error.code === 'WRONG_STATE') ||
  ['busy', 'not-running', 'no-session'].includes(hostErrorOf(error) ?? '');

const runningStates: readonly SessionState[] = ['working', 'permission', 'question', 'retrying', 'stalled', 'unknown'];

/** Stops the turn that runs. The agent goes back to its prompt. */
export const interruptTurn = (session: LiveSession, keyboard: Keyboard, clock: () => number): Promise<Receipt> =>
  keyboard.inTurn(() => withReceipt({ keyboard, clock }, (noted) => interrupt(session, noted, clock)));

async function interrupt(session: LiveSession, keyboard: Keyboard, clock: () => number): Promise<Receipt> {
  if (session.ended || !runningStates.includes(session.facts.state))
    return { kind: 'refused', at: clock(), reason: `${whereItStands(session)}; no turn is running` };
  await keyboard.write(`interrupt-${clock()}`, session.agent.keys.interrupt);
  const stopped = await session.until(
    () => (session.ended || promptStates.includes(session.facts.state) ? true : undefined),
    { ms: reactionMs },
  );
  if (stopped && !session.ended)
    return {
      kind: 'accepted',
      at: session.facts.since,
      by: session.facts.evidence.source,
      reason: session.facts.evidence.reason,
    };
  return {
    kind: 'unknown',
    at: clock(),
    tried: `pressed the interrupt key; ${whereItStands(session)}${session.ended ? '' : ` after ${reactionMs / 1000} s`}`,
  };
}

/** The end of a paste inside a paste would let the rest be typed as keys; other controls have no meaning in a prompt. */
// A lone carriage return inside a paste submits in some agents.
export const cleanPaste = (text: string): string =>
  text.replace(/\r\n?/g, '\n').replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');

/** For messages: what the session is doing, and who says so. */
export function whereItStands(session: LiveSession): string {
  const { state, evidence } = session.facts;
  return `the session is ${state} (${evidence.source}: ${oneLine(evidence.reason, 120)})`;
}

/** A turn began at that time or later. */
export const startedAfter = (session: LiveSession, at: number): boolean => (session.facts.turn.startedAt ?? 0) >= at;

/** The receipt of a prompt whose turn has begun. */
export function acceptedReceipt(session: LiveSession): Receipt {
  const { turn, recent, evidence } = session.facts;
  const proof =
    recent.find((each) => each.at >= (turn.startedAt ?? 0) && (each.turn === 'started' || each.state === 'working')) ??
    evidence;
  return { kind: 'accepted', at: turn.startedAt ?? proof.at, by: proof.source, reason: proof.reason };
}
