import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { faults } from '../../src/base/faults.ts';

const exits: Readonly<Record<number, string>> = {
  1: 'the answer is no',
  2: 'wrong use',
  3: 'no daemon',
  4: 'the outside',
  5: 'ours',
};

/** The rows as they must stand in the page; to renew it, copy them from the failure. */
const table = [
  '| Code | Meaning | HTTP | Exit | Whose |',
  '|---|---|---|---|---|',
  ...Object.entries(faults).map(
    ([code, entry]) => `| \`${code}\` | ${entry.meaning} | ${entry.status} | ${entry.exit} | ${entry.blame} |`,
  ),
].join('\n');

const page = readFileSync(new URL('../../docs/faults.md', import.meta.url), 'utf8');

test('docs/faults.md shows the table of src/base/faults.ts, row by row', () => {
  const shown = page
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .join('\n');
  expect(shown).toBe(table);
});

test('docs/faults.md explains every exit code', () => {
  for (const [code, meaning] of Object.entries(exits)) expect(page).toContain(`- \`${code}\` ${meaning}`);
});
