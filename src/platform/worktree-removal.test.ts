/** Nothing that stands nowhere else is lost when a worktree goes. Real git, real processes. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { processesIn } from './processes-in.ts';
import { prepareWorktree } from './worktree.ts';
import { lookAtWorktree, sizeOf } from './worktree-look.ts';
import { type Removed, removeWorktree } from './worktree-removal.ts';

let folder: string;
let repository: string;
let path: string;
let base: string;
const children: ChildProcess[] = [];

const run = (at: string, ...args: string[]): string =>
  execFileSync('git', args, { cwd: at, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
const put = (name: string, text: string): void => {
  mkdirSync(join(path, name, '..'), { recursive: true });
  writeFileSync(join(path, name), text);
};
const commit = (message: string): string => {
  run(path, 'add', '-A');
  run(path, 'commit', '-qm', message);
  return run(path, 'rev-parse', 'HEAD');
};

beforeEach(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'muster-removal-')));
  repository = join(folder, 'repository');
  path = join(folder, 'trees/dev/j1');
  mkdirSync(repository);
  run(repository, 'init', '-q', '-b', 'main');
  run(repository, 'config', 'user.name', 'Test');
  run(repository, 'config', 'user.email', 'test@localhost');
  writeFileSync(join(repository, 'a.txt'), 'a\n');
  writeFileSync(join(repository, '.gitignore'), 'ignored/\n');
  run(repository, 'add', '-A');
  run(repository, 'commit', '-qm', 'first');
  base = run(repository, 'rev-parse', 'HEAD');
  await prepareWorktree({ repository, path, branch: 'muster/j1', base, ignore: ['AGENTS.md'] });
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    const gone = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await gone;
  }
  rmSync(folder, { recursive: true, force: true });
});

const ref = 'refs/muster/saved/j1.1';
const where = () => ({ repository, path, branch: 'muster/j1', base, ref, exclude: ['AGENTS.md'] });
const remove = (over: { discardNested?: boolean } = {}): Promise<Removed> =>
  removeWorktree({ ...where(), ...over }, async () => undefined);
const parentsOf = (commitId: string): string[] => run(repository, 'log', '-1', '--format=%P', commitId).split(' ');
/** What would survive a clean-up of everything that nothing names. */
const survives = (commitId: string): boolean => {
  run(repository, 'reflog', 'expire', '--expire=now', '--all');
  run(repository, 'gc', '-q', '--prune=now');
  try {
    run(repository, 'cat-file', '-e', commitId);
    return true;
  } catch {
    // Gone: what the test asks.
    return false;
  }
};

describe('what would be lost is saved', () => {
  test('a ref that exists is never moved: the next save goes beside it', async () => {
    put('left.txt', 'left\n');
    run(repository, 'update-ref', ref, base);
    run(repository, 'update-ref', `${ref}-2.head`, run(repository, 'commit-tree', `${base}^{tree}`, '-m', 'other'));
    const removed = await remove();
    expect(removed).toEqual({
      kind: 'removed',
      saved: run(repository, 'rev-parse', `${ref}-3`),
      more: null,
      ref: `${ref}-3`,
    });
    expect([run(repository, 'rev-parse', ref), run(repository, 'show', `${ref}-3:left.txt`)]).toEqual([base, 'left']);
  });

  test('nor is the ref of what else the worktree knew', async () => {
    run(repository, 'update-ref', `${ref}.more`, base);
    put('a.txt', 'one\n');
    const first = commit('one');
    run(path, 'reset', '-q', '--hard', base);
    const removed = await remove();
    expect(removed).toMatchObject({ kind: 'removed', saved: null, ref: `${ref}.more-2` });
    expect([run(repository, 'rev-parse', `${ref}.more`), run(repository, 'rev-parse', `${ref}.more-2^`)]).toEqual([
      base,
      first,
    ]);
  });

  test('commits that were amended or reset away are kept by one commit', async () => {
    put('a.txt', 'one\n');
    const first = commit('one');
    put('a.txt', 'two\n');
    run(path, 'commit', '-qa', '--amend', '-m', 'two');
    const second = run(path, 'rev-parse', 'HEAD');
    run(path, 'reset', '-q', '--hard', base);
    const removed = await remove();
    expect(removed).toEqual({
      kind: 'removed',
      saved: null,
      more: run(repository, 'rev-parse', `${ref}.more`),
      ref: `${ref}.more`,
    });
    expect(parentsOf(`${ref}.more`).toSorted()).toEqual([first, second].toSorted());
    expect([first, second].map(survives)).toEqual([true, true]);
  });

  test('a detached HEAD with work on it', async () => {
    run(path, 'checkout', '-q', '--detach');
    put('a.txt', 'adrift\n');
    const adrift = commit('adrift');
    put('b.txt', 'b\n');
    const removed = await remove();
    expect(removed.kind).toBe('removed');
    expect(run(repository, 'show', `${ref}:b.txt`)).toBe('b');
    expect(survives(adrift)).toBe(true);
  });

  test('what was staged and then changed again', async () => {
    put('a.txt', 'staged\n');
    run(path, 'add', 'a.txt');
    put('a.txt', 'in the file\n');
    await remove();
    expect(run(repository, 'show', `${ref}:a.txt`)).toBe('in the file');
    expect(run(repository, 'show', `${ref}.more^1:a.txt`)).toBe('staged');
  });

  test('stashes made on its branch, also if somebody drops them later', async () => {
    put('a.txt', 'stashed\n');
    run(path, 'stash', 'push', '-q', '-m', 'for later');
    const stash = run(repository, 'rev-parse', 'stash@{0}');
    await remove();
    run(repository, 'stash', 'clear');
    expect(survives(stash)).toBe(true);
    expect(run(repository, 'show', `${stash}:a.txt`)).toBe('stashed');
  });

  test('a rebase in the middle, with its autostash', async () => {
    put('a.txt', 'mine\n');
    const mine = commit('mine');
    put('.gitignore', 'ignored/\nmore/\n');
    run(path, 'branch', 'other', base);
    writeFileSync(join(repository, 'a.txt'), 'theirs\n');
    run(repository, 'commit', '-qam', 'theirs');
    expect(() => run(path, '-c', 'rebase.autoStash=true', 'rebase', 'main')).toThrow();
    const look = await lookAtWorktree(where());
    expect(look?.operation).toBe('rebase');
    const record = run(path, 'rev-parse', '--absolute-git-dir');
    const autostash = run(path, 'rev-parse', readFileSync(join(record, 'rebase-merge/autostash'), 'utf8').trim());
    expect((await remove()).kind).toBe('removed');
    expect(survives(mine)).toBe(true);
    expect(survives(autostash)).toBe(true);
  });

  test('without anything of its own nothing is saved', async () => {
    put('a.txt', 'landed\n');
    commit('landed');
    expect(await remove()).toEqual({ kind: 'removed', saved: null, more: null, ref: null });
    expect(run(repository, 'for-each-ref', '--format=%(refname)', 'refs/muster')).toBe('');
  });
});

describe('kept where it is not sure', () => {
  test('a repository inside, in an ignored folder too, unless the person says that it may go', async () => {
    run(path, 'init', '-q', 'ignored/tool');
    expect(await remove()).toEqual({
      kind: 'kept',
      reason: 'ignored/tool is a repository of its own, whose commits would be lost',
    });
    expect(await remove({ discardNested: true })).toMatchObject({ kind: 'removed' });
    expect(existsSync(path)).toBe(false);
  });

  test('somebody works there', async () => {
    mkdirSync(join(path, 'deep'));
    const child = spawn('sleep', ['60'], { cwd: join(path, 'deep') });
    children.push(child);
    await vi.waitFor(async () => expect(await processesIn(path)).toHaveLength(1), { timeout: 5000 });
    expect(await remove()).toEqual({ kind: 'kept', reason: `somebody works there: process ${child.pid} (sleep)` });
    expect(await processesIn(join(path, 'dee'))).toEqual([]);
  });

  test('its link to the repository was bent', async () => {
    writeFileSync(join(path, '.git'), `gitdir: ${folder}/elsewhere\n`);
    expect(await remove()).toEqual({ kind: 'kept', reason: `${path} has lost its link to the repository` });
  });
});

describe('looking changes nothing and says what is there', () => {
  test('changed, untracked, ignored, ours, commits, stashes, nested', async () => {
    put('b.txt', 'b\n');
    commit('b');
    put('a.txt', 'stashed\n');
    run(path, 'stash', 'push', '-q');
    put('a.txt', 'changed\n');
    put('new.txt', 'new\n');
    put('AGENTS.md', 'ours\n');
    put('ignored/x', 'x\n');
    run(path, 'init', '-q', 'ignored/tool');
    const before = run(repository, 'for-each-ref');
    expect(await lookAtWorktree(where())).toEqual({
      head: run(path, 'rev-parse', 'HEAD'),
      branch: 'muster/j1',
      locked: null,
      changed: 1,
      untracked: 1,
      unpushed: 1,
      stashes: 1,
      operation: null,
      nested: ['ignored/tool'],
    });
    expect(run(repository, 'for-each-ref')).toBe(before);
    expect(await sizeOf(path)).toBeGreaterThan(1000);
    expect(await sizeOf(join(folder, 'nowhere'))).toBeNull();
  });

  test('a folder that git knows nothing of', async () => {
    mkdirSync(join(folder, 'plain'));
    expect(await lookAtWorktree({ ...where(), path: join(folder, 'plain') })).toBeUndefined();
  });
});
