/**
 * What our terminal answers when a program asks what it is. xterm's model answers DA1, DA2, DSR, DECRQM and DECRQSS by itself; here is
 * the rest: XTVERSION, colours, the keyboard protocol, OSC 7501. One answerer for each, or a program reads the second answer as keys.
 */
import type { Terminal } from '@xterm/headless';

/** The colours that viewers draw with; programs choose a light or dark theme by them. */
const colours: Readonly<Record<number, string>> = {
  10: 'rgb:d0d0/d0d0/d0d0',
  11: 'rgb:1c1c/1c1c/1c1c',
  12: 'rgb:d0d0/d0d0/d0d0',
};
const terminalName = 'muster(1)';
const esc = '\u001b';
const stringEnd = `${esc}\\`;
/** Of `CSI > flags u`. Real programs push one or two. */
const keyboardStackMax = 16;
const keyboardFlagsMask = 31;

type Parameters = readonly (number | readonly number[])[];
const first = (parameters: Parameters, otherwise: number): number => {
  const value = parameters[0];
  return typeof value === 'number' ? value : otherwise;
};

/** Of the keyboard protocol: the flags in force, and those below them. */
export interface KeyboardState {
  readonly flags: number;
  readonly stack: readonly number[];
}

export interface Answers {
  readonly keyboard: () => KeyboardState;
}

/** `guard` must keep anything thrown from the parser. `before`: where another model of the same terminal was. */
export function registerAnswers(
  terminal: Terminal,
  answer: (text: string) => void,
  guard: <A extends unknown[]>(hook: (...given: A) => boolean) => (...given: A) => boolean,
  before: KeyboardState = { flags: 0, stack: [] },
): Answers {
  const { parser } = terminal;
  parser.registerCsiHandler(
    { prefix: '>', final: 'q' },
    guard(() => {
      answer(`${esc}P>|${terminalName}${stringEnd}`);
      return true;
    }),
  );
  for (const number of [10, 11, 12]) {
    parser.registerOscHandler(
      number,
      guard((text: string) => answerColours(number, text, answer)),
    );
  }
  return { keyboard: registerKeyboard(terminal, answer, guard, before) };
}

/** `OSC 10;?` and, as one may ask for several in a row, `OSC 10;?;?`. Setting a colour is left to the model. */
function answerColours(number: number, text: string, answer: (text: string) => void): boolean {
  if (!text.split(';').includes('?')) return false;
  for (const [index, part] of text.split(';').entries()) {
    const colour = colours[number + index];
    if (part === '?' && colour !== undefined) answer(`${esc}]${number + index};${colour}${stringEnd}`);
  }
  return true;
}

/**
 * The keyboard protocol of kitty: `CSI > n u` pushes flags, `CSI < n u` pops, `CSI = n ; mode u` sets, `CSI ? u` asks. We keep the flags
 * so that the answer is true; keys are sent in the old form, which programs read with any flags.
 */
function registerKeyboard(
  terminal: Terminal,
  answer: (text: string) => void,
  guard: <A extends unknown[]>(hook: (...given: A) => boolean) => (...given: A) => boolean,
  before: KeyboardState,
): () => KeyboardState {
  let stack = [...before.stack];
  let { flags } = before;
  const on = (prefix: string, act: (parameters: Parameters) => void): void => {
    terminal.parser.registerCsiHandler(
      { prefix, final: 'u' },
      guard((parameters: Parameters) => {
        act(parameters);
        return true;
      }),
    );
  };
  on('?', () => answer(`${esc}[?${flags}u`));
  on('>', (parameters) => {
    stack = [...stack, flags].slice(-keyboardStackMax);
    flags = first(parameters, 0) & keyboardFlagsMask;
  });
  on('<', (parameters) => {
    const count = Math.min(Math.max(1, first(parameters, 1)), keyboardStackMax);
    for (let popped = 0; popped < count; popped++) flags = stack.pop() ?? 0;
  });
  on('=', (parameters) => {
    const given = first(parameters, 0) & keyboardFlagsMask;
    const mode = typeof parameters[1] === 'number' ? parameters[1] : 1;
    flags = mode === 2 ? flags | given : mode === 3 ? flags & ~given : given;
  });
  return () => ({ flags, stack });
}
