/**
 * A prompt's way to an agent: objections to the text, the agent's prompt, nobody typing, an empty box, one paste, the text seen in the
 * box, Enter, the agent's word for it (SPEC.md, [I1] to [I12]).
 *
 * Every part has an id under which the host applies it at most once. So all of it may be called again after a crash with the same id: it
 * looks at what was already written and goes on from there. Text is pasted once and never a second time. What stops the way before the
 * paste is `refused`, what stops it after is `unknown`. Two prompts for one session take turns from the look into the box to the receipt.
 */
import { promptStates } from '../agents/agent.ts';
import { withoutOpenEnd } from '../agents/index.ts';
import { Fault } from '../base/fault.ts';
import { clip, oneLine } from '../base/text.ts';
import { delay } from '../base/wait.ts';
import type { Receipt } from '../protocol/session.ts';
import type { SessionState } from '../protocol/state.ts';
import { begunInput, lastBegun, withBegun } from './begun.ts';
import { clearBox, type Draft, draftOf, isSameText, markedCharsMax } from './draft.ts';
import {
  acceptedReceipt,
  cleanPaste,
  type Keyboard,
  type PromptInput,
  startedAfter,
  whereItStands,
  withReceipt,
} from './input.ts';
import type { LiveSession } from './live-session.ts';

/** In this time an agent shows that it received a prompt; the slowest seen took 1.3 s on a busy machine. */
const receiptMs = 3000;
/** For a session whose state is not known (the control plane just started): how long evidence may take. */
const unknownPatienceMs = 15_000;
/** A person whose last key is younger is typing; a longer pause for thought leaves a draft, which is seen. */
const typingQuietMs = 3000;
/** So long a prompt waits for a person who types, then it is refused. */
const typingPatienceMs = 10_000;
/** The box is away for some milliseconds while an agent draws; one that does not come back in this time is hidden by something. */
const boxPatienceMs = 2000;
/** A pasted text is in the box in this time, and one more second for each so many characters: 100 KB took Claude Code under 1 s. */
const pasteShownMs = 3000;
const pasteCharsPerSecond = 20_000;
/** Qwen Code 0.15.10 reads a paste of 100 KB for longer than that; whoever sends so much names a file instead. */
const pasteLimitMs = 30_000;
const lookEveryMs = 40;
/** Prompts that may stand in line for one session's box; a person or a script that sends more has lost sight of it. */
const lineMax = 20;
/** Of a stranger's draft so much is shown. */
const draftShownChars = 40;

const pasteStart = '\u001b[200~';
const pasteEnd = '\u001b[201~';

interface Delivery {
  readonly session: LiveSession;
  readonly keyboard: Keyboard;
  readonly input: PromptInput;
  readonly clock: () => number;
}

/** Why it stops before the paste: with nothing typed, or after keys that were to empty the box. */
type Obstacle = { readonly refused: string } | { readonly tried: string };

/** Throws the signal's reason, or a fault of the host; then it may be called again. */
export async function deliverPrompt(
  session: LiveSession,
  keyboard: Keyboard,
  input: PromptInput,
  clock: () => number,
): Promise<Receipt> {
  const delivery: Delivery = { session, keyboard, input, clock };
  const before = beforeResume(delivery);
  if (before) return before;
  const pasteId = `${input.inputId}:paste`;
  if (isWritten((await keyboard.written([pasteId]))[pasteId]))
    return inTurn(delivery, async () => earlier(delivery) ?? prove(delivery));
  const objection = objectionTo(delivery);
  if (objection !== undefined) return refusal(delivery, objection);
  const since = clock();
  const until = since + input.readyMs;
  for (;;) {
    const ready = await session.until(() => readiness(session), waitFor(delivery, Math.max(0, until - clock())));
    if (ready !== 'ready')
      return waited(
        delivery,
        since,
        refusal(delivery, ready ?? `${whereItStands(session)}; a prompt is typed only where the agent waits for one`),
      );
    const waitedMs = clock() - since;
    const receipt = await inTurn(delivery, () => typeAndProve(delivery));
    if (receipt !== 'not-ready') return waitedMs < lookEveryMs ? receipt : { ...receipt, queuedMs: waitedMs };
  }
}

/** As `deliverPrompt`, for one who will not ask again: what breaks off on the way is a receipt too. [I6] */
export const sendPrompt = (
  session: LiveSession,
  keyboard: Keyboard,
  input: PromptInput,
  clock: () => number,
): Promise<Receipt> =>
  withReceipt({ keyboard, clock, typedBefore: () => mayBeTyped(session, input.inputId) }, (noted) =>
    deliverPrompt(session, noted, input, clock),
  );

/** True from the moment before the paste on, also for another life and after other inputs. */
export const mayBeTyped = ({ record }: LiveSession, inputId: string): boolean =>
  begunInput(record, inputId) !== undefined;

/**
 * Types an agent's own command and Enter, under the same care as a prompt and in line with the others. True: Enter was pressed; whether
 * the command did anything the caller sees for himself. False: nothing was typed, or somebody typed between.
 */
export function typeCommand(
  session: LiveSession,
  keyboard: Keyboard,
  input: { readonly inputId: string; readonly text: string },
  clock: () => number,
): Promise<boolean> {
  const delivery: Delivery = { session, keyboard, input: { ...input, readyMs: 0, raw: true }, clock };
  const type = async (): Promise<boolean> => {
    if ((await untilNobodyTypes(delivery)) !== undefined || readiness(session) !== 'ready') return false;
    if ((await emptyBox(delivery)) !== undefined || readiness(session) !== 'ready') return false;
    await session.amend({ lastText: input.text });
    const typedAt = await keyboard.write(`${input.inputId}:command`, input.text);
    await delay(session.agent.keys.settleMs);
    if (readiness(session) !== 'ready' || hasTypedSince(session, typedAt)) return false;
    await keyboard.write(`${input.inputId}:enter`, session.agent.keys.submit);
    return true;
  };
  return inTurn(delivery, type).then((typed) => typed === true);
}

/** [I3] The host that knew what was written died with the process it was written to; it is not typed into the next one. */
function beforeResume({ session, input, clock }: Delivery): Receipt | undefined {
  const { resumed } = session.record;
  const begun = begunInput(session.record, input.inputId);
  if (!resumed || !begun || begun.at > resumed.at) return undefined;
  const pasted = resumed.pasted?.inputId === input.inputId ? resumed.pasted : undefined;
  return pasted?.accepted
    ? { kind: 'accepted', ...pasted.accepted }
    : {
        kind: 'unknown',
        at: clock(),
        tried: 'pasted; the PTY host died before the agent showed that it had received it',
      };
}

/** Another input was typed after it: what stands in the box, or began a turn, may be that one. */
function earlier({ session, input, clock }: Delivery): Receipt | undefined {
  if (lastBegun(session.record)?.inputId === input.inputId) return undefined;
  const tried = 'typed before under this id, and another input after it; nothing shows that it arrived';
  return { kind: 'unknown', at: clock(), tried };
}

const refusal = ({ clock }: Delivery, reason: string): Receipt => ({ kind: 'refused', at: clock(), reason });

const waited = ({ clock, input }: Delivery, since: number, receipt: Receipt): Receipt =>
  input.readyMs === 0 ? receipt : { ...receipt, queuedMs: clock() - since };

const waitFor = ({ input }: Delivery, ms: number): { ms: number; signal?: AbortSignal } => ({
  ms,
  ...(input.signal ? { signal: input.signal } : {}),
});

/** Why a text is not typed wherever the agent stands. */
function objectionTo({ session, input }: Delivery): string | undefined {
  if (cleanPaste(input.text).trim() === '')
    return 'there is nothing in it that an agent would take: only white space or controls';
  const command = input.raw ? undefined : session.agent.commandOf(cleanPaste(input.text));
  return command === undefined
    ? undefined
    : `this agent ${command}; begin it with a word, or ask for it to be sent raw`;
}

/** `ready`, a reason why it will not become ready by waiting, or undefined: not yet. */
function readiness(session: LiveSession): string | undefined {
  if (session.ended) return whereItStands(session);
  if (promptStates.includes(session.facts.state)) return 'ready';
  return needsPerson.includes(session.facts.state)
    ? `${whereItStands(session)}: a person must answer that first`
    : undefined;
}

const needsPerson: readonly SessionState[] = ['permission', 'question', 'limited', 'setup'];

// --- one at a time

const lines = new WeakMap<LiveSession, { last: Promise<unknown>; length: number }>();

async function inTurn<T>(delivery: Delivery, act: () => Promise<T>): Promise<T | Receipt> {
  const line = lines.get(delivery.session) ?? { last: Promise.resolve(), length: 0 };
  lines.set(delivery.session, line);
  if (line.length >= lineMax) return refusal(delivery, `${lineMax} prompts already wait for this session`);
  line.length += 1;
  const mine = line.last.then(() => {
    delivery.input.signal?.throwIfAborted();
    return act();
  });
  line.last = mine.catch(() => undefined).finally(() => (line.length -= 1));
  return mine;
}

// --- before the paste

async function typeAndProve(delivery: Delivery): Promise<Receipt | 'not-ready'> {
  const { session, input, clock } = delivery;
  const person = await untilNobodyTypes(delivery);
  if (person !== undefined) return refusal(delivery, person);
  // The one before it in the line, or a person's Enter, may have started a turn.
  if (readiness(session) !== 'ready') return 'not-ready';
  const obstacle = await emptyBox(delivery);
  if (obstacle !== undefined)
    return 'refused' in obstacle
      ? refusal(delivery, obstacle.refused)
      : { kind: 'unknown', at: clock(), tried: obstacle.tried };
  if (readiness(session) !== 'ready') return 'not-ready';
  const text = input.raw ? cleanPaste(input.text) : withoutOpenEnd(cleanPaste(input.text));
  // Written down first: if the text is left in the box, the next prompt knows it as ours.
  await session.amend({
    lastText: text.slice(0, 2 * markedCharsMax),
    ...withBegun(session.record, { inputId: input.inputId, at: clock() }),
  });
  if (!(await pasteWhole(delivery, `${pasteStart}${text}${pasteEnd}`)))
    return {
      kind: 'unknown',
      at: clock(),
      tried: `pasted; the agent had not read all of it after ${pasteLimitMs / 1000} s`,
    };
  return prove(delivery);
}

/** A slow reader: the same id waits for the first write, and writes nothing a second time. */
async function pasteWhole({ keyboard, input, clock }: Delivery, data: string): Promise<boolean> {
  for (const until = clock() + pasteLimitMs; ; ) {
    try {
      await keyboard.write(`${input.inputId}:paste`, data);
      return true;
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'TIMED_OUT') throw error;
      if (clock() >= until) return false;
    }
  }
}

async function untilNobodyTypes({ session, input, clock }: Delivery): Promise<string | undefined> {
  const until = clock() + typingPatienceMs;
  for (;;) {
    const quietIn = (session.record.typedAt ?? 0) + typingQuietMs - clock();
    if (quietIn <= 0) return undefined;
    if (clock() >= until)
      return `a person has been typing for over ${typingPatienceMs / 1000} s; nothing was typed between`;
    await delay(Math.min(quietIn, lookEveryMs));
    input.signal?.throwIfAborted();
  }
}

/** Boxes that were readable once: of one that no longer is, something stands in front. */
const seenBoxes = new WeakSet<LiveSession>();

async function look({ session, keyboard }: Delivery): Promise<Draft> {
  const seen = draftOf(session.agent, await keyboard.screen());
  if (seen.kind === 'empty' || seen.kind === 'draft') seenBoxes.add(session);
  return seen;
}

/**
 * Looks until what is seen is one of `wanted`, or `ms` have passed; then what is seen last. It counts only when two looks in a row agree:
 * the terminal may be looked at in the middle of a drawing. One that is drawn anew without end is taken as it is, some time later.
 */
async function lookFor(delivery: Delivery, wanted: readonly Draft['kind'][], ms: number): Promise<Draft> {
  const until = delivery.clock() + ms;
  for (let before: Draft | undefined; ; ) {
    const seen = await look(delivery);
    const late = delivery.clock() - until;
    if (seen.kind === before?.kind ? wanted.includes(seen.kind) || late >= 0 : late >= boxPatienceMs) return seen;
    before = seen;
    await delay(lookEveryMs);
    delivery.input.signal?.throwIfAborted();
  }
}

/** [I7] [I8] Nothing is typed into or over what is not ours. */
async function emptyBox(delivery: Delivery): Promise<Obstacle | undefined> {
  const { session, keyboard, input } = delivery;
  const seen = await lookFor(delivery, ['empty', 'draft', 'dialog'], boxPatienceMs);
  switch (seen.kind) {
    case 'empty':
      return undefined;
    case 'dialog':
      return { refused: `the screen shows a ${seen.what} dialog: a person must answer that first` };
    case 'unknown':
      return hiddenBox(session, seen.end);
    case 'draft': {
      if (!isOurs(session, seen.text) && !input.overDraft)
        return { refused: `somebody's draft stands in the input box: ${quoted(seen.text)}` };
      const left = await clearBox(session.agent.keys, {
        look: () => lookFor(delivery, ['empty', 'draft', 'dialog'], boxPatienceMs),
        press: (key, number) => keyboard.write(`${input.inputId}:clear-${number}`, key),
      });
      if (left.kind === 'empty') return undefined;
      const what = left.kind === 'draft' ? `it still holds ${quoted(left.text)}` : 'it can not be seen any more';
      return { tried: `pressed the keys that empty the input box, and nothing more: ${what}` };
    }
  }
}

/** The agent's look is not known, or something stands in front of its box. */
function hiddenBox(session: LiveSession, end: string): Obstacle | undefined {
  if (seenBoxes.has(session))
    return {
      refused: `something on the screen hides the input box; it ends with ${JSON.stringify(oneLine(end, 200))}`,
    };
  return hasTypedSince(session, session.facts.turn.startedAt ?? 0)
    ? { refused: 'the input box can not be read on this screen, and a person has typed since the last turn began' }
    : undefined;
}

const hasTypedSince = (session: LiveSession, at: number): boolean => (session.record.typedAt ?? 0) > at;

/** What an interrupt put back, or what an earlier prompt of ours could not enter. */
function isOurs(session: LiveSession, shown: string): boolean {
  const { turn } = session.facts;
  const texts = [session.record.lastText, turn.end === 'interrupted' ? turn.accepted : null];
  return texts.some((text) => text !== null && text !== undefined && isSameText(shown, text));
}

const quoted = (text: string): string => JSON.stringify(clip(oneLine(text, draftShownChars), draftShownChars));

// --- after the paste

/** Enter, and the agent's word. The paste is written; whether Enter is, is asked. */
async function prove(delivery: Delivery): Promise<Receipt> {
  const { session, keyboard, input, clock } = delivery;
  const [paste, enter, again] = ['paste', 'enter', 'enter-again'].map((part) => `${input.inputId}:${part}`) as [
    string,
    string,
    string,
  ];
  const before = await keyboard.written([paste, enter, again]);
  const pastedAt = before[paste] ?? clock();
  if (!isWritten(before[enter])) {
    const obstacle = await settle(delivery, pastedAt);
    if (obstacle === 'accepted') return acceptedReceipt(session);
    if (obstacle !== undefined) return { kind: 'unknown', at: clock(), tried: `pasted, but not entered: ${obstacle}` };
    await keyboard.write(enter, session.agent.keys.submit);
  }
  if (await accepted(delivery, pastedAt)) return acceptedReceipt(session);
  const once = !isWritten(before[again]) && (await mayEnterAgain(delivery, pastedAt));
  if (once) {
    await keyboard.write(again, session.agent.keys.submit);
    if (await accepted(delivery, pastedAt)) return acceptedReceipt(session);
  }
  const how = once || isWritten(before[again]) ? 'pasted and entered twice' : 'pasted and entered';
  return {
    kind: 'unknown',
    at: clock(),
    tried: `${how}; ${whereItStands(session)} and no sign of the prompt came within ${receiptMs / 1000} s`,
  };
}

const isWritten = (at: number | null | undefined): boolean => typeof at === 'number';

/** [I4] [I9] The agent's composer takes a moment after a paste. Returns what then stands in the way of Enter. */
async function settle(delivery: Delivery, pastedAt: number): Promise<string | undefined> {
  const { session, input } = delivery;
  await delay(session.agent.keys.settleMs);
  input.signal?.throwIfAborted();
  if (startedAfter(session, pastedAt)) return 'accepted';
  // After a restart the state is unknown until evidence comes.
  const known = await session.until(
    () => (session.facts.state === 'unknown' ? undefined : true),
    waitFor(delivery, unknownPatienceMs),
  );
  if (startedAfter(session, pastedAt)) return 'accepted';
  if (known === undefined || !promptStates.includes(session.facts.state)) return whereItStands(session);
  if (hasTypedSince(session, pastedAt)) return 'a person typed after the paste';
  const obstacle = await unseenPaste(delivery);
  if (startedAfter(session, pastedAt)) return 'accepted';
  if (obstacle !== undefined) return obstacle;
  return promptStates.includes(session.facts.state) ? undefined : whereItStands(session);
}

/** [I9] Where the box can be read, it must show a text before Enter is pressed. */
async function unseenPaste(delivery: Delivery): Promise<string | undefined> {
  const patience = pasteShownMs + (delivery.input.text.length / pasteCharsPerSecond) * 1000;
  const wanted = seenBoxes.has(delivery.session)
    ? (['draft', 'dialog'] as const)
    : (['draft', 'dialog', 'unknown'] as const);
  const seen = await lookFor(delivery, wanted, patience);
  if (seen.kind === 'dialog') return `a ${seen.what} dialog came up`;
  if (seen.kind === 'empty') return 'the input box does not show it';
  return seen.kind === 'unknown' && seenBoxes.has(delivery.session) ? 'something hides the input box' : undefined;
}

/** [I3] One more Enter, if the first one was not taken: the text still stands in the box. */
async function mayEnterAgain(delivery: Delivery, pastedAt: number): Promise<boolean> {
  const { session } = delivery;
  if (!promptStates.includes(session.facts.state) || hasTypedSince(session, pastedAt)) return false;
  const seen = await look(delivery);
  return seen.kind === 'draft' || (seen.kind === 'unknown' && !seenBoxes.has(session));
}

const accepted = (delivery: Delivery, pastedAt: number): Promise<true | undefined> =>
  delivery.session.until(
    () => (startedAfter(delivery.session, pastedAt) ? true : undefined),
    waitFor(delivery, receiptMs),
  );
