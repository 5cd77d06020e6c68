import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { prepareWorktree } from './worktree.ts';
import { type ReusePlan, reuseWorktree } from './worktree-reuse.ts';

let dir: string;
let repository: string;
let path: string;
const run = (cwd: string, ...args: string[]): string => execFileSync('git', args, { cwd, encoding: 'utf8' }).trim();
const head = (): string => run(repository, 'rev-parse', 'HEAD');
const plan = (branch: string, base = head()): ReusePlan => ({
  repository,
  path,
  branch,
  base,
  ignore: ['AGENTS.md'],
  saveRef: `refs/muster/saved/${branch}`,
  exclude: ['AGENTS.md'],
});

beforeEach(async () => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-reuse-')));
  repository = join(dir, 'repository');
  path = join(dir, 'worktrees', 'dev', 'pool-1');
  mkdirSync(repository);
  run(repository, 'init', '-q', '-b', 'main');
  run(repository, 'config', 'user.name', 'Test');
  run(repository, 'config', 'user.email', 'test@localhost');
  writeFileSync(join(repository, 'a.txt'), 'one\n');
  writeFileSync(join(repository, '.gitignore'), 'cache/\n');
  run(repository, 'add', '-A');
  run(repository, 'commit', '-qm', 'first');
  await prepareWorktree(plan('muster/pool-1'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('goes to the new base on a branch of its own; leftovers are saved, ignored files and ours stay', async () => {
  writeFileSync(join(path, 'a.txt'), 'changed\n');
  writeFileSync(join(path, 'left.txt'), 'left\n');
  writeFileSync(join(path, 'AGENTS.md'), 'persona\n');
  mkdirSync(join(path, 'cache'));
  writeFileSync(join(path, 'cache', 'kept'), '');
  writeFileSync(join(repository, 'b.txt'), 'two\n');
  run(repository, 'add', '-A');
  run(repository, 'commit', '-qm', 'second');
  expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
  expect([
    run(path, 'rev-parse', 'HEAD'),
    run(path, 'symbolic-ref', '--short', 'HEAD'),
    run(path, 'status', '--porcelain'),
  ]).toEqual([head(), 'muster/j1', '']);
  expect([
    existsSync(join(path, 'left.txt')),
    existsSync(join(path, 'cache', 'kept')),
    existsSync(join(path, 'AGENTS.md')),
  ]).toEqual([false, true, true]);
  expect(run(repository, 'show', 'refs/muster/saved/muster/j1:left.txt')).toBe('left');
  expect(run(repository, 'show', 'refs/muster/saved/muster/j1:a.txt')).toBe('changed');
});

test('called again after a crash it touches nothing', async () => {
  await reuseWorktree(plan('muster/j1'));
  writeFileSync(join(path, 'work.txt'), 'of the job\n');
  expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
  expect(existsSync(join(path, 'work.txt'))).toBe(true);
});

test('refuses a branch that stands elsewhere, a base that is not there, and a folder that is no worktree', async () => {
  run(repository, 'commit', '--allow-empty', '-qm', 'second');
  run(repository, 'branch', 'muster/j1', 'HEAD~1');
  expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({
    kind: 'failed',
    reason: expect.stringContaining('exists already') as string,
  });
  expect(await reuseWorktree(plan('muster/j2', 'f'.repeat(40)))).toMatchObject({ kind: 'failed' });
  expect(await reuseWorktree({ ...plan('muster/j3'), path: join(dir, 'nowhere') })).toMatchObject({ kind: 'failed' });
});
