/** Bounds and cleans text that came from outside before it is stored or shown. */

/** At most `max` characters, with an ellipsis that counts. */
export const clip = (text: string, max: number): string => (text.length <= max ? text : `${text.slice(0, max - 1)}…`);

const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** True if the text holds control or bidirectional override characters other than tab and newline. */
export const hasControls = (text: string): boolean => text.search(controls) >= 0;

/** One line of harmless text: control characters dropped, white space joined, clipped. */
export const oneLine = (text: string, max: number): string =>
  clip(text.replace(controls, '').replace(/\s+/g, ' ').trim(), max);

/** Several lines of harmless text: control characters other than tab and newline dropped, clipped. */
export const manyLines = (text: string, max: number): string => clip(text.replace(controls, ''), max);
