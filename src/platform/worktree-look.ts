/**
 * What is in a worktree, and what of it stands nowhere else. Nothing here changes anything.
 *
 * git keeps a worktree's private things in its record, `<common>/worktrees/<name>`: HEAD and its reflog, the index, the heads of a merge or
 * rebase under way, `refs/worktree`. They go with the worktree, and with them the commits that only they name. Branches, tags and stashes
 * belong to the repository and stay.
 *
 * A repository inside the worktree (a submodule that is checked out, a clone that the agent made) is only found, never asked: its
 * configuration may name commands, and git would run them.
 */
import { execFile } from 'node:child_process';
import { copyFile, readdir, readFile, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { isErrno } from '../base/fault.ts';
import { randomToken } from '../base/ids.ts';
import { git, gitLine, gitList, resolveCommit, tryGit } from './git.ts';
import { findWorktree, recordOf } from './worktree.ts';

/** A reflog of more commits is no agent's work of one job; the rest is not looked through, and the worktree is kept. */
const ownCommitsMax = 5000;
/** Enough to see what is there; one is enough to keep the worktree. */
const nestedMax = 20;
/** Folders looked into for repositories. A worktree with more, dependencies included, is kept rather than half looked through. */
const foldersMax = 500_000;
/** `du` over a million files on a slow disk. */
const sizeLimitMs = 60_000;

const operations: Readonly<Record<string, string>> = {
  'rebase-merge': 'rebase',
  'rebase-apply': 'rebase',
  MERGE_HEAD: 'merge',
  CHERRY_PICK_HEAD: 'cherry-pick',
  REVERT_HEAD: 'revert',
  BISECT_LOG: 'bisect',
};

export interface WorktreeLook {
  /** Full commit id; null before a first commit. */
  readonly head: string | null;
  /** Short name; null while HEAD is detached. */
  readonly branch: string | null;
  /** The reason of git's lock, empty if none was given. */
  readonly locked: string | null;
  /** Tracked files that differ from HEAD, and files that git does not know; ignored ones in neither. */
  readonly changed: number;
  readonly untracked: number;
  /** Commits since the base that no remote-tracking branch has. */
  readonly unpushed: number;
  /** Stashes that were made on this branch. They belong to the repository. */
  readonly stashes: number;
  /** `rebase`, `merge`, ... that is under way. */
  readonly operation: string | null;
  /** Repositories inside, relative to the worktree. */
  readonly nested: readonly string[];
}

export interface LookOptions {
  readonly repository: string;
  readonly path: string;
  readonly branch: string;
  readonly base: string;
  /** Paths that are ours and count as no change. */
  readonly exclude: readonly string[];
}

/** Undefined if git knows no worktree there. Faults: GIT_FAILED. */
export async function lookAtWorktree(options: LookOptions): Promise<WorktreeLook | undefined> {
  const { repository, path: cwd, base } = options;
  const found = await findWorktree(repository, cwd);
  const record = await recordOf(repository, cwd);
  if (!found || record === undefined) return undefined;
  const [head, status, stashes, operation, nested] = await Promise.all([
    resolveCommit(cwd, 'HEAD'),
    gitList(['status', '--porcelain=v1', '-z', '--no-renames', '--untracked-files=all', '--ignore-submodules=none'], {
      cwd,
    }),
    stashesOf(repository, options.branch),
    operationIn(record),
    nestedRepositories(cwd),
  ]);
  const counted = status.filter((entry) => !options.exclude.includes(entry.slice(3)));
  const untracked = counted.filter((entry) => entry.startsWith('??')).length;
  return {
    head: head ?? null,
    branch: found.branch?.replace(/^refs\/heads\//, '') ?? null,
    locked: found.locked ?? null,
    changed: counted.length - untracked,
    untracked,
    unpushed: head === undefined ? 0 : await unpushedCommits(cwd, head, base),
    stashes: stashes.length,
    operation,
    nested: nested.kind === 'found' ? nested.paths : [nested.reason],
  };
}

async function unpushedCommits(cwd: string, head: string, base: string): Promise<number> {
  const counted = await tryGit(['rev-list', '--count', head, '--not', base, '--remotes'], { cwd });
  return counted.kind === 'ok' ? Number(counted.stdout.trim()) : 0;
}

/** Commits of the repository's stashes whose message says that they were made on this branch. */
export async function stashesOf(repository: string, branch: string): Promise<string[]> {
  const listed = await tryGit(['stash', 'list', '-z', '--format=%H %gs'], { cwd: repository });
  if (listed.kind === 'failed') return [];
  return listed.stdout
    .split('\0')
    .map((entry) => ({ commit: entry.slice(0, entry.indexOf(' ')), subject: entry.slice(entry.indexOf(' ') + 1) }))
    .filter(({ subject }) => subject.startsWith(`WIP on ${branch}: `) || subject.startsWith(`On ${branch}: `))
    .map(({ commit }) => commit);
}

/** `rebase`, `merge`, ... that is under way in the worktree of this record. */
export async function operationIn(record: string): Promise<string | null> {
  const names = new Set(await readdir(record));
  return Object.entries(operations).find(([name]) => names.has(name))?.[1] ?? null;
}

export type Nested =
  | { readonly kind: 'found'; readonly paths: readonly string[] }
  | { readonly kind: 'too-much'; readonly reason: string };

/** Every folder with a `.git` of its own, in ignored folders too, but in none of `skipped`. Links are not followed. */
export async function nestedRepositories(worktree: string, skipped?: ReadonlySet<string>): Promise<Nested> {
  const paths: string[] = [];
  const waiting = [worktree];
  for (let looked = 0; waiting.length > 0; looked += 1) {
    if (looked === foldersMax) return { kind: 'too-much', reason: `(it holds more than ${foldersMax} folders)` };
    const folder = waiting.pop() ?? worktree;
    if (skipped?.has(relative(worktree, folder)) === true) continue;
    const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    });
    if (folder !== worktree && entries.some(({ name }) => name === '.git')) {
      paths.push(relative(worktree, folder));
      if (paths.length === nestedMax) break;
      continue;
    }
    waiting.push(
      ...entries.filter((one) => one.isDirectory() && one.name !== '.git').map(({ name }) => join(folder, name)),
    );
  }
  return { kind: 'found', paths: paths.toSorted() };
}

/**
 * Tips of the commits that would be lost with the worktree: named by its record, and reachable from no ref of the repository. Undefined if
 * there are too many to look through.
 */
export async function ownCommits(repository: string, path: string): Promise<readonly string[] | undefined> {
  const record = await recordOf(repository, path);
  if (record === undefined) return [];
  const named = await namedByRecord(record);
  if (named.length > ownCommitsMax) return undefined;
  const cwd = repository;
  const found = await git(['cat-file', '--batch-check=%(objectname) %(objecttype)'], {
    cwd,
    input: `${named.join('\n')}\n`,
  });
  const commits = [...found.matchAll(/^([0-9a-f]{40,64}) commit$/gm)].map((match) => match[1] ?? '');
  if (commits.length === 0) return [];
  // From the repository's own tree: there `--all` means its refs and not those of the worktree.
  const listed = await gitLine(['rev-list', '--parents', '--stdin', '--not', '--all'], {
    cwd: await commonDir(repository),
    input: `${commits.join('\n')}\n`,
  });
  const rows = listed
    .split('\n')
    .filter((row) => row !== '')
    .map((row) => row.split(' '));
  const parents = new Set(rows.flatMap(([, ...of]) => of));
  return rows.map(([commit = '']) => commit).filter((commit) => !parents.has(commit));
}

/** The folder of the repository itself, of which `--all` sees no worktree's own refs. */
const commonDir = (repository: string): Promise<string> =>
  gitLine(['rev-parse', '--path-format=absolute', '--git-common-dir'], { cwd: repository });

/** Every object id in the files of the record, its index apart. */
async function namedByRecord(record: string): Promise<string[]> {
  const entries = await readdir(record, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !/^(index|muster-)/.test(entry.name));
  const texts = await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name), 'utf8')));
  const ids = texts.flatMap((text) => text.match(/\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b/g) ?? []);
  return [...new Set(ids)].filter((id) => !/^0+$/.test(id));
}

/** The tree that is staged; undefined while a conflict is open (its parts are in the commits that are being merged). */
export async function stagedTree(worktree: string): Promise<string | undefined> {
  const gitDir = await gitLine(['rev-parse', '--absolute-git-dir'], { cwd: worktree });
  // On a copy: git would write into the index what it has learnt.
  const copy = join(gitDir, `muster-staged-${randomToken(8)}`);
  try {
    await copyFile(join(gitDir, 'index'), copy);
    const end = await tryGit(['write-tree'], { cwd: worktree, env: { GIT_INDEX_FILE: copy } });
    return end.kind === 'ok' ? end.stdout.trim() : undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  } finally {
    await rm(copy, { force: true });
  }
}

/** Bytes on disk; null if it can't be told in time. What is linked to elsewhere is counted in full. */
export async function sizeOf(path: string): Promise<number | null> {
  try {
    const { stdout } = await promisify(execFile)('du', ['-sk', '--', path], { timeout: sizeLimitMs });
    const kilobytes = Number.parseInt(stdout, 10);
    return Number.isNaN(kilobytes) ? null : kilobytes * 1024;
  } catch {
    // Files that went away meanwhile, or a folder that can't be entered: then the number would be wrong.
    return null;
  }
}
