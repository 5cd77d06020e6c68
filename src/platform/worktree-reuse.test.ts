import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { processesIn } from './processes-in.ts';
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
const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    const gone = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await gone;
  }
  rmSync(dir, { recursive: true, force: true });
});

const put = (name: string, text: string): void => {
  mkdirSync(dirname(join(path, name)), { recursive: true });
  writeFileSync(join(path, name), text);
};
/** A commit on the person's branch, as the next job's base. */
const commitAtBase = (files: Record<string, string>): void => {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(repository, name)), { recursive: true });
    writeFileSync(join(repository, name), text);
  }
  run(repository, 'add', '--all', '--force');
  run(repository, 'commit', '-qm', 'next');
};
const record = (): string => run(path, 'rev-parse', '--absolute-git-dir');
const saved = 'refs/muster/saved/muster/j1';
/** Files with their content, git's own apart; what the index and HEAD are; the refs. */
const everything = () => ({
  files: readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name))
    .map((name) => [name, readFileSync(name, 'utf8')])
    .toSorted(([one = ''], [two = '']) => one.localeCompare(two)),
  index: readFileSync(join(repository, '.git/worktrees/pool-1/index'), 'base64'),
  head: readFileSync(join(repository, '.git/worktrees/pool-1/HEAD'), 'utf8'),
  refs: run(repository, 'for-each-ref'),
});
const refused = async (reason: string): Promise<void> => {
  const before = everything();
  expect(await reuseWorktree(plan('muster/j1'))).toEqual({
    kind: 'failed',
    unusable: true,
    reason: expect.stringContaining(reason) as string,
  });
  expect(everything()).toEqual(before);
};

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
    unusable: false,
    reason: expect.stringContaining('exists already') as string,
  });
  expect(await reuseWorktree(plan('muster/j2', 'f'.repeat(40)))).toMatchObject({ kind: 'failed', unusable: false });
  expect(await reuseWorktree({ ...plan('muster/j3'), path: join(dir, 'nowhere') })).toMatchObject({
    kind: 'failed',
    unusable: true,
  });
});

describe('a worktree in which something would be lost, or would stay, is refused and left as it is', () => {
  test('files that the last job ignored, and the new base does not', async () => {
    put('.gitignore', 'cache/\nnotes/\n');
    put('notes/a.txt', 'nowhere else\n');
    await refused('.gitignore differs from');
    run(path, 'commit', '-qam', 'ignores');
    await refused('.gitignore differs from');
  });

  test('the same in a new folder with a list of its own', async () => {
    put('new/.gitignore', 'notes.txt\n');
    put('new/notes.txt', 'nowhere else\n');
    await refused('new/.gitignore differs from');
  });

  test('ignored files that the new base tracks, or whose folder is a file there', async () => {
    put('cache/deep/kept', 'nowhere else\n');
    commitAtBase({ 'cache/deep/kept': 'tracked\n' });
    await refused('cache/deep/kept is ignored here, and tracked at');
    run(repository, 'rm', '-rqf', 'cache');
    commitAtBase({ cache: 'a file\n' });
    await refused('cache is ignored here, and tracked at');
  });

  test('an ignored folder inside a new one counts as well', async () => {
    put('new/cache/kept', 'nowhere else\n');
    put('new/b.txt', 'new\n');
    commitAtBase({ new: 'a file\n' });
    await refused('new is ignored here, and tracked at');
  });

  test('a repository inside, unless what git ignores holds it', async () => {
    run(path, 'clone', '--quiet', repository, 'cache/inner');
    run(path, 'clone', '--quiet', repository, 'deep/inner');
    await refused('a nested repository at deep/inner');
    rmSync(join(path, 'deep'), { recursive: true });
    expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
    expect(existsSync(join(path, 'cache/inner/a.txt'))).toBe(true);
  });

  test('an operation under way', async () => {
    put('a.txt', 'mine\n');
    run(path, 'commit', '-qam', 'mine');
    commitAtBase({ 'a.txt': 'theirs\n' });
    expect(() => execFileSync('git', ['merge', '-q', 'main'], { cwd: path, stdio: 'pipe' })).toThrow();
    await refused('a merge is under way');
  });

  test('a link that leads to another repository, of which nothing is read', async () => {
    run(dir, 'init', '-q', 'evil');
    writeFileSync(join(path, '.git'), `gitdir: ${join(dir, 'evil/.git')}\n`);
    await refused('has lost its link');
  });

  test('a setting of its own', async () => {
    run(path, 'config', '--worktree', 'core.ignoreCase', 'true');
    await refused('a setting of its own: core.ignorecase');
  });

  test('an index that can not be read', async () => {
    writeFileSync(join(record(), 'index'), 'no index');
    await refused('failed');
  });

  test('a lock that somebody may hold; one that nobody can hold goes', async () => {
    const lock = join(record(), 'index.lock');
    writeFileSync(lock, '');
    children.push(spawn('sleep', ['60'], { cwd: path, stdio: 'ignore' }));
    await vi.waitFor(async () => expect(await processesIn(path)).toHaveLength(1));
    await refused('somebody works');
    expect(existsSync(lock)).toBe(true);
    const gone = new Promise((done) => children[0]?.once('exit', done));
    children.shift()?.kill('SIGKILL');
    await gone;
    expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
    expect(existsSync(lock)).toBe(false);
  });
});

test('what the person has set for the main tree, and git has copied, is no setting of its own', async () => {
  run(repository, 'config', '--worktree', 'core.ignoreCase', 'false');
  run(path, 'config', '--worktree', 'core.ignoreCase', 'false');
  expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
});

test('a file that the last job left, and that the new base has, becomes that of the base', async () => {
  put('b.txt', 'left\n');
  put('d', 'a file\n');
  commitAtBase({ 'b.txt': 'b\n', 'd/e.txt': 'e\n' });
  expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
  expect([readFileSync(join(path, 'b.txt'), 'utf8'), run(path, 'status', '--porcelain')]).toEqual(['b\n', '']);
  expect(run(repository, 'show', `${saved}:b.txt`)).toBe('left');
});

test('what only the index, HEAD and the stashes know is saved too', async () => {
  put('a.txt', 'committed\n');
  run(path, 'commit', '-qam', 'reset away');
  const reset = run(path, 'rev-parse', 'HEAD');
  run(path, 'reset', '-q', '--hard', 'HEAD~1');
  put('a.txt', 'staged\n');
  run(path, 'add', 'a.txt');
  put('a.txt', 'on disk\n');
  expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
  const parents = run(repository, 'log', '-1', '--format=%P', `${saved}.more`).split(' ');
  expect(parents).toContain(reset);
  expect(parents.map((one) => run(repository, 'show', `${one}:a.txt`)).toSorted()).toEqual(['committed', 'staged']);
  expect(run(repository, 'show', `${saved}:a.txt`)).toBe('on disk');
});

test('marks and times that hide a change keep nothing of the last job; what is the same keeps its time', async () => {
  commitAtBase({ 'b.txt': 'b\n', 'c.txt': 'c\n' });
  run(path, 'merge', '-q', 'main');
  const old = new Date('2020-01-01T00:00:00Z');
  utimesSync(join(path, 'c.txt'), old, old);
  run(path, 'update-index', '--assume-unchanged', 'a.txt');
  run(path, 'update-index', '--skip-worktree', 'b.txt');
  put('a.txt', 'hidden\n');
  put('b.txt', 'hidden too\n');
  expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
  expect(run(path, 'ls-files', '-v')).toBe('H .gitignore\nH a.txt\nH b.txt\nH c.txt');
  expect([readFileSync(join(path, 'a.txt'), 'utf8'), readFileSync(join(path, 'b.txt'), 'utf8')]).toEqual([
    'one\n',
    'b\n',
  ]);
  expect([run(repository, 'show', `${saved}:a.txt`), run(repository, 'show', `${saved}:b.txt`)]).toEqual([
    'hidden',
    'hidden too',
  ]);
  expect(statSync(join(path, 'c.txt')).mtime).toEqual(old);
});

test('a file of ours that the repository tracks is work, and saved', async () => {
  put('AGENTS.md', 'by the job\n');
  run(path, 'add', '--force', 'AGENTS.md');
  run(path, 'commit', '-qm', 'tracked');
  put('AGENTS.md', 'changed\n');
  expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
  expect(run(repository, 'show', `${saved}:AGENTS.md`)).toBe('changed');
});

describe('killed half way, and called again', () => {
  const mark = (): void => writeFileSync(join(record(), 'muster-reusing'), 'muster/j1\n');

  test('between switch and clean: the stray files go, the first save stays, the mark goes', async () => {
    put('left.txt', 'left\n');
    run(path, 'commit', '-q', '--allow-empty', '-m', 'saved first');
    const first = run(path, 'rev-parse', 'HEAD');
    run(repository, 'update-ref', saved, first);
    mark();
    run(path, 'switch', '-q', '--create', 'muster/j1', 'main');
    expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
    expect([existsSync(join(path, 'left.txt')), existsSync(join(record(), 'muster-reusing'))]).toEqual([false, false]);
    expect([run(repository, 'rev-parse', saved), run(repository, 'show', `${saved}-2:left.txt`)]).toEqual([
      first,
      'left',
    ]);
  });

  test('inside the switch: what was saved first is still saved, and the files become those of the base', async () => {
    commitAtBase({ 'b.txt': 'b\n' });
    put('a.txt', 'work\n');
    put('left.txt', 'left\n');
    await reuseWorktree(plan('muster/j1'));
    const first = run(repository, 'rev-parse', saved);
    // Back to before: the branch is not there yet, of the files only some are written.
    run(path, 'switch', '-q', 'muster/pool-1');
    run(repository, 'branch', '-q', '-D', 'muster/j1');
    put('b.txt', 'b\n');
    mark();
    expect(await reuseWorktree(plan('muster/j1'))).toEqual({ kind: 'prepared', unignored: null });
    expect([run(repository, 'rev-parse', saved), run(repository, 'show', `${saved}:a.txt`)]).toEqual([first, 'work']);
    expect([run(path, 'status', '--porcelain'), run(path, 'symbolic-ref', '--short', 'HEAD')]).toEqual([
      '',
      'muster/j1',
    ]);
  });

  test('a switch that git refuses leaves the mark, so that no retry takes the worktree for ready', async () => {
    writeFileSync(join(record(), 'HEAD.lock'), '');
    put('left.txt', 'left\n');
    expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'failed', unusable: true });
    expect([existsSync(join(record(), 'muster-reusing')), run(repository, 'show', `${saved}:left.txt`)]).toEqual([
      true,
      'left',
    ]);
    rmSync(join(record(), 'HEAD.lock'));
    expect(await reuseWorktree(plan('muster/j1'))).toMatchObject({ kind: 'prepared' });
    expect(existsSync(join(path, 'left.txt'))).toBe(false);
  });
});
