/**
 * A prompt into a terminal that a person uses too. Order: is it free (look) → write down that it begins → paste → look again → Enter →
 * evidence. SPEC.md [A4] to [A8].
 *
 * Invariants: nothing is typed where anything but the agent's empty input box is seen; text is pasted once, whatever is answered, and
 * Enter at most twice; only evidence about the agent's turn, never an exit code or a changed screen, makes a receipt `accepted`.
 */
import { promptStates } from '../../agents/agent.ts';
import { oneLine } from '../../base/text.ts';
import { delay } from '../../base/wait.ts';
import type { Typed } from '../../platform/tmux.ts';
import type { Receipt } from '../../protocol/session.ts';
import { begunInput, lastBegun, withBegun, withoutBegun } from '../begun.ts';
import { acceptedReceipt, cleanPaste, type PromptInput, startedAfter, whereItStands } from '../input.ts';
import type { LiveSession } from '../live-session.ts';
import type { BegunInput } from '../record.ts';
import type { Look, Seen, ToldBox } from './place.ts';

export interface AdoptedTerminal {
  /** What a look shows that begins now; the session has observed it. */
  readonly look: () => Promise<Look>;
  readonly toldBox: () => Promise<ToldBox>;
  readonly paste: (text: string, seen: Seen) => Promise<Typed>;
  readonly keys: (data: string) => Promise<Typed>;
}

export type Box =
  | { readonly kind: 'empty'; readonly seen: Seen }
  | { readonly kind: 'draft'; readonly text: string; readonly seen: Seen }
  | { readonly kind: 'blocked'; readonly reason: string };

/** The agent shows within it that it received a prompt. */
const evidenceMs = 5000;
/** An Enter that came while the paste was still being taken in is swallowed; so long is waited before the one more. */
const enterAgainMs = 2000;
/** A paste is drawn within it. */
const arrivalMs = 3000;
const arrivalPollMs = 100;
/** A person moves the cursor while they look around; so often the paste is tried on a screen that stands still. */
const stillTries = 3;

export async function deliverAdopted(
  session: LiveSession,
  terminal: AdoptedTerminal,
  input: PromptInput,
  clock: () => number,
): Promise<Receipt> {
  const begun = begunInput(session.record, input.inputId);
  if (begun !== undefined) return earlier(session, begun, clock);
  const objection = objectionTo(session, input);
  if (objection !== undefined) return { kind: 'refused', at: clock(), reason: objection };
  await session.until(() => (session.ended || promptStates.includes(session.facts.state) ? true : undefined), {
    ms: input.readyMs,
    ...(input.signal ? { signal: input.signal } : {}),
  });
  const pasted = await paste(session, terminal, input, clock);
  if (pasted.kind === 'refused') return { kind: 'refused', at: clock(), reason: pasted.reason };
  const stopped = await arrive(session, terminal, pasted.at);
  if (startedAfter(session, pasted.at)) return acceptedReceipt(session);
  if (stopped !== undefined) return { kind: 'unknown', at: clock(), tried: `pasted, but not entered: ${stopped}` };
  return enter(session, terminal, pasted.at, clock);
}

/** Why a text is typed nowhere. Over a person's draft nothing is typed here, whatever is asked for. */
function objectionTo({ agent }: LiveSession, { text, raw }: PromptInput): string | undefined {
  const clean = cleanPaste(text);
  if (clean.trim() === '') return 'there is nothing in it that an agent would take: only white space or controls';
  const command = raw === true ? undefined : agent.commandOf(clean);
  return command === undefined
    ? undefined
    : `this agent ${command}; begin it with a word, or ask for it to be sent raw`;
}

/** The same input asked for again: what is known of the first time. */
function earlier(session: LiveSession, begun: BegunInput, clock: () => number): Receipt {
  // A turn that began after another input may be that one's.
  const isLast = lastBegun(session.record)?.inputId === begun.inputId;
  if (isLast && startedAfter(session, begun.at)) return acceptedReceipt(session);
  const since = isLast ? '' : ', and another input after it';
  const tried = `typed before under this id${since}; nothing shows that it arrived`;
  return { kind: 'unknown', at: clock(), tried };
}

type Pasted = { readonly kind: 'pasted'; readonly at: number } | { readonly kind: 'refused'; readonly reason: string };

async function paste(
  session: LiveSession,
  terminal: AdoptedTerminal,
  input: PromptInput,
  clock: () => number,
): Promise<Pasted> {
  let reason = '';
  for (let tries = 0; tries < stillTries; tries += 1) {
    const box = await readBox(session, terminal);
    if (box.kind === 'blocked') return { kind: 'refused', reason: box.reason };
    if (box.kind === 'draft') {
      const draft = `a draft stands in its input box: "${oneLine(box.text, 80)}"`;
      return { kind: 'refused', reason: `${draft}; somebody is writing there` };
    }
    const at = clock();
    await session.amend(withBegun(session.record, { inputId: input.inputId, at }));
    const typed = await terminal.paste(cleanPaste(input.text), box.seen);
    if (typed.kind !== 'refused') return { kind: 'pasted', at };
    await session.amend(withoutBegun(session.record, input.inputId));
    reason = typed.reason;
  }
  return { kind: 'refused', reason };
}

/** [A4] Free for typing, or what stands there. */
export async function readBox(session: LiveSession, terminal: AdoptedTerminal): Promise<Box> {
  const look = await terminal.look();
  if (look.kind !== 'seen') return { kind: 'blocked', reason: look.reason };
  if (look.obstacle !== undefined) return { kind: 'blocked', reason: look.obstacle };
  if (!promptStates.includes(session.facts.state))
    return {
      kind: 'blocked',
      reason: `${whereItStands(session)}; a prompt is typed only where the agent waits for one`,
    };
  const told = await terminal.toldBox();
  if (told === 'dialog') return { kind: 'blocked', reason: 'a dialog is open in it' };
  const text = session.agent.adopted.composer(look.solid);
  if (told === 'draft') return { kind: 'draft', text: text ?? '', seen: look };
  if (text === undefined)
    return { kind: 'blocked', reason: 'its input box can not be seen, so it may not be at its prompt' };
  return text === '' || told === 'empty' ? { kind: 'empty', seen: look } : { kind: 'draft', text, seen: look };
}

/** Waits until the text stands in the box. What speaks against Enter, or undefined. [A6] */
async function arrive(session: LiveSession, terminal: AdoptedTerminal, pastedAt: number): Promise<string | undefined> {
  await delay(session.agent.keys.settleMs);
  for (const until = performance.now() + arrivalMs; ; ) {
    const box = await readBox(session, terminal);
    if (startedAfter(session, pastedAt) || box.kind === 'draft') return undefined;
    if (box.kind === 'blocked') return box.reason;
    if (performance.now() > until) return 'nothing of it stands in the input box';
    await delay(arrivalPollMs);
  }
}

async function enter(
  session: LiveSession,
  terminal: AdoptedTerminal,
  pastedAt: number,
  clock: () => number,
): Promise<Receipt> {
  const accepted = (ms: number): Promise<true | undefined> =>
    session.until(() => (startedAfter(session, pastedAt) ? true : undefined), { ms });
  const first = await terminal.keys(session.agent.keys.submit);
  if (first.kind === 'refused')
    return { kind: 'unknown', at: clock(), tried: `pasted, but not entered: ${first.reason}` };
  if (await accepted(enterAgainMs)) return acceptedReceipt(session);
  const box = await readBox(session, terminal);
  const again = box.kind === 'draft' && !startedAfter(session, pastedAt);
  if (again) await terminal.keys(session.agent.keys.submit);
  if (await accepted(again ? evidenceMs : evidenceMs - enterAgainMs)) return acceptedReceipt(session);
  const tried = `pasted and entered${again ? ' twice' : ''}`;
  return {
    kind: 'unknown',
    at: clock(),
    tried: `${tried}; ${whereItStands(session)} and no sign of the prompt came within ${evidenceMs / 1000} s`,
  };
}
