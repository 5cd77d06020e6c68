import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findRows } from './rows-search.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-rows-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function put(name: string, text: string, at?: number): Promise<string> {
  const path = join(dir, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  if (at !== undefined) await utimes(path, at / 1000, at / 1000);
  return path;
}

const search = (nameHas: string | undefined, firstRowHas: string | undefined): Parameters<typeof findRows>[0] => ({
  dir,
  depth: 3,
  suffix: '.jsonl',
  nameHas,
  firstRowHas,
});

test('the conversation of this folder is found among those of others, in date folders', async () => {
  const now = Date.now();
  await put('2026/11/19/rollout-a.jsonl', '{"cwd":"/w/one"}\n', now - 60_000);
  await put('2026/11/20/rollout-b.jsonl', '{"cwd":"/w/two"}\n{"cwd":"/w/one"}\n');
  const own = await put('2026/11/20/rollout-c.jsonl', `{"long":"${'x'.repeat(100_000)}","cwd":"/w/one"}\n`);
  await put('2026/11/20/rollout-d.json', '{"cwd":"/w/one"}\n');
  expect(await findRows(search(undefined, '"cwd":"/w/one"'), now)).toBe(own);
});

test('a conversation that goes on is found by its name, however old its file', async () => {
  const own = await put('2026/01/01/rollout-id7.jsonl', '{}\n', Date.now() - 1e9);
  await put('2026/11/20/rollout-id8.jsonl', '{}\n');
  expect(await findRows(search('id7', undefined), Date.now())).toBe(own);
});

test('nothing is found before the agent has made it', async () => {
  await rm(dir, { recursive: true });
  expect(await findRows(search(undefined, 'x'), 0)).toBeUndefined();
});
