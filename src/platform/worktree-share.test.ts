import { execFileSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { prepareWorktree } from './worktree.ts';
import { shareFolders } from './worktree-share.ts';

let folder: string;
let repository: string;
let worktree: string;

const run = (at: string, ...args: string[]): string => execFileSync('git', args, { cwd: at, encoding: 'utf8' }).trim();
const put = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
};

beforeEach(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'muster-share-')));
  repository = join(folder, 'repository');
  worktree = join(folder, 'tree');
  mkdirSync(repository);
  run(repository, 'init', '-q', '-b', 'main');
  run(repository, 'config', 'user.name', 'Test');
  run(repository, 'config', 'user.email', 'test@localhost');
  put(join(repository, '.gitignore'), 'node_modules/\n');
  put(join(repository, 'package-lock.json'), '{"lock": 1}\n');
  run(repository, 'add', '-A');
  run(repository, 'commit', '-qm', 'first');
  put(join(repository, 'node_modules/tool/index.js'), 'tool\n');
  put(join(repository, 'node_modules/.package-lock.json'), '{}\n');
  symlinkSync('../tool/index.js', join(repository, 'node_modules/tool/link.js'));
  const base = run(repository, 'rev-parse', 'HEAD');
  await prepareWorktree({ repository, path: worktree, branch: 'muster/j1', base, ignore: [] });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const share = (...paths: string[]) =>
  shareFolders({ from: repository, worktree, paths: paths.length === 0 ? ['node_modules'] : paths });
const left = (reason: string) => [{ path: 'node_modules', kind: 'left', reason }];

test('what the lock file says is copied, links and all, and stays apart from the original', async () => {
  expect(await share()).toEqual([{ path: 'node_modules', kind: 'copied' }]);
  const copy = join(worktree, 'node_modules/tool/index.js');
  expect(readFileSync(copy, 'utf8')).toBe('tool\n');
  expect(lstatSync(join(worktree, 'node_modules/tool/link.js')).isSymbolicLink()).toBe(true);
  expect(lstatSync(copy).ino).not.toBe(lstatSync(join(repository, 'node_modules/tool/index.js')).ino);
  writeFileSync(copy, 'changed by the agent\n');
  expect(readFileSync(join(repository, 'node_modules/tool/index.js'), 'utf8')).toBe('tool\n');
  expect(run(worktree, 'status', '--porcelain')).toBe('');
  expect(await share()).toEqual(left('it is there already'));
});

test('a copy that a crash left half is removed and made anew', async () => {
  put(join(worktree, '.muster-share-abc123.partial/tool/half.js'), 'half');
  expect(await share()).toEqual([{ path: 'node_modules', kind: 'copied' }]);
  expect(execFileSync('ls', ['-A', worktree], { encoding: 'utf8' }).split('\n')).not.toContain(
    '.muster-share-abc123.partial',
  );
});

test('another lock file, none, or one that is newer than what is installed', async () => {
  put(join(repository, 'package-lock.json'), '{"lock": 2}\n');
  expect(await share()).toEqual(left('package-lock.json differs between your tree and what the job starts from'));
  put(join(repository, 'package-lock.json'), '{"lock": 1}\n');
  utimesSync(join(repository, 'node_modules/.package-lock.json'), new Date(1000), new Date(1000));
  expect(await share()).toEqual(left('it was not installed since the lock file changed'));
  for (const tree of [repository, worktree]) rmSync(join(tree, 'package-lock.json'));
  expect((await share())[0]).toMatchObject({ kind: 'left', reason: expect.stringMatching(/^no lock file stands/) });
});

test('what git tracks or does not ignore is never shared', async () => {
  put(join(repository, '.gitignore'), '\n');
  expect(await share()).toEqual(left('git does not ignore it'));
  put(join(repository, '.gitignore'), 'node_modules/\n');
  run(repository, 'add', '-f', 'node_modules/tool/index.js');
  expect(await share()).toEqual(left('it holds files that git tracks'));
});

test('links that lead out, folders that are links, and other names', async () => {
  symlinkSync('/etc', join(repository, 'node_modules/etc'));
  expect(await share()).toEqual(left('etc is a link that leads out of it'));
  rmSync(join(repository, 'node_modules'), { recursive: true });
  expect(await share()).toEqual(left('your tree has no such folder'));
  symlinkSync(folder, join(repository, 'node_modules'));
  expect(await share()).toEqual(left('your tree has no such folder'));
  for (const path of ['../node_modules', '/node_modules', 'src', '.git/node_modules']) {
    expect(await share(path)).toEqual([
      { path, kind: 'left', reason: 'only folders called node_modules or vendor inside the repository can be shared' },
    ]);
  }
});
