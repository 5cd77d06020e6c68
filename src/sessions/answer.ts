/**
 * Yes or no to a permission (SPEC.md, [I5] and [I6]): one answer at a time, to the question that stood there when it was asked for and to
 * no other, by the structured way where the agent offers one, else by a key pressed where no input box is seen.
 */

import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAsking } from '../agents/index.ts';
import { oneLine } from '../base/text.ts';
import { delay } from '../base/wait.ts';
import { writeFileAtomically } from '../platform/atomic-file.ts';
import type { Receipt } from '../protocol/session.ts';
import type { PermissionAsk, SessionState } from '../protocol/state.ts';
import { draftOf } from './draft.ts';
import { type Keyboard, reactionMs, whereItStands, withReceipt } from './input.ts';
import type { LiveSession } from './live-session.ts';

export interface Answer {
  readonly decision: 'allow' | 'deny';
  /** Undefined: what is open now. */
  readonly permissionId: string | undefined;
}

export interface Answered {
  readonly receipt: Receipt;
  /** The question that the answer was meant for; null if none was open. */
  readonly asked: PermissionAsk | null;
}

interface Answering {
  readonly session: LiveSession;
  readonly keyboard: Keyboard;
  readonly decision: Answer['decision'];
  readonly clock: () => number;
}

/** Answers on their way: a second one could be taken for the first, or fall into what the agent shows next. */
const onTheirWay = new WeakMap<LiveSession, Answer['decision']>();

export async function answerPermission(
  session: LiveSession,
  keyboard: Keyboard,
  { decision, permissionId }: Answer,
  clock: () => number,
): Promise<Answered> {
  const asked = openPermission(session);
  const refused = (reason: string): Answered => ({ receipt: { kind: 'refused', at: clock(), reason }, asked });
  const before = onTheirWay.get(session);
  if (before !== undefined) return refused(`${before} was said to it a moment ago, and is not shown yet`);
  if (asked === null) return refused(`${whereItStands(session)}; there is nothing to answer`);
  if (permissionId !== undefined && permissionId !== asked.id)
    return refused(`permission ${permissionId} is no longer open; now it asks for ${wordsOf(asked)}`);
  onTheirWay.set(session, decision);
  try {
    return await keyboard.inTurn(() => withoutWords({ session, keyboard, decision, clock }, asked));
  } finally {
    onTheirWay.delete(session);
  }
}

const openPermission = ({ facts }: LiveSession): PermissionAsk | null =>
  facts.state === 'permission' ? facts.permission : null;

const wordsOf = ({ tool, summary }: PermissionAsk): string => oneLine(`${tool} ${summary}`.trim() || 'something', 200);

/** A question that was only seen, without words, may be named by its agent's hook before anything is said: it is the same one. */
async function withoutWords(answering: Answering, seen: PermissionAsk): Promise<Answered> {
  const { session, keyboard, clock } = answering;
  const since = session.facts.since;
  let asked = seen;
  const receipt = await withReceipt({ keyboard, clock }, async (noted) => {
    const first = await say({ ...answering, keyboard: noted }, asked);
    if (first !== 'replaced') return first;
    const named = openPermission(session);
    if (asked.tool === '' && named?.by === 'hook' && session.facts.since === since) {
      asked = named;
      const second = await say({ ...answering, keyboard: noted }, named);
      if (second !== 'replaced') return second;
    }
    const now = openPermission(session);
    const stands = now ? `now it asks for ${wordsOf(now)}` : whereItStands(session);
    return { kind: 'refused', at: clock(), reason: `its question was closed before anything was said; ${stands}` };
  });
  return { receipt, asked };
}

/** `replaced`: nothing was said, because something else is open, or nothing any more. */
async function say(answering: Answering, asked: PermissionAsk): Promise<Receipt | 'replaced'> {
  const { session, decision } = answering;
  const file = session.agent.answerFile?.(asked, decision);
  if (file && isAsking(session.dir, file.name)) return sayToHook(answering, asked, file);
  return sayByKey(answering, asked);
}

const isClosed = (session: LiveSession, asked: PermissionAsk): true | undefined =>
  openPermission(session)?.id === asked.id ? undefined : true;

// --- by the hook that asks

/** The hook looks five times a second. */
const takenMs = 1000;
const takenPollMs = 50;

async function sayToHook(
  { session, decision, clock }: Answering,
  asked: PermissionAsk,
  { name, content }: { readonly name: string; readonly content: string },
): Promise<Receipt> {
  const path = join(session.dir, 'answers', name);
  await writeFileAtomically(path, content);
  const closed = await session.until(() => isClosed(session, asked), { ms: reactionMs });
  const until = performance.now() + takenMs;
  while (existsSync(path) && performance.now() < until) await delay(takenPollMs);
  const taken = !existsSync(path);
  // Nobody reads it later: the hook ends with its question. What was said is said, whether or not its file goes.
  await rm(path, { force: true }).catch(() => undefined);
  return receiptOf({ session, decision, clock }, { closed, taken, how: 'to the hook that asks' });
}

// --- by a key

async function sayByKey(
  { session, keyboard, decision, clock }: Answering,
  asked: PermissionAsk,
): Promise<Receipt | 'replaced'> {
  const keys = decision === 'allow' ? session.agent.keys.allow : session.agent.keys.deny;
  const refused = (reason: string): Receipt => ({ kind: 'refused', at: clock(), reason });
  if (keys === undefined) return refused(`this agent has no way to ${decision} from outside`);
  const isGone = await isBoxGone(session, keyboard, () => isClosed(session, asked));
  if (isClosed(session, asked)) return 'replaced';
  if (!isGone)
    return refused(`${whereItStands(session)}, but shows its input box and no question; a key would be text there`);
  const inputId = `answer-${asked.id}-${decision}-${clock()}`.slice(-100);
  const closed = await pressUntil(session, keyboard, { inputId, keys }, () => isClosed(session, asked));
  return receiptOf({ session, decision, clock }, { closed, taken: true, how: 'by key' });
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
  await keyboard.write(inputId, keys);
  if (await session.until(done, { ms: keyPatienceMs })) return true;
  // Seen closed by now, though nobody has told it: the next key would fall into the input box.
  if (!(await showsBox(session, keyboard))) await keyboard.write(`${inputId}-again`, keys);
  return session.until(done, { ms: reactionMs });
}

// --- what came of it

/** What is seen in these says nothing about a question. */
const outOfSight: readonly SessionState[] = ['unknown', 'starting', 'stalled'];

function receiptOf(
  { session, decision, clock }: Omit<Answering, 'keyboard'>,
  { closed, taken, how }: { readonly closed: true | undefined; readonly taken: boolean; readonly how: string },
): Receipt {
  const { state, since, evidence } = session.facts;
  const unknown = (rest: string): Receipt => ({
    kind: 'unknown',
    at: clock(),
    tried: `said ${decision} ${how}; ${rest}`,
  });
  if (!closed) return unknown(`the question still stands after ${reactionMs / 1000} s`);
  if (!taken) return unknown(`it was not taken, and the question is closed: ${whereItStands(session)}`);
  const lost = session.ended || outOfSight.includes(state) || evidence.source === 'control';
  const overruled = decision === 'allow' && evidence.turn === 'interrupted';
  if (lost || overruled) return unknown(whereItStands(session));
  return { kind: 'accepted', at: since, by: evidence.source, reason: `${decision}: ${evidence.reason}` };
}
