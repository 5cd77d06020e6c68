/** The SGR sequence after which characters are drawn like this, whatever was in force before. */
import type { Pen } from './inside.ts';

export function penSequence(pen: Pen): string {
  const attributes: readonly (readonly [number, number])[] = [
    [1, pen.isBold()],
    [2, pen.isDim()],
    [3, pen.isItalic()],
    [4, pen.isUnderline()],
    [5, pen.isBlink()],
    [7, pen.isInverse()],
    [8, pen.isInvisible()],
    [9, pen.isStrikethrough()],
    [53, pen.isOverline()],
  ];
  const codes = attributes.flatMap(([code, on]) => (on === 0 ? [] : [String(code)]));
  if (pen.isFgRGB() || pen.isFgPalette()) codes.push(colour(30, pen.getFgColorMode(), pen.getFgColor()));
  if (pen.isBgRGB() || pen.isBgPalette()) codes.push(colour(40, pen.getBgColorMode(), pen.getBgColor()));
  return `\u001b[${['0', ...codes].join(';')}m`;
}

/** xterm's modes of a colour. One of the first 16 set by its number of 256 is another than the same one set by its own code. */
const [first16, of256] = [0x1000000, 0x2000000];
/** From 30 to 90 and from 40 to 100. */
const bright = 60;

function colour(base: number, mode: number, value: number): string {
  if (mode === first16) return String(value < 8 ? base + value : base + bright + value - 8);
  if (mode === of256) return `${base + 8};5;${value}`;
  return `${base + 8};2;${(value >> 16) & 255};${(value >> 8) & 255};${value & 255}`;
}
