/** What docs/events.md says of the data of each event, to hold real events against. */
import { readFileSync } from 'node:fs';

const page = new URL('../../docs/events.md', import.meta.url);

/** Every event may say that its longest texts were clipped. */
const ofAnyEvent = 'clipped';

/** Type → the keys its row names. What stands in parentheses is said of the key before it. */
const documented: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  [...readFileSync(page, 'utf8').matchAll(/^\| `([^`]+)` \|[^|]*\| (.*) \|$/gm)].map(([, type = '', told = '']) => [
    type,
    new Set([...withoutParentheses(told).matchAll(/`(\w+)`/g)].map(([, key = '']) => key).concat(ofAnyEvent)),
  ]),
);

function withoutParentheses(text: string): string {
  const shorter = text.replace(/\([^()]*\)/g, '');
  return shorter === text ? text : withoutParentheses(shorter);
}

/** `type.key` of all that events hold and the page does not name. */
export function undocumented(events: readonly { readonly type: string; readonly data: object }[]): string[] {
  const missing = events.flatMap(({ type, data }) =>
    Object.keys(data)
      .filter((key) => documented.get(type)?.has(key) !== true)
      .map((key) => `${type}.${key}`),
  );
  return [...new Set(missing)];
}
