import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { eventTypes, outcomeReasons } from '../../src/protocol/job.ts';
import { undocumented } from './documented-events.ts';

/** The names in the first column of a page's table. */
function named(page: string): string[] {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8');
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1] ?? '');
}

test('docs/events.md has every type of event, in the order of the list', () => {
  expect(named('events.md')).toEqual([...eventTypes]);
});

// Every stage of test/system holds all events of its ledger against the page when it is closed.
test('data of an event that docs/events.md does not name is found; what is said of a key in parentheses is no key', () => {
  const events = [
    { type: 'branch.landed', data: { branch: 'b', commit: 'c', warning: 'w', secret: 1 } },
    { type: 'permission.answered', data: { decision: 'allow', asked: {}, receipt: {}, clipped: true, tool: 'x' } },
    { type: 'brand.new', data: { some: 1 } },
  ];
  expect(undocumented(events)).toEqual(['branch.landed.secret', 'permission.answered.tool', 'brand.new.some']);
});

test('docs/outcomes.md tells what every reason means and what to do, in the order of the list', () => {
  expect(named('outcomes.md')).toEqual([...outcomeReasons]);
});
