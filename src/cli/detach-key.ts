/**
 * The key that leaves an attached session, in every form in which a terminal may send it: the plain control character, the kitty keyboard
 * protocol (`CSI 93;5u`) and xterm's modifyOtherKeys (`CSI 27;5;93~`), which the agent may have switched on.
 */
import { Fault } from '../base/fault.ts';

export interface DetachKey {
  /** As shown to people: `Ctrl-]`. */
  readonly name: string;
  /** Where the key begins in what was typed; -1 if it is not in it. */
  readonly indexIn: (input: string) => number;
}

export function parseDetachKey(text: string): DetachKey {
  const letter = /^ctrl-([a-z[\]\\^_@])$/i.exec(text)?.[1]?.toLowerCase();
  if (letter === undefined) {
    throw new Fault('BAD_REQUEST', `--detach-key: "${text}" is no key that can be used`, {
      subject: '--detach-key',
      hint: 'Give ctrl- and a letter or one of [ ] \\ ^ _ @, like ctrl-] or ctrl-q.',
    });
  }
  const control = String.fromCharCode(letter.toUpperCase().charCodeAt(0) & 31);
  const code = letter.charCodeAt(0);
  const extended = new RegExp(`\\u001b\\[(?:${code}(?::\\d*)*;(\\d+)(?::(\\d+))?u|27;(\\d+);${code}~)`, 'g');
  return {
    name: `Ctrl-${letter.toUpperCase()}`,
    indexIn: (input) => {
      const found = [...input.matchAll(extended)].find(
        ([, kitty, event, other]) => event !== '3' && onlyControl(kitty ?? other),
      );
      const indexes = [input.indexOf(control), found?.index ?? -1].filter((index) => index >= 0);
      return indexes.length === 0 ? -1 : Math.min(...indexes);
    },
  };
}

/** Modifiers are sent as 1 + bits: 4 is Ctrl; 64 and 128 are the locks, which don't matter. */
const onlyControl = (modifiers: string | undefined): boolean => ((Number(modifiers) - 1) & ~(64 | 128)) === 4;
