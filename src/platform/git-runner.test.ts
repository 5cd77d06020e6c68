/** A real runner, real git. */
import { existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { delay } from '../base/wait.ts';
import { type GitRunner, openGitRunner } from './git-runner.ts';
import { processTable } from './process-tree.ts';
import type { GitEnd } from './run-git.ts';

let dir: string;
let runner: GitRunner;
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-runner-')));
  runner = openGitRunner({ idleMs: 200 });
});
afterEach(() => {
  runner.close();
  rmSync(dir, { recursive: true, force: true });
});

const run = (args: readonly string[], more: { cwd?: string; input?: string; limitMs?: number } = {}): Promise<GitEnd> =>
  runner.run({ args, cwd: dir, env: { PATH: process.env.PATH ?? '', HOME: dir }, input: '', limitMs: 20_000, ...more });

const runners = async (): Promise<number> =>
  [...(await processTable()).values()].filter(
    ({ parent, argv }) => parent === process.pid && argv.some((word) => word.endsWith('git-runner-main.ts')),
  ).length;

test('what it answers is what git answers, many at once, by one process that ends when it is not needed', async () => {
  expect(await run(['init', '--quiet'])).toEqual({ kind: 'ok', stdout: '' });
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, n) => run(['hash-object', '--stdin'], { input: `${n}` })),
  );
  expect(new Set(all.map((end) => end.kind === 'ok' && end.stdout)).size).toBe(20);
  expect(await runners()).toBe(1);
  expect(await run(['rev-parse', '--verify', 'HEAD'])).toMatchObject({ kind: 'failed', code: 128 });
  expect(await run(['--version'], { cwd: join(dir, 'nowhere') })).toMatchObject({ kind: 'could-not-run' });
  await vi.waitFor(async () => expect(await runners()).toBe(0), { timeout: 5000 });
  expect(await run(['--version'])).toMatchObject({ kind: 'ok' });
  await delay(1500);
  expect(existsSync(join(dir, 'late'))).toBe(false);
});

test('where it can not be started git is run all the same, and what can not be started harms no other', async () => {
  const other = run(['-c', 'alias.wait=!sleep 0.5', 'wait']);
  writeFileSync(join(dir, 'file'), '');
  expect(await run(['--version'], { cwd: join(dir, 'file') })).toMatchObject({ kind: 'could-not-run' });
  expect(await other).toMatchObject({ kind: 'ok' });
  const before = process.execPath;
  process.execPath = join(dir, 'no-node');
  onTestFinished(() => void (process.execPath = before));
  const unlucky = openGitRunner();
  onTestFinished(unlucky.close);
  const request = { args: ['--version'], cwd: dir, env: { PATH: process.env.PATH ?? '' }, input: '', limitMs: 5000 };
  expect(await unlucky.run(request)).toMatchObject({ kind: 'ok' });
});

test('closed in the middle it answers what it was asked before, then ends', async () => {
  const begun = run(['-c', 'alias.wait=!sleep 0.5; echo waited', 'wait']);
  await vi.waitFor(async () => expect(await runners()).toBe(1), { timeout: 5000 });
  runner.close();
  expect(await begun).toEqual({ kind: 'ok', stdout: 'waited\n' });
  await vi.waitFor(async () => expect(await runners()).toBe(0), { timeout: 5000 });
});

test('a limit ends what git has started; nothing of it is taken for an answer', async () => {
  const begun = performance.now();
  expect(await run(['-c', 'alias.wait=!sleep 60', 'wait'], { limitMs: 300 })).toEqual({
    kind: 'stopped',
    reason: 'took longer than 300 ms',
  });
  expect(performance.now() - begun).toBeLessThan(5000);
});

test('a call whose runner died is ended and no answer; the next one gets another runner', async () => {
  const kill = `!kill -9 $(ps -o ppid= -p $PPID); sleep 1; echo late > '${join(dir, 'late')}'`;
  expect(await run(['-c', `alias.kill=${kill}`, 'kill'])).toMatchObject({
    kind: 'stopped',
    reason: expect.stringContaining('had died') as string,
  });
  expect(await run(['--version'])).toMatchObject({ kind: 'ok' });
});
