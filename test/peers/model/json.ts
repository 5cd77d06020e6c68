/** Reading JSON of unknown shape (a request of any agent CLI) without trusting it: a wrong shape reads as empty. */

export type JsonObject = Readonly<Record<string, unknown>>;

export const objectOf = (value: unknown): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The value at a path of keys, undefined where it breaks off. */
export const valueAt = (value: unknown, ...path: readonly string[]): unknown =>
  path.reduce<unknown>((inner, key) => objectOf(inner)[key], value);

/** The text of a message's content: a string, or a list of blocks that carry `text` or `content`. */
export function contentText(content: unknown): string {
  if (typeof content === 'string') return content;
  return listOf(content)
    .map((block) => textOf(valueAt(block, 'text')) || textOf(valueAt(block, 'content')))
    .join('\n');
}
