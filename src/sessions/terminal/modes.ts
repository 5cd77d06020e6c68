/**
 * Modes of a terminal that a snapshot of the serialize addon (0.14) loses, followed by hooks of our own: cursor hidden, mouse encoding,
 * origin mode, scroll region. What stays lost: the saved cursor, tab stops, line drawing sets, hyperlinks.
 */
import type { Terminal } from '@xterm/headless';

export interface Modes {
  /** To be written after the serialized screen; ends with the cursor at its place. */
  readonly epilogue: () => string;
}

const csi = '\u001b[';
/** Private modes that are followed, with their state after a reset. */
const followed: ReadonlyMap<number, boolean> = new Map([
  [6, false],
  [25, true],
  [1005, false],
  [1006, false],
  [1015, false],
  [1016, false],
]);

export function followModes(
  terminal: Terminal,
  guard: <A extends unknown[]>(hook: (...given: A) => boolean) => (...given: A) => boolean,
): Modes {
  const set = new Map(followed);
  let region: { top: number; bottom: number } | undefined;
  const reset = (): boolean => {
    for (const [mode, initially] of followed) set.set(mode, initially);
    region = undefined;
    return false;
  };
  for (const [final, value] of [
    ['h', true],
    ['l', false],
  ] as const) {
    const follow = guard((parameters: (number | number[])[]) => {
      for (const mode of parameters) if (typeof mode === 'number' && set.has(mode)) set.set(mode, value);
      return false;
    });
    terminal.parser.registerCsiHandler({ prefix: '?', final }, follow);
  }
  const followRegion = guard((parameters: (number | number[])[]) => {
    const [top, bottom] = [Number(parameters[0] ?? 0) || 1, Number(parameters[1] ?? 0) || terminal.rows];
    if (bottom > top) region = top === 1 && bottom >= terminal.rows ? undefined : { top, bottom };
    return false;
  });
  terminal.parser.registerCsiHandler({ final: 'r' }, followRegion);
  terminal.parser.registerEscHandler({ final: 'c' }, guard(reset));
  terminal.parser.registerCsiHandler({ intermediates: '!', final: 'p' }, guard(reset));
  terminal.onResize(() => {
    region = undefined;
  });
  return { epilogue: () => epilogueOf(terminal, set, region) };
}

function epilogueOf(
  terminal: Terminal,
  set: ReadonlyMap<number, boolean>,
  region: { top: number; bottom: number } | undefined,
): string {
  const { cursorX, cursorY } = terminal.buffer.active;
  const origin = set.get(6) === true;
  const top = origin && region !== undefined ? region.top - 1 : 0;
  let text = region === undefined ? '' : `${csi}${region.top};${region.bottom}r`;
  for (const [mode, value] of set) if (value !== followed.get(mode)) text += `${csi}?${mode}${value ? 'h' : 'l'}`;
  // A cursor behind the last column (wrap pending) can't be addressed; the serialized text has left it there.
  if (cursorX < terminal.cols) text += `${csi}${cursorY - top + 1};${cursorX + 1}H`;
  return text;
}
