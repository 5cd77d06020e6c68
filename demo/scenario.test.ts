import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readScenario } from './scenario.ts';

const own = fileURLToPath(new URL('scenario', import.meta.url));
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "demo scenario's "));
  cpSync(own, folder, { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

const jobsFile = (jobs: string): void =>
  writeFileSync(join(folder, 'jobs.yaml'), `title: t\ntest: node --test\njobs:\n${jobs}`);
const fixText = 'text: some cents get lost when split() shares an amount';

test('the scenario of the project can be used, and its folder is one word in a command', () => {
  const { jobs, title } = readScenario(folder);
  expect(title).toBe('pocket-money, a small library with one failing test');
  expect(jobs.map(({ id, after }) => [id, after])).toEqual([
    ['fix', []],
    ['feature', ['fix']],
    ['tool', ['fix']],
  ]);
  const quoted = `'${folder.replaceAll("'", `'\\''`)}'`;
  expect(jobs[1]?.verify).toBe(`node --test && node ${quoted}/checks/parse-amount.js`);
});

test('a folder that is no scenario is refused with what is missing', () => {
  expect(() => readScenario(join(folder, 'checks'))).toThrow(/checks\/repository: is no folder/);
  rmSync(join(folder, 'conversations.yaml'));
  expect(() => readScenario(folder)).toThrow(/conversations\.yaml: ENOENT/);
  rmSync(join(folder, 'jobs.yaml'));
  expect(() => readScenario(folder)).toThrow(/jobs\.yaml: ENOENT/);
});

test('a misspelt field is named with its place', () => {
  jobsFile(`  - { id: fix, title: x, ${fixText}, verfy: npm test }`);
  expect(() => readScenario(folder)).toThrow(/jobs\.yaml: .*verfy.*jobs\[0\]/s);
});

test('jobs have names of their own and wait only for jobs above them', () => {
  jobsFile(`  - { id: a, title: x, ${fixText}, after: [b] }\n  - { id: b, title: x, ${fixText} }`);
  expect(() => readScenario(folder)).toThrow(/job 'a' comes after 'b', which is no job above it/);
  jobsFile(`  - { id: a, title: x, ${fixText} }\n  - { id: a, title: x, ${fixText} }`);
  expect(() => readScenario(folder)).toThrow(/two jobs are called 'a'/);
});

test('a job that no conversation knows is refused, not left to fail without a word', () => {
  jobsFile('  - { id: a, title: x, text: Paint the house }');
  expect(() => readScenario(folder)).toThrow(/no conversation's 'when' is in the text of job 'a'/);
});
