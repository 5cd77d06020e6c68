import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { findByMark } from '../platform/processes.ts';
import { cleanEnvironment, sweepCheckouts, type VerifyOptions, verifyInCleanCheckout } from './index.ts';

let folder: string;
let repository: string;
let commit: string;
let dir: string;

const run = (cwd: string, ...args: string[]): string =>
  execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'muster-verify-')));
  repository = join(folder, 'repository');
  dir = join(folder, 'checkouts');
  mkdirSync(repository);
  run(repository, 'init', '--quiet');
  writeFileSync(join(repository, 'good.txt'), 'good\n');
  run(repository, 'add', '.');
  run(repository, '-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', 'commit', '--quiet', '-m', 'first');
  commit = run(repository, 'rev-parse', 'HEAD');
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const verify = (command: string, over: Partial<VerifyOptions> = {}) =>
  verifyInCleanCheckout({
    repository,
    commit,
    command,
    dir,
    timeoutMs: 10_000,
    outputBytesMax: 1_000_000,
    env: cleanEnvironment(process.env),
    ...over,
  });

const verification = (over: object) => ({ commit, durationMs: expect.any(Number), tail: '', ...over });

test('[G1] [G2] [G5] exit code 0 passes, in a checkout of exactly that commit, which is gone afterwards', async () => {
  writeFileSync(join(repository, 'good.txt'), 'changed since\n');
  writeFileSync(join(repository, 'untracked.txt'), '');
  const command = 'cat good.txt; ls; git status --porcelain; git rev-parse HEAD; pwd';
  const result = await verify(command);
  const place = /verify-[0-9a-z]{12}/.exec(result.verification.tail)?.[0];
  expect(result).toEqual({
    kind: 'passed',
    verification: verification({
      command,
      exitCode: 0,
      tail: `good\ngood.txt\n${commit}\n${join(dir, place ?? '')}\n`,
    }),
  });
  expect(readdirSync(dir)).toEqual([]);
});

test('[G1] any other exit code fails, with the end of what was printed', async () => {
  const command = 'echo out; echo err >&2; exit 3';
  expect(await verify(command)).toEqual({
    kind: 'failed',
    reason: `\`${command}\` ended with code 3`,
    verification: verification({ command, exitCode: 3, tail: 'out\nerr\n' }),
  });
});

test('[G1] a program that is not there fails, and that is said', async () => {
  expect(await verify('no-such-program --now')).toMatchObject({
    kind: 'failed',
    reason: '`no-such-program --now` ended with code 127: the shell did not find a program of that name',
    verification: { exitCode: 127 },
  });
});

test('[G1] a command that is killed fails', async () => {
  expect(await verify('kill -9 $$')).toMatchObject({
    kind: 'failed',
    reason: '`kill -9 $$` was ended by SIGKILL',
    verification: { exitCode: null },
  });
});

test('[G4] at the time limit all that it started is ended, also what left its group', async () => {
  const command = 'echo $MUSTER_INSTANCE; setsid sleep 300 & sleep 300';
  const result = await verify(command, { timeoutMs: 500 });
  expect(result).toMatchObject({
    kind: 'timed-out',
    reason: `\`${command}\` was still running after 500 ms and was ended`,
    verification: { exitCode: null },
  });
  expect(await findByMark(result.verification.tail.trim())).toEqual([]);
});

test('[G4] a server that it left behind neither holds it up nor goes on', async () => {
  const result = await verify('echo $MUSTER_INSTANCE; (setsid sleep 300 &); exit 0');
  expect(result.kind).toBe('passed');
  expect(await findByMark(result.verification.tail.trim())).toEqual([]);
});

test('[G4] an endless output is cut and the command still ends at its limit', async () => {
  const result = await verify('yes a line that is repeated', { timeoutMs: 1000 });
  expect(result.kind).toBe('timed-out');
  expect(Buffer.byteLength(result.verification.tail)).toBe(8 * 1024);
});

test('[G1] a commit that is not there could not be run', async () => {
  const missing = '0123456789012345678901234567890123456789';
  expect(await verify('true', { commit: missing })).toMatchObject({
    kind: 'could-not-run',
    reason: expect.stringContaining('could not be checked out'),
  });
  expect(readdirSync(dir)).toEqual([]);
});

test('[G4] called off, it stops at once', async () => {
  const controller = new AbortController();
  const started = join(folder, 'started');
  const result = verify(`touch ${started}; sleep 300`, { signal: controller.signal });
  await vi.waitFor(() => expect(existsSync(started)).toBe(true), { timeout: 5000, interval: 20 });
  controller.abort();
  expect(await result).toMatchObject({ kind: 'could-not-run', reason: expect.stringContaining('was called off') });
});

test('[G6] it sees no variable but the common ones', async () => {
  const env = cleanEnvironment({ ...process.env, ANTHROPIC_API_KEY: 'secret', GIT_DIR: '/nowhere', LANG: 'C' });
  const { verification: done } = await verify('env | sed "s/=.*//" | sort', { env });
  expect(
    done.tail
      .split('\n')
      .filter(
        (name) =>
          !['', 'PATH', 'HOME', 'LANG', 'LC_ALL', 'TMPDIR', 'USER', 'LOGNAME', 'PWD', 'OLDPWD', 'SHLVL', '_'].includes(
            name,
          ),
      ),
  ).toEqual(['CI', 'MUSTER_INSTANCE']);
});

test("[G3] the person's repository is not written to", async () => {
  const before =
    run(repository, 'count-objects', '-v') +
    run(repository, 'for-each-ref') +
    readFileSync(join(repository, '.git/config'), 'utf8');
  await verify(
    'echo more > more.txt; git add . ; git -c user.name=x -c user.email=x commit -qm x; git gc -q; git branch from-the-checkout',
  );
  expect(
    run(repository, 'count-objects', '-v') +
      run(repository, 'for-each-ref') +
      readFileSync(join(repository, '.git/config'), 'utf8'),
  ).toBe(before);
});

test('[G2] a commit in a shallow repository can be checked out too', async () => {
  run(
    repository,
    '-c',
    'user.name=Ada',
    '-c',
    'user.email=ada@example.org',
    'commit',
    '--quiet',
    '--allow-empty',
    '-m',
    'second',
  );
  const shallow = join(folder, 'shallow');
  run(folder, 'clone', '--quiet', '--depth=1', `file://${repository}`, shallow);
  const head = run(shallow, 'rev-parse', 'HEAD');
  run(shallow, 'update-ref', 'refs/muster/attempts/j1.1', head);
  expect(await verify('cat good.txt', { repository: shallow, commit: head })).toMatchObject({
    kind: 'passed',
    verification: { tail: 'good\n' },
  });
});

test('[G5] what a crashed life left is ended and removed, also what is read-only, and nothing else', async () => {
  const name = 'verify-0123456789ab';
  mkdirSync(join(dir, name, 'cache'), { recursive: true });
  writeFileSync(join(dir, name, 'cache', 'file'), '');
  chmodSync(join(dir, name, 'cache'), 0o500);
  mkdirSync(join(dir, 'verify-mine'));
  const orphan = spawn('sleep', ['300'], { env: { ...process.env, MUSTER_INSTANCE: name }, stdio: 'ignore' });
  const ended = new Promise((resolve) => orphan.once('exit', (_code, signal) => resolve(signal)));
  expect(await sweepCheckouts(dir)).toEqual([]);
  expect(await ended).toBe('SIGKILL');
  expect(readdirSync(dir)).toEqual(['verify-mine']);
});
