/**
 * What stands in an agent's input box, and how it is emptied ([I7] to [I9]).
 *
 * A box is read off the screen by the agent's own rules; where they find none, that is said, and never taken for an empty one. The words
 * that are shown may be fewer than were typed (a long paste is one placeholder, a tall draft scrolls), so two texts are compared without
 * white space and by their beginning.
 */
import type { Agent } from '../agents/agent.ts';
import { delay } from '../base/wait.ts';
import type { ScreenView, SessionState } from '../protocol/state.ts';

export type Draft =
  | { readonly kind: 'empty' }
  | { readonly kind: 'draft'; readonly text: string }
  /** Something else has the keyboard: a permission, a question, a start-up dialog. */
  | { readonly kind: 'dialog'; readonly what: SessionState }
  /** No rule of this agent finds its box on this screen, which ends with these rows. */
  | { readonly kind: 'unknown'; readonly end: string };

/** Of a screen without a box, what a person needs to recognise what hides it. */
const endRows = 3;

const dialogs: readonly SessionState[] = ['permission', 'question', 'setup'];

export function draftOf(agent: Pick<Agent, 'interpret' | 'memory' | 'adopted'>, screen: ScreenView): Draft {
  const { evidence } = agent.interpret(agent.memory(), { source: 'screen', at: 0, payload: screen });
  const dialog = evidence.find((each) => each.state !== undefined && dialogs.includes(each.state))?.state;
  if (dialog !== undefined) return { kind: 'dialog', what: dialog };
  const text = agent.adopted.composer(screen.rows);
  if (text === undefined)
    return {
      kind: 'unknown',
      end: screen.rows
        .filter((row) => row.trim() !== '')
        .slice(-endRows)
        .join(' / '),
    };
  return text === '' ? { kind: 'empty' } : { kind: 'draft', text };
}

/** So much of a text is kept to recognise it in the box. */
export const markedCharsMax = 400;
/** A shorter beginning could be anybody's. */
const likenessCharsMin = 40;

const squeeze = (text: string): string => text.replace(/\s+/g, '').slice(0, markedCharsMax);

/** True if the box shows `ours` and nothing else, as far as a box shows a long text. */
export function isSameText(shown: string, ours: string): boolean {
  const [box, text] = [squeeze(shown), squeeze(ours)];
  if (box === text) return box !== '';
  return box.length >= likenessCharsMin && text.startsWith(box);
}

/** Keys of one round that are a line's worth; a draft has seldom more lines than a screen, which has at most a hundred or so. */
const clearRoundsMax = 120;
/** Controls that come closer together are taken for a paste: Claude Code 2.1.328 keeps them as invisible characters then. */
const betweenKeysMs = 25;

/** Rounds of the agent's own keys until the box is empty; what stands there if it does not become so. */
export async function clearBox(
  keys: { readonly clear: string },
  box: {
    readonly look: () => Promise<Draft>;
    readonly press: (key: string, number: number) => Promise<unknown>;
  },
): Promise<Draft> {
  let seen = await box.look();
  for (let round = 0; round < clearRoundsMax && seen.kind === 'draft'; round += 1) {
    for (const [index, key] of keys.clear.split('').entries()) {
      await box.press(key, round * keys.clear.length + index);
      await delay(betweenKeysMs);
    }
    seen = await box.look();
  }
  return seen;
}
