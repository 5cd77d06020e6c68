/**
 * Which step answers a request. The newest user message that chooses a script decides: `SCRIPT:<name>` (with `!` to ask for approval),
 * `SCRIPT:[{...}]` with the steps themselves, or plain words that a conversation knows. The step is the number of tool rounds since then,
 * so that one server serves many sessions and keeps nothing about them.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Turn } from './dialect.ts';
import { scripts } from './scripts.ts';
import { type Conversation, type Script, type Step, scriptSchema } from './step.ts';

export interface Plan {
  /** As the log shows it: a script's name, `inline:<hash>`, `when:<words>`, `default`, `aux` or `invalid`. */
  readonly script: string;
  readonly index: number;
  readonly step: Step;
  /** Counts failures of this step for this prompt text. Further words in the prompt begin a new count. */
  readonly counter: string;
}

type Choice = { readonly script: string; readonly steps: Script; readonly escalate: boolean };

const digest = (text: string): string => createHash('sha1').update(text).digest('hex');

export function planFor(turns: readonly Turn[], conversations: readonly Conversation[], fallback: Step): Plan {
  for (let at = turns.length - 1; at >= 0; at -= 1) {
    const turn = turns[at];
    if (turn?.role !== 'user') continue;
    const choice = directiveIn(turn.text) ?? conversationFor(turn.text, conversations);
    if (!choice && isAnswered(turns[at - 1])) break;
    if (!choice) continue;
    const rounds = turns.slice(at + 1).filter(({ role, calls }) => role === 'assistant' && calls > 0).length;
    const step = choice.steps[rounds] ?? { text: 'Script finished.' };
    return {
      script: choice.script,
      index: rounds,
      step: choice.escalate ? { ...step, escalate: true } : step,
      counter: digest(`${choice.script}|${rounds}|${turn.text}`),
    };
  }
  return { script: 'default', index: 0, step: fallback, counter: '' };
}

/**
 * A user message that follows a closing answer begins another turn. Without words of its own that choose a script it gets the default:
 * Qwen Code, for one, asks a side agent to go over the whole conversation again, which must not play the script again.
 */
const isAnswered = (before: Turn | undefined): boolean =>
  before?.role === 'assistant' && before.calls === 0 && before.text !== '';

const mark = 'SCRIPT:';

function directiveIn(text: string): Choice | undefined {
  const at = text.lastIndexOf(mark);
  if (at < 0) return undefined;
  const rest = text.slice(at + mark.length);
  if (rest.startsWith('[')) return inlineScript(rest);
  const name = rest.match(/^[\w-]+/)?.[0] ?? '';
  const steps = Object.hasOwn(scripts, name) ? scripts[name] : undefined;
  return steps && { script: name, steps, escalate: rest[name.length] === '!' };
}

/** An inline script longer than this many closing brackets is not one. */
const bracketsMax = 500;

/** The shortest text up to a closing bracket that is JSON: what follows the script is more prompt. */
function inlineScript(rest: string): Choice | undefined {
  let end = rest.indexOf(']');
  for (let tried = 0; end >= 0 && tried < bracketsMax; tried += 1, end = rest.indexOf(']', end + 1)) {
    const source = rest.slice(0, end + 1);
    const value = parsedOrNothing(source);
    if (value === undefined) continue;
    const read = scriptSchema.safeParse(value);
    if (read.success) return { script: `inline:${digest(source).slice(0, 8)}`, steps: read.data, escalate: false };
    return { script: 'invalid', steps: [refusedScript(z.prettifyError(read.error))], escalate: false };
  }
  return undefined;
}

function parsedOrNothing(source: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    return undefined; // an inner bracket: the script goes on
  }
}

/** A script with a misspelt step is told to the agent as the bad request that it is, not half obeyed. */
const refusedScript = (problem: string): Step => ({
  error: { status: 400, type: 'invalid_request_error', message: `The inline script can not be used: ${problem}` },
});

const plainWords = (text: string): string => text.replace(/\s+/g, ' ').trim().toLowerCase();

function conversationFor(text: string, conversations: readonly Conversation[]): Choice | undefined {
  const said = plainWords(text);
  const fitting = conversations.filter(({ when }) => said.includes(plainWords(when)));
  const best = fitting.toSorted((a, b) => b.when.length - a.when.length)[0];
  return best && { script: `when:${best.when.slice(0, 60)}`, steps: best.steps, escalate: false };
}
