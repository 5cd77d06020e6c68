/**
 * What is said to an agent, and the proof that it arrived (SPEC.md, [I1] to [I6]).
 *
 * Every part of an input has an id under which the host applies it at most once. So each function here may be called again after a
 * crash with the same id: it looks at what was already written and goes on from there. Text is pasted once and never a second time.
 */

import { join } from 'node:path';
import { promptStates } from '../agents/agent.ts';
import { oneLine } from '../base/text.ts';
import { delay } from '../base/wait.ts';
import { writeFileAtomically } from '../platform/atomic-file.ts';
import type { Receipt } from '../protocol/session.ts';
import type { SessionState } from '../protocol/state.ts';
import type { HostLink } from './host-link.ts';
import type { LiveSession } from './live-session.ts';

/** In this time an agent shows that it received a prompt; the slowest seen took 1.3 s on a busy machine. */
const receiptMs = 3000;
/** An answer to a permission, and an interrupt, show as fast; a model call in flight may delay the latter. */
const reactionMs = 6000;
/** For a session whose state is not known (the control plane just started): how long evidence may take. */
const unknownPatienceMs = 15_000;

const pasteStart = '\u001b[200~';
const pasteEnd = '\u001b[201~';

/** How bytes reach the agent's terminal. */
export interface Keyboard {
  /** Writes at most once per input id; the time when it was written. */
  readonly write: (inputId: string, data: string) => Promise<number>;
  /** When each of these was written; null: not yet. */
  readonly written: (inputIds: string[]) => Promise<Record<string, number | null>>;
}

/** The keyboard of a session of our own: its PTY in the host. */
export const hostKeyboard = (host: HostLink, sessionId: string): Keyboard => ({
  write: async (inputId, data) => (await host.call('write', { sessionId, inputId, data })).at,
  written: async (inputIds) => (await host.call('inputs', { sessionId, inputIds })).at,
});

export interface PromptInput {
  readonly inputId: string;
  readonly text: string;
  /** How long to wait for the agent's prompt before the input is refused. */
  readonly readyMs: number;
  readonly signal?: AbortSignal;
}

/** Pastes, enters, and waits for the agent's word. Throws the signal's reason, or a fault of the host; then it may be called again. */
export async function deliverPrompt(
  session: LiveSession,
  keyboard: Keyboard,
  input: PromptInput,
  clock: () => number,
): Promise<Receipt> {
  const parts = {
    paste: `${input.inputId}:paste`,
    enter: `${input.inputId}:enter`,
    again: `${input.inputId}:enter-again`,
  };
  const before = await keyboard.written(Object.values(parts));
  const pastedAt = before[parts.paste] ?? (await paste(session, keyboard, parts.paste, input));
  if (typeof pastedAt !== 'number') return { kind: 'refused', at: clock(), reason: pastedAt.refused };

  if (before[parts.enter] === null || before[parts.enter] === undefined) {
    const obstacle = await settle(session, pastedAt, input);
    if (obstacle === 'accepted') return acceptedReceipt(session);
    if (obstacle !== undefined) return { kind: 'unknown', at: clock(), tried: `pasted, but not entered: ${obstacle}` };
    await keyboard.write(parts.enter, session.agent.keys.submit);
  }
  if (await accepted(session, pastedAt, input)) return acceptedReceipt(session);
  if (
    (before[parts.again] === null || before[parts.again] === undefined) &&
    promptStates.includes(session.facts.state)
  ) {
    await keyboard.write(parts.again, session.agent.keys.submit);
    if (await accepted(session, pastedAt, input)) return acceptedReceipt(session);
  }
  return {
    kind: 'unknown',
    at: clock(),
    tried: `pasted and entered${promptStates.includes(session.facts.state) ? ' twice' : ''}; ${whereItStands(session)} and no sign of the prompt came within ${receiptMs / 1000} s`,
  };
}

/** Waits for the prompt, then pastes. Returns when it was pasted, or why it was not. */
async function paste(
  session: LiveSession,
  keyboard: Keyboard,
  inputId: string,
  input: PromptInput,
): Promise<number | { refused: string }> {
  const ready = await session.until(() => readiness(session), {
    ms: input.readyMs,
    ...(input.signal ? { signal: input.signal } : {}),
  });
  if (ready === undefined)
    return { refused: `${whereItStands(session)}; a prompt is typed only where the agent waits for one` };
  if (ready !== 'ready') return { refused: ready };
  // An interrupt may put the last prompt back into the input box. Never otherwise: what stands there may be a person's draft.
  if (session.facts.turn.end === 'interrupted') await keyboard.write(`${inputId}:clear`, session.agent.keys.clear);
  return keyboard.write(inputId, `${pasteStart}${cleanPaste(input.text)}${pasteEnd}`);
}

/** `ready`, a reason why it will not become ready by waiting, or undefined: not yet. */
function readiness(session: LiveSession): string | undefined {
  if (session.ended) return whereItStands(session);
  if (promptStates.includes(session.facts.state)) return 'ready';
  return needsPerson.includes(session.facts.state)
    ? `${whereItStands(session)}: a person must answer that first`
    : undefined;
}

const needsPerson: readonly SessionState[] = ['permission', 'question', 'limited'];

/** The agent's composer takes a moment after a paste. Returns what then stands in the way of Enter. */
async function settle(session: LiveSession, pastedAt: number, input: PromptInput): Promise<string | undefined> {
  await delay(session.agent.keys.settleMs);
  input.signal?.throwIfAborted();
  if (startedAfter(session, pastedAt)) return 'accepted';
  // After a restart the state is unknown until evidence comes.
  const known = await session.until(() => (session.facts.state === 'unknown' ? undefined : true), {
    ms: unknownPatienceMs,
    ...(input.signal ? { signal: input.signal } : {}),
  });
  if (startedAfter(session, pastedAt)) return 'accepted';
  if (known === undefined || !promptStates.includes(session.facts.state)) return whereItStands(session);
  return undefined;
}

const startedAfter = (session: LiveSession, at: number): boolean => (session.facts.turn.startedAt ?? 0) >= at;

const accepted = (session: LiveSession, pastedAt: number, input: PromptInput): Promise<true | undefined> =>
  session.until(() => (startedAfter(session, pastedAt) ? true : undefined), {
    ms: receiptMs,
    ...(input.signal ? { signal: input.signal } : {}),
  });

function acceptedReceipt(session: LiveSession): Receipt {
  const { turn, recent, evidence } = session.facts;
  const proof =
    recent.find((each) => each.at >= (turn.startedAt ?? 0) && (each.turn === 'started' || each.state === 'working')) ??
    evidence;
  return { kind: 'accepted', at: turn.startedAt ?? proof.at, by: proof.source, reason: proof.reason };
}

/** Says yes or no to the permission that is open, by the structured way where the agent has one. */
export async function answerPermission(
  session: LiveSession,
  keyboard: Keyboard,
  answer: { decision: 'allow' | 'deny'; permissionId: string | undefined },
  clock: () => number,
): Promise<Receipt> {
  const open = session.facts.permission;
  if (session.facts.state !== 'permission' || open === null)
    return { kind: 'refused', at: clock(), reason: `${whereItStands(session)}; there is nothing to answer` };
  if (answer.permissionId !== undefined && answer.permissionId !== open.id) {
    return {
      kind: 'refused',
      at: clock(),
      reason: `permission ${answer.permissionId} is no longer open; now it asks for ${oneLine(`${open.tool} ${open.summary}`, 200)}`,
    };
  }
  const file = session.agent.answerFile?.(open, answer.decision);
  const keys = answer.decision === 'allow' ? session.agent.keys.allow : session.agent.keys.deny;
  const isClosed = (): true | undefined =>
    session.facts.state === 'permission' && session.facts.permission?.id === open.id ? undefined : true;
  let closed: true | undefined;
  if (file) {
    await writeFileAtomically(join(session.dir, 'answers', file.name), file.content);
    closed = await session.until(isClosed, { ms: reactionMs });
  } else if (keys !== undefined) {
    closed = await pressUntil(
      session,
      keyboard,
      { inputId: `answer-${open.id}-${answer.decision}-${clock()}`, keys },
      isClosed,
    );
  } else {
    return { kind: 'refused', at: clock(), reason: `this agent has no way to ${answer.decision} from outside` };
  }
  if (closed)
    return {
      kind: 'accepted',
      at: session.facts.since,
      by: session.facts.evidence.source,
      reason: `${answer.decision}: ${session.facts.evidence.reason}`,
    };
  return {
    kind: 'unknown',
    at: clock(),
    tried: `said ${answer.decision} ${file ? 'to the hook that asks' : 'by key'}; the question still stands after ${reactionMs / 1000} s`,
  };
}

/** Some agents ignore keys for a moment after a dialog was drawn; one more is pressed while the very same question stands. */
const keyPatienceMs = 1500;

async function pressUntil(
  session: LiveSession,
  keyboard: Keyboard,
  { inputId, keys }: { inputId: string; keys: string },
  done: () => true | undefined,
): Promise<true | undefined> {
  const id = inputId.slice(-100);
  await keyboard.write(id, keys);
  if (await session.until(done, { ms: keyPatienceMs })) return true;
  await keyboard.write(`${id}-again`, keys);
  return session.until(done, { ms: reactionMs });
}

const runningStates: readonly SessionState[] = ['working', 'permission', 'question', 'retrying', 'stalled', 'unknown'];

/** Stops the turn that runs. The agent goes back to its prompt. */
export async function interruptTurn(session: LiveSession, keyboard: Keyboard, clock: () => number): Promise<Receipt> {
  if (session.ended || !runningStates.includes(session.facts.state))
    return { kind: 'refused', at: clock(), reason: `${whereItStands(session)}; no turn is running` };
  await keyboard.write(`interrupt-${clock()}`, session.agent.keys.interrupt);
  const stopped = await session.until(
    () => (session.ended || promptStates.includes(session.facts.state) ? true : undefined),
    { ms: reactionMs },
  );
  if (stopped)
    return {
      kind: 'accepted',
      at: session.facts.since,
      by: session.facts.evidence.source,
      reason: session.facts.evidence.reason,
    };
  return {
    kind: 'unknown',
    at: clock(),
    tried: `pressed the interrupt key; ${whereItStands(session)} after ${reactionMs / 1000} s`,
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
