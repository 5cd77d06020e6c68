/**
 * What a snapshot of the serialize addon (0.14) loses of a terminal: cursor hidden and mouse encoding (hooks of our own follow them), scroll
 * region, tab stops, line drawing, the saved cursor, the pen, and the cursor behind a full row. What stays lost: hyperlinks, the
 * stack of titles, and the style of an underline.
 */
import type { Terminal } from '@xterm/headless';
import { type Inside, type InsideBuffer, insideOf } from './inside.ts';
import { penSequence } from './pen.ts';

export interface Modes {
  /** `serialized` and all that it lacks; ends with the cursor at its place. */
  readonly complete: (serialized: string) => string;
  /** True if a line feed in the last row scrolls the whole screen. */
  readonly scrollsWhole: () => boolean;
}

const esc = '\u001b';
const csi = `${esc}[`;
/** Private modes that are followed, with their state after a reset. */
const followed: ReadonlyMap<number, boolean> = new Map([
  [25, true],
  [1005, false],
  [1006, false],
  [1015, false],
  [1016, false],
]);
const designators = ['(', ')', '*', '+'];
const shiftOut = '\u000e';
const enterAlternate = `${csi}?1049h`;
const tabWidth = 8;

export function followModes(
  terminal: Terminal,
  guard: <A extends unknown[]>(hook: (...given: A) => boolean) => (...given: A) => boolean,
): Modes {
  const inside = insideOf(terminal);
  const set = new Map(followed);
  const reset = (): boolean => {
    for (const [mode, initially] of followed) set.set(mode, initially);
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
  terminal.parser.registerEscHandler({ final: 'c' }, guard(reset));
  terminal.parser.registerCsiHandler({ intermediates: '!', final: 'p' }, guard(reset));
  return {
    complete: (serialized) => {
      const { cursorX, cursorY } = terminal.buffer.active;
      const row = cursorY - (terminal.modes.originMode ? inside.buffer().scrollTop : 0);
      return [
        beforeAlternate(terminal, inside, boldAfterDim(serialized)),
        tabStops(terminal, inside.buffer()),
        savedCursor(inside.buffer()),
        scrollRegion(terminal, inside.buffer()),
        ...[...set].map(([mode, value]) => (value === followed.get(mode) ? '' : `${csi}?${mode}${value ? 'h' : 'l'}`)),
        cursorAt(terminal, row, cursorX),
        penSequence(inside.pen()),
        lineDrawing(inside),
      ].join('');
    },
    scrollsWhole: () => scrollRegion(terminal, inside.buffer()) === '',
  };
}

const sgr = /\u001b\[([\d;]+)m/g;
/** The arguments of a colour are no attributes. */
const boldThenNotDim = /^((?:[34]8;5;\d+;|[34]8;2;\d+;\d+;\d+;|\d+;)*?)1((?:;\d+)*?);22(?![\d])/;

/**
 * The addon goes from dim to bold by `1;22`, but 22 ends both. (From both to one of them it says 22 alone, which can't be mended here.)
 */
function boldAfterDim(serialized: string): string {
  return serialized.replaceAll(sgr, (sequence, codes: string) => {
    const [whole, before, between] = boldThenNotDim.exec(codes) ?? [];
    return whole === undefined ? sequence : sequence.replace(whole, `${before}22;1${between}`);
  });
}

/** Entering the alternate screen saves the cursor of the normal one, and leaving it goes back there. */
function beforeAlternate(terminal: Terminal, inside: Inside, serialized: string): string {
  const at = serialized.indexOf(enterAlternate);
  if (at < 0 || terminal.buffer.active.type !== 'alternate') return serialized;
  const normal = inside.normal();
  const cursor = cursorTo(normal) + penSequence(normal.savedCurAttrData);
  const before = `${tabStops(terminal, normal)}${scrollRegion(terminal, normal)}${cursor}`;
  return `${serialized.slice(0, at)}${before}${enterAlternate}${csi}0m${serialized.slice(at + enterAlternate.length)}`;
}

/** Each of the two screens has its own stops, region and saved cursor. */
function tabStops(terminal: Terminal, { tabs }: InsideBuffer): string {
  const stops = Array.from({ length: terminal.cols }, (_, column) => tabs[column] === true);
  if (stops.every((stop, column) => stop === (column % tabWidth === 0))) return '';
  return `${csi}3g${stops.map((stop, column) => (stop ? `${csi}1;${column + 1}H${esc}H` : '')).join('')}`;
}

function scrollRegion(terminal: Terminal, { scrollTop, scrollBottom }: InsideBuffer): string {
  return scrollTop === 0 && scrollBottom >= terminal.rows - 1 ? '' : `${csi}${scrollTop + 1};${scrollBottom + 1}r`;
}

const cursorTo = ({ savedX, savedY, ybase }: InsideBuffer): string =>
  `${csi}${Math.max(0, savedY - ybase) + 1};${savedX + 1}H`;

/** Before the scroll region is set, because it moves the origin. */
function savedCursor(buffer: InsideBuffer): string {
  const { ybase, savedX, savedY, savedCharset } = buffer;
  const pen = penSequence(buffer.savedCurAttrData);
  if (savedX === 0 && savedY <= ybase && pen === `${csi}0m` && savedCharset === undefined) return '';
  const [drawing, text] = savedCharset === undefined ? ['', ''] : [`${esc}(0`, `${esc}(B`];
  return `${cursorTo(buffer)}${pen}${drawing}${esc}7${text}`;
}

/** Behind a full row the cursor can't be addressed: the last character is written again, which leaves it there. */
function cursorAt(terminal: Terminal, row: number, column: number): string {
  const at = (x: number): string => `${csi}${row + 1};${x + 1}H`;
  if (column < terminal.cols) return at(column);
  const { active } = terminal.buffer;
  const line = active.getLine(active.baseY + active.cursorY);
  const last = terminal.cols - (line?.getCell(terminal.cols - 1)?.getWidth() === 0 ? 2 : 1);
  const cell = line?.getCell(last);
  if (cell === undefined) return at(terminal.cols - 1);
  return `${at(last)}${penSequence(cell)}${cell.getChars() || ' '}`;
}

function lineDrawing(inside: Inside): string {
  const { designated, shifted } = inside.charsets();
  const sets = designators.map((designator, index) => (designated[index] === undefined ? '' : `${esc}${designator}0`));
  const shift = ['', shiftOut, `${esc}n`, `${esc}o`][shifted] ?? '';
  return sets.join('') + shift;
}
