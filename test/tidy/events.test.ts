import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { eventTypes, outcomeReasons } from '../../src/protocol/job.ts';

/** The names in the first column of a page's table. */
function named(page: string): string[] {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8');
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1] ?? '');
}

test('docs/events.md tells the data of every type of event, in the order of the list', () => {
  expect(named('events.md')).toEqual([...eventTypes]);
});

test('docs/outcomes.md tells what every reason means and what to do, in the order of the list', () => {
  expect(named('outcomes.md')).toEqual([...outcomeReasons]);
});
