/**
 * Runs a job's verify command on exactly one commit, in a checkout that nothing else has touched: not the agent's worktree, where files
 * that are not committed could make it pass, and not the person's tree.
 *
 * The checkout shares the repository's objects and writes none of its own into it. It lies in `dir` under a name that is also the mark of
 * everything that the command starts, so that what a crash leaves, folder and processes, is found again by `sweepCheckouts`.
 */
import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, isErrno, messageOf } from '../base/fault.ts';
import { randomToken } from '../base/ids.ts';
import { makePrivateDir } from '../platform/atomic-file.ts';
import { type CommandResult, runCommand } from '../platform/command.ts';
import { checkoutLimitMs, git, gitLine } from '../platform/git.ts';
import { sweep } from '../platform/processes.ts';
import { removeTree } from '../platform/remove-tree.ts';
import type { Verification } from '../protocol/job.ts';

export interface VerifyOptions {
  /** Any working tree of the repository. */
  readonly repository: string;
  /** Full commit id. */
  readonly commit: string;
  /** A line for `sh -c`; its exit code 0, and nothing else, is a pass. */
  readonly command: string;
  /** Folder for checkouts, ours; made if it is not there. */
  readonly dir: string;
  readonly timeoutMs: number;
  readonly outputBytesMax: number;
  /** The whole environment of the command (see `cleanEnvironment`); CI=true is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

export type VerifyResult =
  | { readonly kind: 'passed'; readonly verification: Verification }
  /** `reason` is one line for people. `exitCode` of the verification is null where there was none. */
  | {
      readonly kind: 'failed' | 'timed-out' | 'could-not-run';
      readonly reason: string;
      readonly verification: Verification;
    };

const checkoutName = /^verify-[0-9a-z]{12}$/;

/** Never throws for what the repository or the command does; a full disk is a `Fault` DISK_FULL. */
export async function verifyInCleanCheckout(options: VerifyOptions): Promise<VerifyResult> {
  await makePrivateDir(options.dir);
  const instance = `verify-${randomToken(12)}`;
  const checkout = join(options.dir, instance);
  try {
    await checkOut(options.repository, options.commit, checkout);
    const env = { ...options.env, CI: 'true' };
    return told(options, await runCommand({ ...options, env, cwd: checkout, instance }));
  } catch (error) {
    if (error instanceof Fault && error.code !== 'DISK_FULL')
      return couldNotRun(options, `the commit could not be checked out: ${messageOf(error)}`);
    throw error;
  } finally {
    // What can't be removed (a mount, files of another user) does not change what the command said; the next start tries again.
    await removeTree(checkout).catch(() => undefined);
  }
}

/** A clone of a shallow repository would copy branches only; there the objects are borrowed by hand. */
async function checkOut(repository: string, commit: string, checkout: string): Promise<void> {
  const [common = '', shallow = ''] = (
    await git(['rev-parse', '--path-format=absolute', '--git-common-dir', '--is-shallow-repository'], {
      cwd: repository,
    })
  ).split('\n');
  if (shallow === 'true') await borrowObjects(common, checkout);
  else
    await git(['clone', '--quiet', '--shared', '--no-checkout', '--template=', common, checkout], { cwd: repository });
  await git(['checkout', '--quiet', '--detach', commit], { cwd: checkout, limitMs: checkoutLimitMs });
}

async function borrowObjects(common: string, checkout: string): Promise<void> {
  await git(['init', '--quiet', '--template=', checkout], { cwd: common });
  const gitDir = await gitLine(['rev-parse', '--absolute-git-dir'], { cwd: checkout });
  await makePrivateDir(join(gitDir, 'objects', 'info'));
  await writeFile(join(gitDir, 'objects', 'info', 'alternates'), `${join(common, 'objects')}\n`);
  await copyFile(join(common, 'shallow'), join(gitDir, 'shallow'));
}

/** What a shell answers when it finds no such program, or may not run it (POSIX, "Exit Status for Commands"). */
const notFoundCode = 127;
const notExecutableCode = 126;

function told(options: VerifyOptions, result: CommandResult): VerifyResult {
  if (result.kind === 'could-not-run') return couldNotRun(options, result.reason);
  const exitCode = result.kind === 'exited' ? result.code : null;
  const { durationMs, tail } = result;
  const verification: Verification = { command: options.command, commit: options.commit, exitCode, durationMs, tail };
  switch (result.kind) {
    case 'exited':
      return result.code === 0
        ? { kind: 'passed', verification }
        : { kind: 'failed', reason: `\`${options.command}\` ${whyCode(result.code)}`, verification };
    case 'signalled':
      return { kind: 'failed', reason: `\`${options.command}\` was ended by ${result.signal}`, verification };
    case 'timed-out':
      return {
        kind: 'timed-out',
        reason: `\`${options.command}\` was still running after ${options.timeoutMs} ms and was ended`,
        verification,
      };
    case 'aborted':
      return { kind: 'could-not-run', reason: `\`${options.command}\` was called off`, verification };
  }
}

function whyCode(code: number): string {
  if (code === notFoundCode) return 'ended with code 127: the shell did not find a program of that name';
  if (code === notExecutableCode) return 'ended with code 126: the shell was not allowed to run it';
  return `ended with code ${code}`;
}

const couldNotRun = ({ command, commit }: VerifyOptions, reason: string): VerifyResult => ({
  kind: 'could-not-run',
  reason,
  verification: { command, commit, exitCode: null, durationMs: 0, tail: '' },
});

/** What a verify command may see of our environment: enough to find programs, and no credential. */
const seen = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TMPDIR', 'USER', 'LOGNAME'];

export const cleanEnvironment = (env: NodeJS.ProcessEnv): Record<string, string> =>
  Object.fromEntries(seen.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));

/**
 * Ends and removes what verifications of a life before this one have left in `dir`. Call while none is running. Answers with the folders
 * that could not be removed.
 */
export async function sweepCheckouts(dir: string): Promise<string[]> {
  const stuck: string[] = [];
  for (const name of (await namesIn(dir)).filter((one) => checkoutName.test(one))) {
    await sweep(name);
    await removeTree(join(dir, name)).catch(() => stuck.push(join(dir, name)));
  }
  return stuck;
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
