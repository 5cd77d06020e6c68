/**
 * How an agent's keyboard is reached, and the two inputs that are not prompts: an answer and an interrupt (SPEC.md, [I5] and [I6];
 * prompts are in prompt.ts). Every input ends in a receipt.
 */

import { join } from 'node:path';
import { promptStates } from '../agents/agent.ts';
import { oneLine } from '../base/text.ts';
import { delay } from '../base/wait.ts';
import { writeFileAtomically } from '../platform/atomic-file.ts';
import type { Receipt } from '../protocol/session.ts';
import type { PermissionAsk, ScreenView, SessionState } from '../protocol/state.ts';
import { draftOf } from './draft.ts';
import type { HostLink } from './host-link.ts';
import type { LiveSession } from './live-session.ts';

/** An answer to a permission, and an interrupt, show as fast; a model call in flight may delay the latter. */
const reactionMs = 6000;
/** How bytes reach the agent's terminal. */
export interface Keyboard {
  /** Writes at most once per input id; the time when it was written. */
  readonly write: (inputId: string, data: string) => Promise<number>;
  /** When each of these was written; null: not yet. */
  readonly written: (inputIds: string[]) => Promise<Record<string, number | null>>;
  /** How the terminal looks now. */
  readonly screen: () => Promise<ScreenView>;
}

/** The keyboard of a session of our own: its PTY in the host. */
export const hostKeyboard = (host: HostLink, sessionId: string): Keyboard => ({
  write: async (inputId, data) => (await host.call('write', { sessionId, inputId, data })).at,
  written: async (inputIds) => (await host.call('inputs', { sessionId, inputIds })).at,
  screen: async () => (await host.call('snapshot', { sessionId })).screen,
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

export interface Answer {
  readonly decision: 'allow' | 'deny';
  /** Undefined: whatever is open. */
  readonly permissionId: string | undefined;
}

/** Says yes or no to the permission that is open, by the structured way where the agent has one. */
export async function answerPermission(
  session: LiveSession,
  keyboard: Keyboard,
  answer: Answer,
  clock: () => number,
): Promise<Receipt> {
  const before = answering.get(session);
  if (before !== undefined)
    return {
      kind: 'refused',
      at: clock(),
      reason: `${before} was said to this session a moment ago, and is not shown yet`,
    };
  answering.set(session, answer.decision);
  try {
    for (;;) {
      const open = openFor(session, answer);
      if (typeof open === 'string') return { kind: 'refused', at: clock(), reason: open };
      const receipt = await sayDecision(session, keyboard, open, answer.decision, clock);
      if (receipt !== 'replaced') return receipt;
    }
  } finally {
    answering.delete(session);
  }
}

/** Answers on their way: a second one could be taken for the first, or fall into what the agent shows next. */
const answering = new WeakMap<LiveSession, Answer['decision']>();

/** The permission that is to be answered, or why there is none. */
function openFor(session: LiveSession, { permissionId }: Answer): PermissionAsk | string {
  const open = session.facts.permission;
  if (session.facts.state !== 'permission' || open === null)
    return `${whereItStands(session)}; there is nothing to answer`;
  if (permissionId !== undefined && permissionId !== open.id)
    return `permission ${permissionId} is no longer open; now it asks for ${oneLine(`${open.tool} ${open.summary}`, 200)}`;
  return open;
}

/** `replaced`: nothing was said, because something else is open or nothing any more. A hook names a question that was only seen before. */
async function sayDecision(
  session: LiveSession,
  keyboard: Keyboard,
  open: PermissionAsk,
  decision: Answer['decision'],
  clock: () => number,
): Promise<Receipt | 'replaced'> {
  const file = session.agent.answerFile?.(open, decision);
  const keys = decision === 'allow' ? session.agent.keys.allow : session.agent.keys.deny;
  const isClosed = (): true | undefined =>
    session.facts.state === 'permission' && session.facts.permission?.id === open.id ? undefined : true;
  let closed: true | undefined;
  if (file) {
    await writeFileAtomically(join(session.dir, 'answers', file.name), file.content);
    closed = await session.until(isClosed, { ms: reactionMs });
  } else if (keys !== undefined) {
    const isGone = await isBoxGone(session, keyboard, isClosed);
    if (isClosed()) return 'replaced';
    if (!isGone)
      return {
        kind: 'refused',
        at: clock(),
        reason: `${whereItStands(session)}, but shows its input box and no question; a key would be text there`,
      };
    const inputId = `answer-${open.id}-${decision}-${clock()}`;
    closed = await pressUntil(session, keyboard, { inputId, keys }, isClosed);
  } else {
    return { kind: 'refused', at: clock(), reason: `this agent has no way to ${decision} from outside` };
  }
  if (closed && session.ended)
    return { kind: 'unknown', at: clock(), tried: `said ${decision}; ${whereItStands(session)}` };
  if (closed)
    return {
      kind: 'accepted',
      at: session.facts.since,
      by: session.facts.evidence.source,
      reason: `${decision}: ${session.facts.evidence.reason}`,
    };
  return {
    kind: 'unknown',
    at: clock(),
    tried: `said ${decision} ${file ? 'to the hook that asks' : 'by key'}; the question still stands after ${reactionMs / 1000} s`,
  };
}

/** Two looks in a row: a terminal may be looked at in the middle of a drawing. */
const lookEveryMs = 100;

/**
 * Waits until the input box is gone, or the question. Claude Code 2.1.328 tells of a question at once and draws it when nobody has typed
 * for some 1.5 s; a key that comes before is text in its box, and puts the question off once more.
 */
async function isBoxGone(session: LiveSession, keyboard: Keyboard, done: () => true | undefined): Promise<boolean> {
  const until = performance.now() + reactionMs;
  for (let gone = 0; gone < 2; await delay(lookEveryMs)) {
    if (done()) return true;
    gone = (await showsBox(session, keyboard)) ? 0 : gone + 1;
    if (gone === 0 && performance.now() >= until) return false;
  }
  return true;
}

async function showsBox(session: LiveSession, keyboard: Keyboard): Promise<boolean> {
  const { kind } = draftOf(session.agent, await keyboard.screen());
  return kind === 'empty' || kind === 'draft';
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
  // Seen closed by now, though nobody has told it: the next key would fall into the input box.
  if (!(await showsBox(session, keyboard))) await keyboard.write(`${id}-again`, keys);
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
