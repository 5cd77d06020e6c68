import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
// @ts-expect-error plain JavaScript, because it runs before anything is installed
import { missingEntries } from '../../scripts/complete-lock.mjs';

test('the lock file names the builds of every platform, so that `npm ci` takes it; else run `node scripts/complete-lock.mjs`', () => {
  const lock = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')) as object;
  expect([...(missingEntries as (lock: object) => Map<string, unknown>)(lock).keys()]).toEqual([]);
});
