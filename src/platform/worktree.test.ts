import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { processesIn } from './processes-in.ts';
import { injectFile, prepareWorktree } from './worktree.ts';
import { removeWorktree } from './worktree-removal.ts';
import { branchAtCapture, captureWork, landBranch } from './worktree-work.ts';

let folder: string;
let repository: string;
let path: string;
let base: string;

/** Git as a person would use it, with no configuration but the repository's own. */
function run(cwd: string, ...args: string[]): string {
  return execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

function write(at: string, files: Record<string, string>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(at, name)), { recursive: true });
    writeFileSync(join(at, name), content);
  }
}

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'muster-worktree-')));
  writeFileSync(join(folder, 'gitconfig'), '[init]\n\tdefaultBranch = main\n');
  process.env.GIT_CONFIG_GLOBAL = join(folder, 'gitconfig');
  process.env.GIT_CONFIG_NOSYSTEM = '1';
  repository = join(folder, 'repository');
  path = join(folder, 'worktrees', 'j1.1');
  mkdirSync(repository);
  run(repository, 'init', '--quiet');
  run(repository, 'config', 'user.name', 'Ada');
  run(repository, 'config', 'user.email', 'ada@example.org');
  write(repository, { 'a.txt': 'one\n', 'dir/b.txt': 'two\n', '.gitignore': 'build/\n' });
  run(repository, 'add', '.');
  run(repository, 'commit', '--quiet', '-m', 'first');
  base = run(repository, 'rev-parse', 'HEAD');
});

afterEach(() => {
  delete process.env.GIT_CONFIG_GLOBAL;
  delete process.env.GIT_CONFIG_NOSYSTEM;
  rmSync(folder, { recursive: true, force: true });
});

const plan = (over: Partial<Parameters<typeof prepareWorktree>[0]> = {}) => ({
  repository,
  path,
  branch: 'muster/j1',
  base,
  ignore: ['.claude/CLAUDE.md'],
  ...over,
});
const ready = { kind: 'prepared', unignored: null };
const ref = 'refs/muster/attempts/j1.1';
const capture = (over: Partial<Parameters<typeof captureWork>[0]> = {}) =>
  captureWork({
    worktree: path,
    branch: 'muster/j1',
    base,
    ref,
    message: 'work\n',
    exclude: ['.claude/CLAUDE.md'],
    ...over,
  });
const status = (at: string): string => run(at, 'status', '--porcelain');
const filesOf = (commit: string): string[] => run(repository, 'ls-tree', '-r', '--name-only', commit).split('\n');

/** Every file under a folder with its mode and content. */
function fingerprint(at: string, skip: (relative: string) => boolean, below = ''): Record<string, string> {
  return Object.fromEntries(
    readdirSync(join(at, below), { withFileTypes: true })
      .map((entry) => join(below, entry.name))
      .filter((relative) => !skip(relative))
      .flatMap((relative) => {
        const found = lstatSync(join(at, relative));
        if (found.isDirectory()) return Object.entries(fingerprint(at, skip, relative));
        const content = found.isSymbolicLink() ? readlinkSync(join(at, relative)) : readFileSync(join(at, relative));
        return [[relative, `${found.mode.toString(8)} ${createHash('sha256').update(content).digest('hex')}`]];
      }),
  );
}

describe('preparing', () => {
  test('a worktree stands on its own branch at the base, and the second call changes nothing', async () => {
    expect(await prepareWorktree(plan())).toEqual(ready);
    const before = fingerprint(path, () => false);
    expect(await prepareWorktree(plan())).toEqual(ready);
    expect({
      branch: run(path, 'branch', '--show-current'),
      head: run(path, 'rev-parse', 'HEAD'),
      status: status(path),
    }).toEqual({ branch: 'muster/j1', head: base, status: '' });
    expect(fingerprint(path, () => false)).toEqual(before);
  });

  test("the person's files, index, branches, stash and configuration stay byte for byte as they are", async () => {
    write(repository, { 'a.txt': 'stashed\n' });
    run(repository, 'stash', '--quiet');
    write(repository, { 'a.txt': 'dirty\n', 'new.txt': 'untracked\n', 'dir/b.txt': 'staged\n' });
    run(repository, 'add', 'dir/b.txt');
    const written = /^\.git\/(objects|worktrees|refs\/heads\/muster|logs\/refs\/heads\/muster|refs\/muster|config$)/;
    const before = fingerprint(repository, (file) => written.test(file));
    const config = readFileSync(join(repository, '.git/config'), 'utf8');
    await prepareWorktree(plan());
    await injectFile(path, '.claude/CLAUDE.md', 'persona');
    write(path, { 'a.txt': 'by the agent\n' });
    const captured = await capture();
    if (captured.kind !== 'captured') throw new Error('captured');
    await landBranch({ repository, worktree: path, branch: 'muster/j1', commit: captured.commit, expectedOld: base });
    const ref = 'refs/muster/saved/j1.1';
    const removal = { repository, path, branch: 'muster/j1', base, ref, exclude: ['.claude/CLAUDE.md'] };
    await removeWorktree(removal, async () => undefined);
    expect(fingerprint(repository, (file) => written.test(file))).toEqual(before);
    expect(readFileSync(join(repository, '.git/config'), 'utf8')).toBe(
      `${config}[extensions]\n\tworktreeConfig = true\n`,
    );
  });

  test('a branch of that name at another commit is never moved', async () => {
    run(repository, 'branch', 'muster/j1');
    write(repository, { 'a.txt': 'two\n' });
    run(repository, 'commit', '--quiet', '-am', 'second');
    const second = run(repository, 'rev-parse', 'HEAD');
    expect(await prepareWorktree(plan({ base: second }))).toEqual({
      kind: 'failed',
      reason: `branch muster/j1 exists already at ${base.slice(0, 12)}, and this work starts from ${second.slice(0, 12)}`,
    });
    expect(run(repository, 'rev-parse', 'muster/j1')).toBe(base);
  });

  test('a branch that a crash left without its worktree is taken up', async () => {
    run(repository, 'branch', 'muster/j1', base);
    expect(await prepareWorktree(plan())).toEqual(ready);
  });

  test('a worktree that was killed while its files were written is made anew', async () => {
    await prepareWorktree(plan());
    const record = join(repository, '.git/worktrees/j1.1');
    writeFileSync(join(record, 'locked'), 'initializing');
    rmSync(join(record, 'index'));
    rmSync(join(path, 'dir'), { recursive: true });
    expect(await prepareWorktree(plan())).toEqual(ready);
    expect({ status: status(path), locked: readdirSync(record).includes('locked') }).toEqual({
      status: '',
      locked: false,
    });
  });

  test('without a branch HEAD stands at the base itself, and the second call changes nothing', async () => {
    expect(await prepareWorktree(plan({ branch: null }))).toEqual(ready);
    expect(await prepareWorktree(plan({ branch: null }))).toEqual(ready);
    expect([run(path, 'status', '--porcelain', '--branch'), run(path, 'rev-parse', 'HEAD')]).toEqual([
      '## HEAD (no branch)',
      base,
    ]);
    expect(run(repository, 'branch', '--format=%(refname:short)')).toBe('main');
    expect(await prepareWorktree(plan())).toEqual({
      kind: 'failed',
      reason: `${path} is a worktree on no branch already`,
    });
  });

  test('a worktree whose folder is gone is made anew', async () => {
    await prepareWorktree(plan());
    rmSync(path, { recursive: true });
    expect(await prepareWorktree(plan())).toEqual(ready);
    expect(status(path)).toBe('');
  });

  test('a folder with files that is no worktree of ours is left alone', async () => {
    write(path, { 'precious.txt': 'mine' });
    expect(await prepareWorktree(plan())).toEqual({
      kind: 'failed',
      reason: `${path} exists already and is no worktree of this repository`,
    });
    expect(readdirSync(path)).toEqual(['precious.txt']);
  });

  test('what is injected is not shown by a plain git status, and the ignore list of the person still holds', async () => {
    writeFileSync(join(folder, 'ignore'), '*.scratch\n');
    run(repository, 'config', '--global', 'core.excludesFile', join(folder, 'ignore'));
    await prepareWorktree(plan());
    expect(await injectFile(path, '.claude/CLAUDE.md', 'persona')).toEqual({ kind: 'written' });
    write(path, { 'x.scratch': '', 'seen.txt': '' });
    expect(status(path)).toBe('?? seen.txt');
    write(repository, { '.claude/CLAUDE.md': 'their own' });
    expect(status(repository)).toBe('?? .claude/');
  });

  test('a repository with core.worktree set is not reconfigured', async () => {
    run(repository, 'config', 'core.worktree', repository);
    const config = readFileSync(join(repository, '.git/config'), 'utf8');
    expect(await prepareWorktree(plan())).toEqual({
      kind: 'prepared',
      unignored: 'the repository has core.worktree set',
    });
    expect(readFileSync(join(repository, '.git/config'), 'utf8')).toBe(config);
  });

  test("the person's hooks do not run for us", async () => {
    write(repository, {
      '.git/hooks/post-checkout': `#!/bin/sh\ntouch ${join(folder, 'hook-ran')}\n`,
      '.git/hooks/reference-transaction': `#!/bin/sh\ntouch ${join(folder, 'hook-ran')}\n`,
    });
    chmodSync(join(repository, '.git/hooks/post-checkout'), 0o755);
    chmodSync(join(repository, '.git/hooks/reference-transaction'), 0o755);
    await prepareWorktree(plan());
    write(path, { 'a.txt': 'changed\n' });
    await capture();
    expect(readdirSync(folder)).not.toContain('hook-ran');
  });
});

describe('injecting', () => {
  beforeEach(async () => void (await prepareWorktree(plan())));

  test.each([
    ['a.txt', 'a.txt is tracked by git'],
    ['there.txt', 'there.txt exists already'],
    ['../out.txt', '../out.txt leads out of the worktree'],
    ['/etc/out.txt', '/etc/out.txt leads out of the worktree'],
    ['dir/../../out.txt', 'dir/../../out.txt leads out of the worktree'],
    ['.git', ".git lies inside git's own folder"],
    ['sub/.GIT/config', "sub/.GIT/config lies inside git's own folder"],
    ['link/file.txt', 'link/file.txt: link is a symbolic link'],
    ['there.txt/file.txt', 'there.txt/file.txt: there.txt is a file'],
    ['dangling', 'dangling exists already'],
  ])('%s is refused', async (name, reason) => {
    write(path, { 'there.txt': 'mine' });
    symlinkSync(folder, join(path, 'link'));
    symlinkSync(join(folder, 'nowhere'), join(path, 'dangling'));
    const before = fingerprint(folder, (file) => file.startsWith('repository/.git/'));
    expect(await injectFile(path, name, 'persona')).toEqual({ kind: 'refused', reason });
    expect(fingerprint(folder, (file) => file.startsWith('repository/.git/'))).toEqual(before);
  });

  test('the same content again is written, other content is refused', async () => {
    expect(await injectFile(path, 'AGENTS.md', 'persona')).toEqual({ kind: 'written' });
    expect(await injectFile(path, 'AGENTS.md', 'persona')).toEqual({ kind: 'written' });
    expect(await injectFile(path, 'AGENTS.md', 'other')).toEqual({
      kind: 'refused',
      reason: 'AGENTS.md exists already',
    });
  });
});

describe('capturing', () => {
  beforeEach(async () => {
    await prepareWorktree(plan());
    await injectFile(path, '.claude/CLAUDE.md', 'persona');
  });

  test('nothing was done: nothing is captured and no ref is made', async () => {
    expect(await capture()).toEqual({ kind: 'nothing' });
    expect(run(repository, 'for-each-ref', 'refs/muster')).toBe('');
  });

  test('changed, new, deleted, executable and linked files become one commit without ours, and the worktree stays as it is', async () => {
    write(path, { 'a.txt': 'changed\n', 'new/c.txt': 'new\n', 'build/out.o': 'ignored', 'staged.txt': 'staged\n' });
    rmSync(join(path, 'dir/b.txt'));
    symlinkSync('a.txt', join(path, 'linked'));
    write(path, { 'run.sh': '#!/bin/sh\n' });
    chmodSync(join(path, 'run.sh'), 0o755);
    run(path, 'add', 'staged.txt');
    const before = [
      fingerprint(path, () => false),
      fingerprint(join(repository, '.git/worktrees/j1.1'), () => false),
      status(path),
    ];
    const captured = await capture();
    if (captured.kind !== 'captured') throw new Error('captured');
    expect(captured).toEqual({
      kind: 'captured',
      commit: run(repository, 'rev-parse', ref),
      files: ['a.txt', 'dir/b.txt', 'linked', 'new/c.txt', 'run.sh', 'staged.txt'],
      fileCount: 6,
      branchAt: base,
    });
    expect(filesOf(ref)).toEqual(['.gitignore', 'a.txt', 'linked', 'new/c.txt', 'run.sh', 'staged.txt']);
    expect(run(repository, 'log', '-1', '--format=%P %an %ae %s', ref)).toBe(`${base} Ada ada@example.org work`);
    expect([
      fingerprint(path, () => false),
      fingerprint(join(repository, '.git/worktrees/j1.1'), () => false),
      status(path),
    ]).toEqual(before);
    expect(await capture()).toEqual(captured);
  });

  test("the agent's own commits are kept; what it left uncommitted is one commit on top", async () => {
    write(path, { 'a.txt': 'by the agent\n' });
    run(path, 'commit', '--quiet', '-am', 'agent');
    const agents = run(path, 'rev-parse', 'HEAD');
    expect(await capture()).toMatchObject({ kind: 'captured', commit: agents, branchAt: agents });
    write(path, { 'more.txt': 'more\n' });
    await capture();
    expect(run(repository, 'log', '--format=%s', ref)).toBe('work\nagent\nfirst');
  });

  test('a persona that the agent committed is in no commit of the candidate', async () => {
    write(path, { 'a.txt': 'by the agent\n' });
    run(path, 'add', '-f', '.claude/CLAUDE.md', 'a.txt');
    run(path, 'commit', '--quiet', '-m', 'agent');
    const agents = run(path, 'rev-parse', 'HEAD');
    await capture();
    expect(run(repository, 'log', '--format=%s', ref)).toBe('work\nfirst');
    expect(run(repository, 'log', '--format=%H', ref, '--', '.claude')).toBe('');
    expect(run(repository, 'rev-parse', `${ref}.head`)).toBe(agents);
  });

  test('committed and taken back again is nothing', async () => {
    write(path, { 'a.txt': 'by the agent\n' });
    run(path, 'commit', '--quiet', '-am', 'agent');
    write(path, { 'a.txt': 'one\n' });
    expect(await capture()).toEqual({ kind: 'nothing' });
  });

  test('marks that hide a change, and files added against the ignore list, do not escape', async () => {
    run(path, 'update-index', '--assume-unchanged', 'a.txt');
    write(path, { 'a.txt': 'hidden\n', 'build/kept.txt': 'kept\n' });
    run(path, 'add', '-f', 'build/kept.txt');
    expect(await capture()).toMatchObject({ kind: 'captured', files: ['a.txt', 'build/kept.txt'] });
  });

  test('without a configured user the commit is by Muster', async () => {
    run(repository, 'config', '--unset', 'user.name');
    write(path, { 'a.txt': 'changed\n' });
    await capture();
    expect(run(repository, 'log', '-1', '--format=%an <%ae>, %cn <%ce>', ref)).toBe(
      'Muster <muster@localhost>, Muster <muster@localhost>',
    );
  });

  test('a branch that begins elsewhere is put onto the base', async () => {
    run(path, 'checkout', '--quiet', '--orphan', 'other');
    write(path, { 'a.txt': 'by the agent\n' });
    run(path, 'commit', '--quiet', '-am', 'agent');
    await capture();
    expect(run(repository, 'log', '--format=%s', ref)).toBe('work\nfirst');
  });
});

describe('landing', () => {
  let commit: string;
  const land = (over: Partial<Parameters<typeof landBranch>[0]> = {}) =>
    landBranch({ repository, worktree: path, branch: 'muster/j1', commit, expectedOld: base, ...over });

  beforeEach(async () => {
    await prepareWorktree(plan());
    write(path, { 'a.txt': 'changed\n', 'new.txt': 'new\n' });
    const captured = await capture();
    if (captured.kind !== 'captured') throw new Error('captured');
    commit = captured.commit;
  });

  test('the branch moves, the worktree is clean, and landing again says so', async () => {
    expect(await land()).toEqual({ kind: 'landed', already: false });
    expect({ at: run(repository, 'rev-parse', 'muster/j1'), status: status(path) }).toEqual({ at: commit, status: '' });
    expect(await land()).toEqual({ kind: 'landed', already: true });
  });

  test('a crash between the branch and the index is mended by landing again', async () => {
    run(repository, 'update-ref', 'refs/heads/muster/j1', commit, base);
    expect(status(path)).not.toBe('');
    expect(await land()).toEqual({ kind: 'landed', already: true });
    expect(status(path)).toBe('');
  });

  test('a branch that has moved is landed, whatever becomes of the index; landing again mends that', async () => {
    const lock = join(repository, '.git/worktrees/j1.1/index.lock');
    writeFileSync(lock, '');
    expect(await land()).toEqual({
      kind: 'landed',
      already: false,
      warning: expect.stringContaining('index.lock') as string,
    });
    expect(run(repository, 'rev-parse', 'muster/j1')).toBe(commit);
    rmSync(lock);
    expect(await land()).toEqual({ kind: 'landed', already: true });
    expect(status(path)).toBe('');
  });

  test('a worktree whose link leads elsewhere is not followed', async () => {
    writeFileSync(join(path, '.git'), `gitdir: ${join(repository, '.git')}\n`);
    expect(await land()).toEqual({
      kind: 'landed',
      already: false,
      warning: `${path} has lost its link to the repository`,
    });
    expect(status(repository)).toBe('');
  });

  test('what changed after the capture stays in the files', async () => {
    write(path, { 'a.txt': 'later\n' });
    await land();
    expect({ content: readFileSync(join(path, 'a.txt'), 'utf8'), status: status(path) }).toEqual({
      content: 'later\n',
      status: 'M a.txt',
    });
  });

  test('a branch that somebody moved is not overwritten', async () => {
    const other = run(repository, 'commit-tree', `${base}^{tree}`, '-p', base, '-m', 'somebody');
    run(repository, 'update-ref', 'refs/heads/muster/j1', other);
    expect(await land()).toEqual({
      kind: 'moved',
      reason: `branch muster/j1 was expected at ${base.slice(0, 12)} and is at ${other.slice(0, 12)}`,
    });
    expect(run(repository, 'rev-parse', 'muster/j1')).toBe(other);
  });

  test('where the branch was at the capture is remembered', async () => {
    expect(await branchAtCapture(repository, ref)).toBe(base);
  });

  test('a branch that the agent deleted is made again', async () => {
    run(path, 'checkout', '--quiet', '--detach');
    run(path, 'branch', '--quiet', '-D', 'muster/j1');
    await capture();
    expect(await branchAtCapture(repository, ref)).toBe(null);
    expect(await land({ expectedOld: null })).toEqual({ kind: 'landed', already: false });
    expect(run(repository, 'rev-parse', 'muster/j1')).toBe(commit);
  });

  test('a branch that is checked out by the person is not moved under them', async () => {
    run(path, 'checkout', '--quiet', '--detach');
    run(repository, 'checkout', '--quiet', 'muster/j1');
    expect(await land()).toEqual({ kind: 'moved', reason: `branch muster/j1 is checked out in ${repository}` });
  });
});

describe('removing', () => {
  const saved = 'refs/muster/saved/j1.1';
  let told: (string | null)[];
  const remove = (tell = async (removed: { ref: string | null }): Promise<unknown> => told.push(removed.ref)) =>
    removeWorktree({ repository, path, branch: 'muster/j1', base, ref: saved, exclude: ['.claude/CLAUDE.md'] }, tell);
  const gone = () => ({
    folder: readdirSync(dirname(path)),
    list: run(repository, 'worktree', 'list', '--porcelain')
      .split('\n')
      .filter((line) => line.startsWith('worktree ')),
  });
  const all = () => ({ folder: [], list: [`worktree ${repository}`] });

  beforeEach(async () => {
    told = [];
    await prepareWorktree(plan());
    await injectFile(path, '.claude/CLAUDE.md', 'persona');
  });

  test('a clean one goes, and going again is no error and no news', async () => {
    expect(await remove()).toEqual({ kind: 'removed', saved: null, more: null, ref: null });
    expect(gone()).toEqual(all());
    expect(await remove()).toEqual({ kind: 'removed', saved: null, more: null, ref: null });
    expect(told).toEqual([null]);
  });

  test('changed and untracked files are saved to a ref first', async () => {
    write(path, { 'a.txt': 'changed\n', 'new.txt': 'new\n' });
    const removed = await remove();
    expect(removed).toEqual({ kind: 'removed', saved: run(repository, 'rev-parse', saved), more: null, ref: saved });
    expect(gone()).toEqual(all());
    expect(run(repository, 'show', `${saved}:new.txt`)).toBe('new');
  });

  test('commits that no branch holds are saved to a ref first', async () => {
    run(path, 'checkout', '--quiet', '--detach');
    write(path, { 'a.txt': 'changed\n' });
    run(path, 'commit', '--quiet', '-am', 'adrift');
    const adrift = run(path, 'rev-parse', 'HEAD');
    expect(await remove()).toEqual({ kind: 'removed', saved: adrift, more: null, ref: saved });
    expect(run(repository, 'rev-parse', saved)).toBe(adrift);
  });

  const aside = () => join(dirname(path), `.${basename(path)}.muster-removing/tree`);
  const dies = () => Promise.reject(new Error('the process died here'));

  test('[D20] a removal that was killed half way goes on, saves nothing half, and tells what was saved', async () => {
    write(path, { 'a.txt': 'changed\n', 'new.txt': 'new\n' });
    await expect(remove(dies)).rejects.toThrow('the process died here');
    const commit = run(repository, 'rev-parse', saved);
    rmSync(join(aside(), 'dir'), { recursive: true });
    rmSync(join(aside(), '.git'));
    const removed = { kind: 'removed', saved: commit, more: null, ref: saved };
    expect(await remove()).toEqual(removed);
    expect({ ...gone(), at: run(repository, 'rev-parse', saved), told }).toEqual({
      ...all(),
      at: commit,
      told: [saved],
    });
  });

  test('[D20] what a person brought back while it was being removed, and went on with, is saved anew', async () => {
    write(path, { 'a.txt': 'changed\n' });
    await expect(remove(dies)).rejects.toThrow('the process died here');
    renameSync(aside(), path);
    write(path, { 'later.txt': 'by a person\n' });
    expect(await remove()).toMatchObject({ kind: 'removed', ref: `${saved}-2` });
    expect(run(repository, 'show', `${saved}-2:later.txt`)).toBe('by a person');
    expect({ ...gone(), told }).toEqual({ ...all(), told: [`${saved}-2`] });
  });

  test('[D20] commits that were made in one that was brought back are not lost with it', async () => {
    await expect(remove(dies)).rejects.toThrow('the process died here');
    renameSync(aside(), path);
    run(path, 'checkout', '--quiet', '--detach');
    write(path, { 'later.txt': 'by a person\n' });
    run(path, 'add', '.');
    run(path, 'commit', '--quiet', '-m', 'adrift');
    rmSync(path, { recursive: true });
    expect(await remove()).toEqual({ kind: 'kept', reason: `${path} has lost its link to the repository` });
    expect(told).toEqual([]);
  });

  test('[D20] one that git has forgotten since it was set aside is told with what was saved', async () => {
    write(path, { 'a.txt': 'changed\n' });
    await expect(remove(dies)).rejects.toThrow('the process died here');
    run(repository, 'worktree', 'prune');
    const removed = { kind: 'removed', saved: run(repository, 'rev-parse', saved), more: null, ref: saved };
    expect(await remove()).toEqual(removed);
    expect({ ...gone(), told }).toEqual({ ...all(), told: [saved] });
  });

  test('[D21] somebody who went into what was set aside keeps it', async () => {
    await expect(remove(dies)).rejects.toThrow('the process died here');
    const child = spawn('sleep', ['60'], { cwd: aside() });
    const ended = new Promise((done) => child.once('exit', done));
    try {
      await vi.waitFor(async () => expect(await processesIn(aside())).toHaveLength(1), { timeout: 5000 });
      expect(await remove()).toEqual({
        kind: 'kept',
        reason: `somebody works there: process ${child.pid} (sleep)`,
      });
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
    expect(await remove()).toMatchObject({ kind: 'removed' });
    expect({ ...gone(), told }).toEqual({ ...all(), told: [null] });
  });

  /** As versions of November 2026 did: the mark in git's record, and then the files where they stood. */
  const beginAsBefore = (): string => {
    write(path, { 'a.txt': 'changed\n', 'new.txt': 'new\n' });
    const commit = run(repository, 'commit-tree', `${base}^{tree}`, '-p', base, '-m', 'saved by it');
    run(repository, 'update-ref', saved, commit);
    const mark = join(run(path, 'rev-parse', '--absolute-git-dir'), 'muster-removing');
    writeFileSync(mark, `${commit}\n\n${saved}`);
    // The clock of files is a coarse one.
    const after = Date.now() / 1000 + 1;
    utimesSync(mark, after, after);
    rmSync(join(path, 'a.txt'));
    return commit;
  };

  test.each(['new.txt', '.git'])(
    '[D20] a removal that an older version began, up to %s, is told by its mark and saves nothing twice',
    async (name) => {
      const commit = beginAsBefore();
      rmSync(join(path, name));
      expect(await remove()).toEqual({ kind: 'removed', saved: commit, more: null, ref: saved });
      expect({ ...gone(), told, refs: run(repository, 'for-each-ref', '--format=%(refname)', `${saved}*`) }).toEqual({
        ...all(),
        told: [saved],
        refs: saved,
      });
    },
  );

  test('[D20] so is one that a later of them had set aside', async () => {
    const commit = beginAsBefore();
    renameSync(path, dirname(aside()));
    expect(await remove()).toEqual({ kind: 'removed', saved: commit, more: null, ref: saved });
    expect({ ...gone(), told }).toEqual({ ...all(), told: [saved] });
  });

  test('[D20] what was written there since an older version began is saved', async () => {
    beginAsBefore();
    const mark = join(run(path, 'rev-parse', '--absolute-git-dir'), 'muster-removing');
    utimesSync(mark, 0, 0);
    write(path, { 'later.txt': 'by a person\n' });
    expect(await remove()).toMatchObject({ kind: 'removed', ref: `${saved}-2` });
    expect(run(repository, 'show', `${saved}-2:later.txt`)).toBe('by a person');
  });

  test('one that holds a repository of its own is kept', async () => {
    run(path, 'clone', '--quiet', repository, 'inner');
    expect(await remove()).toEqual({
      kind: 'kept',
      reason: 'inner is a repository of its own, whose commits would be lost',
    });
  });

  test('one whose making was killed goes without being saved: nobody has worked there', async () => {
    run(repository, 'worktree', 'lock', '--reason', 'initializing', path);
    rmSync(join(path, '.git'));
    expect(await remove()).toEqual({ kind: 'removed', saved: null, more: null, ref: null });
    expect({ ...gone(), told }).toEqual({ ...all(), told: [null] });
  });

  test('one that the person has locked is kept', async () => {
    run(repository, 'worktree', 'lock', '--reason', 'looking at it', path);
    expect(await remove()).toEqual({ kind: 'kept', reason: 'it is locked (looking at it)' });
  });
});

test('[D21] one that a git of an earlier life still makes is not taken from under it, and is used when it is made', async () => {
  const go = join(dirname(path), 'go');
  mkdirSync(dirname(path), { recursive: true });
  run(repository, 'config', 'filter.slow.smudge', `while [ ! -e '${go}' ]; do sleep 0.05; done; cat`);
  write(repository, { '.gitattributes': 'slow.txt filter=slow\n', 'slow.txt': 'slow\n' });
  run(repository, 'add', '-A');
  run(repository, 'commit', '--quiet', '-m', 'slow');
  base = run(repository, 'rev-parse', 'HEAD');
  const making = spawn('git', ['worktree', 'add', '--quiet', '-b', 'muster/j1', path, base], { cwd: repository });
  const made = new Promise((done) => making.once('exit', done));
  try {
    await vi.waitFor(async () => expect((await processesIn(path)).length).toBeGreaterThan(0), { timeout: 10_000 });
    const removal = { repository, path, branch: 'muster/j1', base, ref: 'refs/muster/saved/j1.1', exclude: [] };
    expect(await removeWorktree(removal, async () => undefined)).toMatchObject({
      kind: 'kept',
      reason: expect.stringMatching(/^somebody works there: process/) as string,
    });
    const prepared = prepareWorktree(plan());
    writeFileSync(go, '');
    expect(await prepared).toEqual({ kind: 'prepared', unignored: null });
    expect([await made, readFileSync(join(path, 'slow.txt'), 'utf8'), status(path)]).toEqual([0, 'slow\n', '']);
  } finally {
    writeFileSync(go, '');
    await made;
  }
});
