/**
 * Plain git by argument lists, never through a shell: what every use of it here has in common, and questions about a repository.
 *
 * Each call: C locale, no prompts, no hooks, no file system monitor, no automatic gc, no locks taken only to write down what was learnt
 * (so that asking leaves the person's index as it is), none of the GIT_* variables of our own environment but those that say where the
 * configuration is. Output and time are bounded. A git that fails is a `Fault` GIT_FAILED with its last line, or DISK_FULL.
 * Needs git 2.36 or newer (`worktree list -z`).
 */
import { stat } from 'node:fs/promises';
import { Fault, isErrno } from '../base/fault.ts';
import { clip, oneLine } from '../base/text.ts';
import type { GitRunner } from './git-runner.ts';
import { type GitEnd, runGit } from './run-git.ts';

export interface GitOptions {
  readonly cwd: string;
  /** Added to the environment, e.g. GIT_INDEX_FILE. */
  readonly env?: Readonly<Record<string, string>>;
  /** Written to standard input. */
  readonly input?: string;
  readonly limitMs?: number;
}

/** How a git ended that ran to its end. */
export type GitAnswer = Extract<GitEnd, { kind: 'ok' | 'failed' }>;

/** Questions and plumbing answer in milliseconds; a network file system may need seconds. */
const questionLimitMs = 60_000;
/** Writing out all files of a large repository, with filters such as LFS that may download. */
export const checkoutLimitMs = 10 * 60_000;
const commonArguments = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.quotePath', 'false'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['advice.addEmbeddedRepo', 'false'],
].flatMap(([name, value]) => ['-c', `${name}=${value}`]);

const keptGitVariables = [
  'GIT_CONFIG_GLOBAL',
  'GIT_CONFIG_SYSTEM',
  'GIT_CONFIG_NOSYSTEM',
  'GIT_EXEC_PATH',
  'GIT_SSH_COMMAND',
];

function environment(added: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const kept = Object.entries(process.env).flatMap(([name, value]) =>
    value !== undefined && (!name.startsWith('GIT_') || keptGitVariables.includes(name))
      ? [[name, value] as const]
      : [],
  );
  return { ...Object.fromEntries(kept), LC_ALL: 'C', GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0', ...added };
}

/** Who runs git for this process: itself, unless it is large and lives long. */
let runner: Pick<GitRunner, 'run'> = { run: runGit };

/** From now on all calls of this process go through `other`. */
export function runGitThrough(other: Pick<GitRunner, 'run'>): void {
  runner = other;
}

/** What git printed. Faults: GIT_FAILED, DISK_FULL, TIMED_OUT. */
export async function git(args: readonly string[], options: GitOptions): Promise<string> {
  const end = await tryGit(args, options);
  if (end.kind === 'ok') return end.stdout;
  throw gitFault(args, options.cwd, end.stderr);
}

/** As `git`, without the newline at the end. */
export const gitLine = async (args: readonly string[], options: GitOptions): Promise<string> =>
  (await git(args, options)).replace(/\n$/, '');

/** The parts of output that was asked for with `-z`. */
export const gitList = async (args: readonly string[], options: GitOptions): Promise<string[]> =>
  (await git(args, options)).split('\0').filter((part) => part !== '');

/** For calls whose failure is an answer. Still throws where git could not be run, or had no time or space. */
export async function tryGit(args: readonly string[], options: GitOptions): Promise<GitAnswer> {
  const end = await runner.run({
    args: [...commonArguments, ...args],
    cwd: options.cwd,
    env: environment(options.env),
    input: options.input ?? '',
    limitMs: options.limitMs ?? questionLimitMs,
  });
  switch (end.kind) {
    case 'ok':
      return end;
    case 'failed':
      if (isFull(end.stderr)) throw gitFault(args, options.cwd, end.stderr);
      return end;
    case 'could-not-run':
      throw missingFault(options.cwd, end.reason);
    case 'stopped':
      throw new Fault('TIMED_OUT', `git ${args[0]} in ${options.cwd} ${end.reason}`, { subject: options.cwd });
  }
}

const isFull = (stderr: string): boolean => /No space left on device|Disk quota exceeded/.test(stderr);

const missingFault = (cwd: string, reason: string): Fault =>
  new Fault('GIT_FAILED', `git could not be started in ${cwd}: ${reason}`, {
    subject: cwd,
    hint: 'Check that git is installed and that the folder exists.',
  });

function gitFault(args: readonly string[], cwd: string, stderr: string, cause?: unknown): Fault {
  const said = lastLine(stderr);
  const full = isFull(stderr);
  return new Fault(
    full ? 'DISK_FULL' : 'GIT_FAILED',
    `git ${clip(args.slice(0, 3).join(' '), 200)} failed in ${cwd}: ${said}`,
    {
      cause,
      subject: cwd,
      ...(full ? { hint: 'Free some space; nothing was half written.' } : {}),
    },
  );
}

/** The line that says why: the last one that begins with fatal or error, else the last. */
export function lastLine(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  return oneLine(lines.findLast((line) => /^(fatal|error):/.test(line)) ?? lines.at(-1) ?? 'no reason given', 500);
}

export interface Repository {
  readonly kind: 'repository';
  /** Absolute path of the working tree that the path lies in. */
  readonly root: string;
  /** Absolute path of the repository's own folder, which all its worktrees share. */
  readonly commonDir: string;
  /** Null before the first commit. */
  readonly head: string | null;
  /** Short name; null while HEAD is detached. */
  readonly branch: string | null;
  /** Paths with changes that are not committed, untracked ones included; at most `dirtyMax`. */
  readonly dirty: readonly string[];
}

/** Dirty paths told: enough to see what is going on. */
const dirtyMax = 1000;

/** `reason` continues a sentence that begins with the path: `is not inside a git repository`. */
export async function describeRepository(
  path: string,
): Promise<Repository | { readonly kind: 'none'; readonly reason: string }> {
  const missing = await notAFolder(path);
  if (missing !== undefined) return { kind: 'none', reason: missing };
  const found = await tryGit(['rev-parse', '--path-format=absolute', '--show-toplevel', '--git-common-dir'], {
    cwd: path,
  });
  if (found.kind === 'failed') return { kind: 'none', reason: whyNone(found.stderr) };
  const [root = '', commonDir = ''] = found.stdout.split('\n');
  const [head, branch, dirty] = await Promise.all([resolveCommit(root, 'HEAD'), branchOf(root), dirtyPaths(root)]);
  return {
    kind: 'repository',
    root,
    commonDir,
    head: head ?? null,
    branch: branch ?? null,
    dirty: dirty.slice(0, dirtyMax),
  };
}

async function notAFolder(path: string): Promise<string | undefined> {
  try {
    return (await stat(path)).isDirectory() ? undefined : 'is not a folder';
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return 'does not exist';
    if (isErrno(error, 'EACCES')) return 'can not be entered';
    throw error;
  }
}

function whyNone(stderr: string): string {
  if (/not a git repository/.test(stderr)) return 'is not inside a git repository';
  if (/must be run in a work tree/.test(stderr)) return 'is a bare repository or the inside of a .git folder';
  if (/dubious ownership/.test(stderr))
    return 'belongs to another user, and git refuses to use it (see safe.directory in git-config)';
  return `is not usable as a git repository: ${lastLine(stderr)}`;
}

/** The full id of the commit that the expression names; undefined if there is none. */
export async function resolveCommit(cwd: string, expression: string): Promise<string | undefined> {
  const end = await tryGit(['rev-parse', '--verify', '--quiet', '--end-of-options', `${expression}^{commit}`], { cwd });
  return end.kind === 'ok' ? end.stdout.trim() : undefined;
}

/** Short name of the branch that HEAD points to, also before its first commit; undefined while HEAD is detached. */
export async function branchOf(cwd: string): Promise<string | undefined> {
  const end = await tryGit(['symbolic-ref', '--quiet', '--short', 'HEAD'], { cwd });
  return end.kind === 'ok' ? end.stdout.trim() : undefined;
}

/** Paths from the root, of both names where a file was renamed. */
export async function dirtyPaths(root: string): Promise<string[]> {
  const parts = await gitList(['status', '--porcelain=v1', '-z', '--no-renames', '--untracked-files=normal'], {
    cwd: root,
  });
  return parts.map((part) => part.slice(3));
}

export async function isTracked(root: string, path: string): Promise<boolean> {
  const found = await gitList(['ls-files', '-z', '--', `:(top,literal)${path}`], { cwd: root });
  return found.length > 0;
}

export async function isAncestor(cwd: string, ancestor: string, of: string): Promise<boolean> {
  return (await tryGit(['merge-base', '--is-ancestor', ancestor, of], { cwd })).kind === 'ok';
}

/** Sets the ref if it is at `expectedOld` (null: if it does not exist); false if it is elsewhere. */
export async function swapRef(
  cwd: string,
  change: { readonly ref: string; readonly to: string; readonly expectedOld: string | null; readonly message: string },
): Promise<boolean> {
  const { ref, to, expectedOld, message } = change;
  const old = expectedOld ?? '0'.repeat(to.length);
  const end = await tryGit(['update-ref', '--create-reflog', '-m', message, '--no-deref', ref, to, old], { cwd });
  if (end.kind === 'ok') return true;
  const found = await tryGit(['rev-parse', '--verify', '--quiet', ref], { cwd });
  const at = found.kind === 'ok' ? found.stdout.trim() : null;
  // Where the ref is as expected, something else went wrong: a lock file, a name that clashes, a folder that can't be written.
  if (at === expectedOld) throw gitFault(['update-ref', ref], cwd, end.stderr);
  return false;
}

/** Paths that differ between two commits, from the root. */
export const changedFiles = (cwd: string, from: string, to: string): Promise<string[]> =>
  gitList(['diff-tree', '-r', '-z', '--name-only', '--no-renames', from, to], { cwd });

export interface ListedWorktree {
  readonly path: string;
  readonly head: string | undefined;
  /** Full ref name. */
  readonly branch: string | undefined;
  /** The reason of the lock, empty if none was given; undefined if it is not locked. */
  readonly locked: string | undefined;
}

export async function listWorktrees(cwd: string): Promise<ListedWorktree[]> {
  const text = await git(['worktree', 'list', '--porcelain', '-z'], { cwd });
  return text
    .split('\0\0')
    .filter((block) => block !== '')
    .map((block) => {
      const lines = block.split('\0');
      const value = (key: string): string | undefined => {
        const line = lines.find((one) => one === key || one.startsWith(`${key} `));
        return line?.slice(key.length + 1);
      };
      return { path: value('worktree') ?? '', head: value('HEAD'), branch: value('branch'), locked: value('locked') };
    });
}
