/**
 * A worktree for one attempt: made, its ignore list, files put into it, removed. What becomes of the work in it is `worktree-work.ts`, how it goes `worktree-removal.ts`.
 *
 * Every function here can be called again after a crash at any line. `git worktree add` holds the new worktree locked with the reason
 * `initializing` until its files are written; that lock, or a folder git no longer knows of, is how a half-made one is recognised. A
 * branch that exists is used only where it stands at the wanted commit, and is never moved here.
 *
 * The person's main tree, index, branches, configuration and stash stay as they are, except for what `git worktree add` writes itself
 * and the line `extensions.worktreeConfig = true`.
 */
import { link, lstat, mkdir, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, normalize, sep } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isErrno } from '../base/fault.ts';
import { randomToken } from '../base/ids.ts';
import { writeFileAtomically } from './atomic-file.ts';
import {
  checkoutLimitMs,
  git,
  gitLine,
  isTracked,
  type ListedWorktree,
  lastLine,
  listWorktrees,
  resolveCommit,
  tryGit,
} from './git.ts';
import { processesIn } from './processes-in.ts';
import { removeTree } from './remove-tree.ts';
import { inTurn } from './turns.ts';

export interface WorktreePlan {
  /** Any working tree of the repository. */
  readonly repository: string;
  /** Absolute; its parent folder is made. */
  readonly path: string;
  /** Short name; null: on none, HEAD stands at the base itself. */
  readonly branch: string | null;
  /** Full commit id. */
  readonly base: string;
  /** Paths inside the worktree that plain `git status` there must not show: what `injectFile` will write. */
  readonly ignore: readonly string[];
}

export type Prepared =
  /** `unignored` says why the ignore list could not be set up; null if it is. */
  | { readonly kind: 'prepared'; readonly unignored: string | null }
  | { readonly kind: 'failed'; readonly reason: string };

export const prepareWorktree = (plan: WorktreePlan): Promise<Prepared> =>
  inTurn(plan.repository, () => prepareNow(plan));

async function prepareNow(plan: WorktreePlan): Promise<Prepared> {
  if ((await resolveCommit(plan.repository, plan.base)) === undefined)
    return failed(`commit ${plan.base} is not in the repository`);
  const found = await findSettled(plan);
  if (found && wasNeverFinished(found) && (await processesIn(plan.path)).length > 0)
    return failed(`a git that an earlier life started still makes ${plan.path}`);
  if (found && !(await isHalfMade(found))) {
    if (found.branch !== (plan.branch === null ? undefined : branchRef(plan.branch)))
      return failed(`${plan.path} is a worktree on ${found.branch ?? 'no branch'} already`);
  } else {
    if (found) await discardWorktree(plan.repository, plan.path);
    const refused = await addWorktree(plan);
    if (refused !== undefined) return failed(refused);
  }
  return { kind: 'prepared', unignored: await ignorePaths(plan.path, plan.ignore) };
}

const failed = (reason: string): Prepared => ({ kind: 'failed', reason });

export const branchRef = (branch: string): string => `refs/heads/${branch}`;

/** Git shows paths with symbolic links resolved, so both forms are compared. */
export async function findWorktree(repository: string, path: string): Promise<ListedWorktree | undefined> {
  const real = await realPath(path);
  const listed = await listWorktrees(repository);
  return listed.find((one) => one.path === path || one.path === real);
}

/** Looked at so often whether git has ended. */
const settleMs = 200;

/** As it is when nobody makes it any more: a git that an earlier life has started goes on without it, as long as git may take. */
async function findSettled({ repository, path }: WorktreePlan): Promise<ListedWorktree | undefined> {
  for (let waitedMs = 0; ; waitedMs += settleMs) {
    const found = await findWorktree(repository, path);
    if (!found || !wasNeverFinished(found) || waitedMs >= checkoutLimitMs) return found;
    if ((await processesIn(path)).length === 0) return found;
    await setTimeout(settleMs);
  }
}

const initializing = 'initializing';

/** git was killed while it wrote the files: nobody has worked there. */
export const wasNeverFinished = (found: ListedWorktree): boolean => found.locked === initializing;

/** Nobody has worked in one that was never finished, or whose folder is gone. */
const isHalfMade = async (found: ListedWorktree): Promise<boolean> =>
  wasNeverFinished(found) || !(await holdsFiles(found.path));

/** Answers with the reason if git refused. */
async function addWorktree({ repository, path, branch, base }: WorktreePlan): Promise<string | undefined> {
  if (await holdsFiles(path)) return `${path} exists already and is no worktree of this repository`;
  const at = branch === null ? undefined : await resolveCommit(repository, branchRef(branch));
  if (at !== undefined && at !== base)
    return `branch ${branch} exists already at ${at.slice(0, 12)}, and this work starts from ${base.slice(0, 12)}`;
  await mkdir(dirname(path), { recursive: true });
  const made = branch === null ? ['--detach', path, base] : ['--no-track', '-b', branch, path, base];
  const where = branch === null || at === undefined ? made : [path, branch];
  const end = await tryGit(['worktree', 'add', '--quiet', ...where], { cwd: repository, limitMs: checkoutLimitMs });
  return end.kind === 'ok' ? undefined : lastLine(end.stderr);
}

/**
 * Removes a worktree's folder and git's record of it, whatever state they are in. Not `git worktree prune`, which would also forget the
 * person's own worktrees on a drive that is not mounted. The record goes last: while it is there, this can be done again.
 */
export async function discardWorktree(repository: string, path: string): Promise<void> {
  const record = await recordOf(repository, path);
  for (const folder of [path, asideOf(path)]) await removeTree(folder);
  if (record !== undefined) await removeTree(record);
}

/** The folder into which a worktree goes whose removal has begun: everything in it is saved. */
export const asideOf = (path: string): string => join(dirname(path), `.${basename(path)}.muster-removing`);

/** The worktree that was set aside under this path; undefined: none was. */
export function setAsideAt(path: string): string | undefined {
  const name = /^\.(.+)\.muster-removing$/.exec(basename(path))?.[1];
  return name === undefined ? undefined : join(dirname(path), name);
}

/** The folder `<common>/worktrees/<name>` in which git keeps what it knows of this worktree. */
export async function recordOf(repository: string, path: string): Promise<string | undefined> {
  const common = await gitLine(['rev-parse', '--path-format=absolute', '--git-common-dir'], { cwd: repository });
  const folder = join(common, 'worktrees');
  const wanted = [join(path, '.git'), join(await realPath(path), '.git')];
  for (const name of await namesIn(folder)) {
    const pointer = await readText(join(folder, name, 'gitdir'));
    if (pointer !== undefined && wanted.includes(pointer.trim())) return join(folder, name);
  }
  return undefined;
}

/** Whether the worktree's `.git` file leads to its own record: else git would read through one of somebody else's making. */
export const pointsTo = async (path: string, record: string): Promise<boolean> =>
  (await readText(join(path, '.git')))?.trim() === `gitdir: ${record}`;

/** What a crash while injecting can leave; ignored and never captured. */
export const partialPattern = '.muster-*.partial';

/** Bytes of the person's own ignore file that are taken over; a larger one is no ignore file. */
const ignoreBytesMax = 1024 * 1024;

/**
 * Gives this worktree an ignore list of its own: the person's global one and `paths`. Answers with the reason where it must not be done:
 * switching on per-worktree configuration would change the meaning of `core.bare` and `core.worktree` in the common file (git-worktree,
 * "CONFIGURATION FILE").
 */
async function ignorePaths(worktree: string, paths: readonly string[]): Promise<string | null> {
  const cwd = worktree;
  const enabled = await configValue(cwd, ['--bool', 'extensions.worktreeConfig']);
  if (enabled !== 'true') {
    const common = await gitLine(['rev-parse', '--path-format=absolute', '--git-common-dir'], { cwd });
    const bare = await configValue(cwd, ['--file', join(common, 'config'), '--bool', 'core.bare']);
    const moved = await configValue(cwd, ['--file', join(common, 'config'), 'core.worktree']);
    if (bare === 'true') return 'the repository has core.bare set';
    if (moved !== undefined) return 'the repository has core.worktree set';
    await git(['config', '--file', join(common, 'config'), 'extensions.worktreeConfig', 'true'], { cwd });
  }
  const gitDir = await gitLine(['rev-parse', '--absolute-git-dir'], { cwd });
  const list = join(gitDir, 'muster-exclude');
  const lines = [...paths.map(ignorePattern), partialPattern];
  const own = await ownIgnoreList(cwd, list);
  await writeFileAtomically(list, `${own}# Files that Muster put into this worktree.\n${lines.join('\n')}\n`, 0o644);
  await git(['config', '--worktree', 'core.excludesFile', list], { cwd });
  return null;
}

/** What the person's own `core.excludesFile`, or the place where git looks by default, holds. */
async function ownIgnoreList(cwd: string, ours: string): Promise<string> {
  const all = await tryGit(['config', '--null', '--type=path', '--get-all', 'core.excludesFile'], { cwd });
  const set = all.kind === 'ok' ? all.stdout.split('\0').filter((path) => path !== '' && path !== ours) : [];
  const usual = join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'git', 'ignore');
  const text = await readText(set.at(-1) ?? usual);
  return text === undefined || text === '' ? '' : `${text.replace(/\n?$/, '\n')}`;
}

/** Anchored at the root, with the characters that mean something in a pattern taken literally. */
const ignorePattern = (path: string): string => `/${path.replace(/[\\*?[\]!# ]/g, '\\$&')}`;

async function configValue(cwd: string, args: readonly string[]): Promise<string | undefined> {
  const end = await tryGit(['config', ...args.slice(0, -1), '--get', args.at(-1) ?? ''], { cwd });
  return end.kind === 'ok' ? end.stdout.trim() : undefined;
}

export type Injected = { readonly kind: 'written' } | { readonly kind: 'refused'; readonly reason: string };

/**
 * Writes a file that belongs to us into the worktree. Refused where it would touch what is not ours: a tracked path, a path that exists
 * with other content, one that leads out of the worktree or through a symbolic link. The same content again is `written`.
 */
export async function injectFile(worktree: string, path: string, content: string): Promise<Injected> {
  const relative = normalize(path);
  const parts = relative.split(sep);
  if (isAbsolute(path) || parts.includes('..') || relative === '.' || relative.endsWith(sep))
    return refused(`${path} leads out of the worktree`);
  if (parts.some((part) => part.toLowerCase() === '.git')) return refused(`${path} lies inside git's own folder`);
  if (await isTracked(worktree, relative)) return refused(`${path} is tracked by git`);
  const blocked = await obstacle(worktree, parts);
  if (blocked !== undefined) return refused(`${path}: ${blocked}`);
  const target = join(worktree, relative);
  await mkdir(dirname(target), { recursive: true });
  return (await createWhole(target, content)) || (await readIfPlain(target)) === content
    ? { kind: 'written' }
    : refused(`${path} exists already`);
}

const refused = (reason: string): Injected => ({ kind: 'refused', reason });

/** What stands in the way to the file: a parent that is a link or a file. */
async function obstacle(worktree: string, parts: readonly string[]): Promise<string | undefined> {
  for (let depth = 1; depth < parts.length; depth += 1) {
    const folder = join(worktree, ...parts.slice(0, depth));
    const found = await lstatOrNothing(folder);
    if (found === undefined) return undefined;
    if (found.isSymbolicLink()) return `${parts.slice(0, depth).join('/')} is a symbolic link`;
    if (!found.isDirectory()) return `${parts.slice(0, depth).join('/')} is a file`;
  }
  return undefined;
}

/** False if something of that name exists. A hard link, unlike a rename, never replaces. */
async function createWhole(target: string, content: string): Promise<boolean> {
  const beside = join(dirname(target), `.muster-${randomToken(8)}.partial`);
  try {
    await writeFile(beside, content, { flag: 'wx', mode: 0o644 });
    await link(beside, target);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await rm(beside, { force: true });
  }
}

async function readIfPlain(path: string): Promise<string | undefined> {
  const found = await lstatOrNothing(path);
  return found?.isFile() === true ? readText(path) : undefined;
}

async function lstatOrNothing(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function holdsFiles(path: string): Promise<boolean> {
  const found = await lstatOrNothing(path);
  if (found === undefined) return false;
  return !found.isDirectory() || (await namesIn(path)).length > 0;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Undefined if there is no such file, it can't be read, or it is too large to be what we look for. */
async function readText(path: string): Promise<string | undefined> {
  try {
    return (await stat(path)).size > ignoreBytesMax ? undefined : await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES'].some((code) => isErrno(error, code))) return undefined;
    throw error;
  }
}

/** The path with the links of its parent resolved, also where it does not exist itself. */
async function realPath(path: string): Promise<string> {
  try {
    return join(await realpath(dirname(path)), basename(path));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return path;
    throw error;
  }
}
