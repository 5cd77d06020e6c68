import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { exists, makePrivateDir, readJson, writeFileAtomically } from './atomic-file.ts';
import { removeTree } from './remove-tree.ts';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-file-'));
  path = join(folder, 'a.json');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const mode = (of: string): string => (statSync(of).mode & 0o777).toString(8);

test('a new file is private, a replaced one keeps its mode, a wanted mode is set', async () => {
  await writeFileAtomically(path, 'one');
  expect([readFileSync(path, 'utf8'), mode(path)]).toEqual(['one', '600']);
  chmodSync(path, 0o640);
  await writeFileAtomically(path, 'two');
  expect([readFileSync(path, 'utf8'), mode(path)]).toEqual(['two', '640']);
  await writeFileAtomically(path, 'three', 0o666);
  expect([readFileSync(path, 'utf8'), mode(path)]).toEqual(['three', '666']);
  expect(readdirSync(folder)).toEqual(['a.json']);
});

test('of many writers at once one wins whole, and none leaves anything behind', async () => {
  const contents = Array.from({ length: 20 }, (_, index) => String(index).repeat(100_000));
  await Promise.all(contents.map((content) => writeFileAtomically(path, content)));
  expect(contents).toContain(readFileSync(path, 'utf8'));
  expect(readdirSync(folder)).toEqual(['a.json']);
});

test('a write that can not be done leaves what was there', async () => {
  mkdirSync(path);
  writeFileSync(join(path, 'inside'), '');
  await expect(writeFileAtomically(path, 'x')).rejects.toThrow();
  expect(readdirSync(folder)).toEqual(['a.json']);
});

test('JSON is read; what is absent, cut off or not JSON is undefined', async () => {
  await writeFileAtomically(path, '{"a": [1]}');
  expect(await readJson(path)).toEqual({ a: [1] });
  writeFileSync(path, '{"a": [1');
  expect(await readJson(path)).toBeUndefined();
  expect(await readJson(join(folder, 'none'))).toBeUndefined();
});

test('a private folder is one also if it was open before', async () => {
  const inside = join(folder, 'x', 'y');
  await makePrivateDir(inside);
  chmodSync(inside, 0o755);
  await makePrivateDir(inside);
  expect([mode(inside), await exists(inside), await exists(join(inside, 'z'))]).toEqual(['700', true, false]);
});

test('a tree with read-only folders is removed', async () => {
  mkdirSync(join(folder, 't', 'ro'), { recursive: true });
  writeFileSync(join(folder, 't', 'ro', 'file'), '');
  chmodSync(join(folder, 't', 'ro'), 0o500);
  await removeTree(join(folder, 't'));
  await removeTree(join(folder, 't'));
  expect(readdirSync(folder)).toEqual([]);
});
