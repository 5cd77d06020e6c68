/**
 * The grapheme tables that terminals here and in the browser use (xterm's addon 0.4) end with Unicode 13: newer emoji would take one
 * column where agents and fonts take two. Both sides look such a character up as this older one, which behaves the same.
 */
const olderEmoji = 0x1f600;

/** Emoji of Unicode 14 to 16 outside the block U+1FA70 to U+1FAFF, which is all emoji. */
const scattered: readonly number[] = [0x1f6dc, 0x1f6dd, 0x1f6de, 0x1f6df, 0x1f7f0];

/** The code point whose width and joining this one has. */
export const widthAs = (codePoint: number): number =>
  (codePoint >= 0x1fa70 && codePoint <= 0x1faff) || scattered.includes(codePoint) ? olderEmoji : codePoint;
