/**
 * The demo as a stranger runs it: a process, the real daemon, host and agent, and a scenario that is not the one it was written for.
 * The model claims in both jobs that all tests pass; only in one of them they do.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { homeAt } from '../../src/platform/home.ts';
import { findOwnProcesses } from '../../src/platform/own-processes.ts';
import { isAlive } from '../../src/platform/processes.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const testMs = 180_000;

const files: Readonly<Record<string, string>> = {
  'repository/sum.js': 'export const sum = (numbers) => numbers.reduce((a, b) => a - b, 0);\n',
  'repository/package.json': '{ "type": "module" }\n',
  'repository/sum.test.js': `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sum } from './sum.js';
test('sums', () => assert.equal(sum([1, 2, 3]), 6));
`,
  'jobs.yaml': `title: a sum that subtracts
test: node --test
jobs:
  - { id: wrong, title: mended badly, text: 'Mend sum() so that its test passes, first worker', verify: node --test }
  - { id: right, title: mended well, text: 'Mend sum() so that its test passes, second worker', verify: node --test }
`,
  'conversations.yaml': `conversations:
  - when: first worker
    steps:
      - { text: I mend it., read: sum.js }
      - { text: Like this., edit: { path: sum.js, find: "export const sum = (numbers) => numbers.reduce((a, b) => a - b, 0);\\n", replace: "export const sum = (numbers) => numbers.reduce((a, b) => a * b, 0);\\n" } }
      - { text: "All tests pass.\\n[MUSTER:DONE]" }
  - when: second worker
    steps:
      - { text: I mend it., read: sum.js }
      - { text: Like this., edit: { path: sum.js, find: "export const sum = (numbers) => numbers.reduce((a, b) => a - b, 0);\\n", replace: "export const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);\\n" } }
      - { text: "All tests pass.\\n[MUSTER:DONE]" }
`,
};

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'demo-'));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, 'scenario', path)), { recursive: true });
    writeFileSync(join(folder, 'scenario', path), content);
  }
});

const home = () => homeAt(join(folder, 'demo/home'));

function muster(...args: readonly string[]): string {
  const env = { ...process.env, MUSTER_HOME: home().dir };
  return execFileSync(process.execPath, [join(checkout, 'bin/muster.mjs'), ...args], { env, encoding: 'utf8' });
}

afterEach(() => {
  muster('down');
  rmSync(folder, { recursive: true, force: true });
});

interface DemoEnd {
  readonly code: number | string;
  readonly output: string;
}

function runDemo(): Promise<DemoEnd> {
  const args = [
    join(checkout, 'demo/run.ts'),
    '--folder',
    join(folder, 'demo'),
    '--scenario',
    join(folder, 'scenario'),
  ];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { encoding: 'utf8', timeout: testMs }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, output: stdout + stderr }),
    );
  });
}

test('the outcome follows the tests and not the words; nothing is left running after down', {
  timeout: testMs,
}, async () => {
  const { code, output } = await runDemo();
  expect(output).toContain('1 of 2 jobs done');
  expect(output).toMatch(/mended badly \(j1\): failed\n {2}result +VERIFY_FAILED/);
  expect(output).toMatch(/mended well \(j2\): done\n {2}result +commit [0-9a-f]{10} on muster\/j2/);
  expect(code).toBe(1);
  const model = JSON.parse(readFileSync(join(folder, 'demo/model.json'), 'utf8'));
  expect(isAlive(model)).toBe(true);
  muster('down');
  expect(await findOwnProcesses(home())).toEqual([]);
  await expect.poll(() => isAlive(model), { timeout: 5000 }).toBe(false);
});
