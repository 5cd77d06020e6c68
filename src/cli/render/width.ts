/**
 * Columns that text takes in a terminal: 0 for combining marks and joiners, 2 for East Asian wide characters and emoji, else 1.
 * A table that counts characters instead is torn by the first Korean title.
 */
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f1e6}-\u{1f1ff}\u{20000}-\u{3fffd}]|^\p{Emoji_Presentation}/u;
const narrowNothing = /^(?:[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff]|\p{Emoji_Modifier})/u;

function characterWidth(character: string): number {
  const code = character.charCodeAt(0);
  if (code >= 0x20 && code < 0x7f) return 1;
  if (narrowNothing.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}

export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** At most `columns` wide; what is cut is shown by an ellipsis that counts. */
export function fit(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let kept = '';
  let width = 0;
  for (const character of text) {
    width += characterWidth(character);
    if (width > columns - 1) break;
    kept += character;
  }
  return columns < 1 ? '' : `${kept}…`;
}

export const pad = (text: string, columns: number): string =>
  text + ' '.repeat(Math.max(0, columns - displayWidth(text)));
