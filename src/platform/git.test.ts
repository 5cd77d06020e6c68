import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { randomToken } from '../base/ids.ts';
import { describeRepository, git, isTracked, resolveCommit, swapRef } from './git.ts';
import { findByMark, instanceVariable } from './processes.ts';

let folder: string;
let root: string;

const run = (...args: string[]): string =>
  execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
const commit = (message: string): string => {
  run('-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', 'commit', '--quiet', '--allow-empty', '-m', message);
  return run('rev-parse', 'HEAD');
};

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'muster-git-')));
  root = join(folder, 'repository');
  mkdirSync(root);
  run('init', '--quiet', '--initial-branch=main');
});
afterEach(() => {
  delete process.env.GIT_DIR;
  rmSync(folder, { recursive: true, force: true });
});

const described = { kind: 'repository', head: null, branch: 'main', dirty: [] as string[] };

test('a repository is described from any folder of it, also before its first commit and while HEAD is detached', async () => {
  const common = { root, commonDir: join(root, '.git') };
  expect(await describeRepository(root)).toEqual({ ...described, ...common });
  const head = commit('first');
  mkdirSync(join(root, 'a'));
  expect(await describeRepository(join(root, 'a'))).toEqual({ ...described, ...common, head });
  run('checkout', '--quiet', '--detach');
  expect(await describeRepository(root)).toEqual({ ...described, ...common, head, branch: null });
});

test('changed, staged and untracked paths are dirty, whatever their names are', async () => {
  writeFileSync(join(root, 'tracked'), 'one');
  run('add', '.');
  commit('first');
  for (const name of ['tracked', 'über straße', 'new\nline', '-n']) writeFileSync(join(root, name), 'two');
  run('add', '--', '-n');
  const found = await describeRepository(root);
  expect(found.kind === 'repository' && found.dirty.toSorted()).toEqual(['-n', 'new\nline', 'tracked', 'über straße']);
});

test('asking leaves the index of the person as it is', async () => {
  writeFileSync(join(root, 'tracked'), 'one');
  run('add', '.');
  commit('first');
  const before = readFileSync(join(root, '.git/index'));
  writeFileSync(join(root, 'tracked'), 'one');
  await describeRepository(root);
  expect(readFileSync(join(root, '.git/index'))).toEqual(before);
});

test('what is no repository says why', async () => {
  writeFileSync(join(folder, 'file'), '');
  execFileSync('git', ['init', '--quiet', '--bare', join(folder, 'bare')]);
  const reason = async (path: string) => {
    const found = await describeRepository(path);
    return found.kind === 'none' ? found.reason : found;
  };
  expect([
    await reason(folder),
    await reason(join(folder, 'no')),
    await reason(join(folder, 'file')),
    await reason(join(folder, 'bare')),
  ]).toEqual([
    'is not inside a git repository',
    'does not exist',
    'is not a folder',
    'is a bare repository or the inside of a .git folder',
  ]);
});

test('GIT_DIR of our own environment leads nowhere', async () => {
  commit('first');
  process.env.GIT_DIR = join(folder, 'elsewhere');
  expect(await resolveCommit(root, 'HEAD')).toHaveLength(40);
});

test('an expression that looks like an option names no commit', async () => {
  commit('first');
  expect(await resolveCommit(root, '--all')).toBeUndefined();
});

test('a failure is a fault with the last words of git', async () => {
  await expect(git(['rev-parse', '--verify', 'nothing'], { cwd: root })).rejects.toMatchObject({
    code: 'GIT_FAILED',
    subject: root,
    message: `git rev-parse --verify nothing failed in ${root}: fatal: Needed a single revision`,
  });
  await expect(git(['status'], { cwd: join(folder, 'no') })).rejects.toMatchObject({ code: 'GIT_FAILED' });
});

test('a git that takes too long is ended, with what it has started', async () => {
  const mark = `git-test-${randomToken(8)}`;
  const slow = git(['-c', 'alias.slow=!sleep 300; true', 'slow'], {
    cwd: root,
    limitMs: 300,
    env: { [instanceVariable]: mark },
  });
  await expect(slow).rejects.toMatchObject({ code: 'TIMED_OUT' });
  await vi.waitFor(async () => expect(await findByMark(mark)).toEqual([]), { timeout: 5000, interval: 20 });
});

test('tracked is asked of the path as it is written, not as a pattern', async () => {
  writeFileSync(join(root, 'a.txt'), '');
  run('add', '.');
  expect([await isTracked(root, 'a.txt'), await isTracked(root, '*.txt'), await isTracked(root, 'b.txt')]).toEqual([
    true,
    false,
    false,
  ]);
});

test('a ref is swapped only from where it is expected, and a ref that can not be written is a fault', async () => {
  const [first, second] = [commit('first'), commit('second')];
  const change = { ref: 'refs/muster/x', message: 'test' };
  expect(await swapRef(root, { ...change, to: first, expectedOld: null })).toBe(true);
  expect(await swapRef(root, { ...change, to: second, expectedOld: null })).toBe(false);
  expect(await swapRef(root, { ...change, to: second, expectedOld: first })).toBe(true);
  expect(run('rev-parse', 'refs/muster/x')).toBe(second);
  await expect(
    swapRef(root, { ...change, ref: 'refs/muster/x/below', to: first, expectedOld: null }),
  ).rejects.toMatchObject({ code: 'GIT_FAILED' });
});
