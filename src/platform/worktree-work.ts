/**
 * What becomes of the work in a worktree: captured as one candidate commit, and landed on its branch.
 *
 * Capturing reads the files as they are on disk, through an index of its own: the worktree's index, HEAD and files are not touched. The
 * candidate stands at `<ref>`; beside it `<ref>.head` and `<ref>.branch` keep where HEAD and the branch were, so that nothing the agent
 * committed can be collected as garbage, and so that landing knows what to expect. Doing it again with the same files gives the same
 * commit again.
 */
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../base/fault.ts';
import {
  changedFiles,
  checkoutLimitMs,
  git,
  gitLine,
  gitList,
  isAncestor,
  listWorktrees,
  resolveCommit,
  swapRef,
  tryGit,
} from './git.ts';
import { branchRef, findWorktree, partialPattern, pointsTo, recordOf } from './worktree.ts';

export interface Identity {
  readonly name: string;
  readonly email: string;
}

export interface CaptureOptions {
  readonly worktree: string;
  /** Short name of the branch the work is meant for. */
  readonly branch: string;
  readonly base: string;
  /** Full ref name, e.g. `refs/muster/attempts/j1.1`; moved here if it exists. */
  readonly ref: string;
  readonly message: string;
  /** Paths that are ours and never part of the work. */
  readonly exclude: readonly string[];
  /** By default the repository's configured user. */
  readonly author?: Identity;
}

export type Captured =
  | {
      readonly kind: 'captured';
      readonly commit: string;
      /** Paths that differ from the base; at most `filesMax` of `fileCount`. */
      readonly files: readonly string[];
      readonly fileCount: number;
      /** Where the branch was; null if the agent has deleted it. What `landBranch` expects. */
      readonly branchAt: string | null;
    }
  /** The files are as they were at the base, whatever was committed meanwhile. */
  | { readonly kind: 'nothing' };

export const filesMax = 10_000;

/** Faults: GIT_FAILED (e.g. a file that can't be read), DISK_FULL. */
export async function captureWork(options: CaptureOptions): Promise<Captured> {
  return captureTree(options, await treeOfFiles(options));
}

export async function captureTree(options: CaptureOptions, tree: string): Promise<Captured> {
  const { worktree: cwd, base, ref } = options;
  if (tree === (await treeOf(cwd, base))) return { kind: 'nothing' };
  const head = await resolveCommit(cwd, 'HEAD');
  const branchAt = (await resolveCommit(cwd, branchRef(options.branch))) ?? null;
  const commit = await candidate(options, tree, head);
  if (head !== undefined) await setRef(cwd, `${ref}.head`, head);
  await (branchAt === null
    ? git(['update-ref', '-d', `${ref}.branch`], { cwd })
    : setRef(cwd, `${ref}.branch`, branchAt));
  await setRef(cwd, ref, commit);
  const files = await changedFiles(cwd, base, commit);
  return { kind: 'captured', commit, files: files.slice(0, filesMax), fileCount: files.length, branchAt };
}

/** Where the branch was when the work at `ref` was captured; null if it did not exist. */
export const branchAtCapture = async (repository: string, ref: string): Promise<string | null> =>
  (await resolveCommit(repository, `${ref}.branch`)) ?? null;

const setRef = (cwd: string, ref: string, commit: string): Promise<string> =>
  git(['update-ref', '--no-deref', ref, commit], { cwd });
export const treeOf = (cwd: string, commit: string): Promise<string> =>
  gitLine(['rev-parse', '--verify', `${commit}^{tree}`], { cwd });

/**
 * The tree that the files on disk make. It starts from HEAD in a fresh index, so that marks which hide changes (assume-unchanged) have no
 * effect; a sparse worktree needs its own index, because there the files that are not on disk are no deletions.
 */
export async function treeOfFiles({
  worktree: cwd,
  base,
  exclude,
}: Pick<CaptureOptions, 'worktree' | 'base' | 'exclude'>): Promise<string> {
  const gitDir = await gitLine(['rev-parse', '--absolute-git-dir'], { cwd });
  const index = join(gitDir, 'muster-index');
  const env = { GIT_INDEX_FILE: index };
  const limitMs = checkoutLimitMs;
  await Promise.all([rm(index, { force: true }), rm(`${index}.lock`, { force: true })]);
  try {
    const start = (await resolveCommit(cwd, 'HEAD')) ?? base;
    if (await isSparse(cwd)) await copyFile(join(gitDir, 'index'), index);
    else await git(['read-tree', start], { cwd, env });
    await git(['add', '--all', '--', ':/'], { cwd, env, limitMs });
    const forced = await forcedPaths(cwd);
    if (forced.length > 0)
      await git(['add', '--force', '--pathspec-from-file=-', '--pathspec-file-nul'], {
        cwd,
        env,
        limitMs,
        input: forced.join('\0'),
      });
    // Taken out again, not left out: git refuses to add with an ignored path among those to leave out.
    const partial = await gitList(['ls-files', '-z', '--', `:(top,glob)**/${partialPattern}`], { cwd, env });
    const ours = [...exclude, ...partial];
    if (ours.length > 0)
      await git(['update-index', '--force-remove', '-z', '--stdin'], { cwd, env, input: ours.join('\0') });
    return await gitLine(['write-tree'], { cwd, env });
  } finally {
    await rm(index, { force: true });
  }
}

async function isSparse(cwd: string): Promise<boolean> {
  const set = await tryGit(['config', '--bool', '--get', 'core.sparseCheckout'], { cwd });
  return set.kind === 'ok' && set.stdout.trim() === 'true';
}

/** Files that the agent added although they are ignored: they are tracked by its index and nowhere else. */
async function forcedPaths(cwd: string): Promise<string[]> {
  const listed = await gitList(['ls-files', '-z', '--cached', '--ignored', '--exclude-standard'], { cwd });
  const gone = new Set(await gitList(['ls-files', '-z', '--deleted'], { cwd }));
  return listed.filter((path) => !gone.has(path)).map((path) => `:(top,literal)${path}`);
}

/**
 * HEAD itself where the agent has committed everything; else one commit on top of what it committed. Its history is left out, and the
 * work put onto the base as one commit, where it does not begin at the base or holds a file of ours.
 */
export async function candidate(options: CaptureOptions, tree: string, head: string | undefined): Promise<string> {
  const { worktree: cwd, base, exclude, ref } = options;
  const keeps = head !== undefined && (await isAncestor(cwd, base, head)) && !(await touches(cwd, base, head, exclude));
  if (keeps && tree === (await treeOf(cwd, head))) return head;
  const parent = keeps ? head : base;
  const before = await resolveCommit(cwd, ref);
  if (before !== undefined && (await gitLine(['log', '-1', '--format=%T %P', before], { cwd })) === `${tree} ${parent}`)
    return before;
  return gitLine(['commit-tree', tree, '-p', parent], {
    cwd,
    env: await identityOf(cwd, options.author),
    input: options.message,
  });
}

async function touches(cwd: string, base: string, head: string, paths: readonly string[]): Promise<boolean> {
  if (paths.length === 0) return false;
  const found = await git(
    ['log', '-1', '--format=%H', `${base}..${head}`, '--', ...paths.map((path) => `:(top,literal)${path}`)],
    { cwd },
  );
  return found !== '';
}

const fallback: Identity = { name: 'Muster', email: 'muster@localhost' };

export async function identityOf(cwd: string, author: Identity | undefined): Promise<Record<string, string>> {
  const [name, email] = await Promise.all(
    ['user.name', 'user.email'].map((key) => tryGit(['config', '--get', key], { cwd })),
  );
  const configured =
    name?.kind === 'ok' && email?.kind === 'ok' ? { name: name.stdout.trim(), email: email.stdout.trim() } : fallback;
  const written = author ?? configured;
  return {
    GIT_AUTHOR_NAME: written.name,
    GIT_AUTHOR_EMAIL: written.email,
    GIT_COMMITTER_NAME: configured.name,
    GIT_COMMITTER_EMAIL: configured.email,
  };
}

export interface Landing {
  /** Any working tree of the repository. */
  readonly repository: string;
  /** The attempt's worktree; the only working tree whose index may be changed. It may be gone. */
  readonly worktree: string;
  readonly branch: string;
  readonly commit: string;
  /** Where the branch must be now; null: it must not exist. */
  readonly expectedOld: string | null;
}

export type Landed =
  /** `already`: the branch stood there before. `warning`: it has landed, but the worktree's index could not be brought to it. */
  | { readonly kind: 'landed'; readonly already: boolean; readonly warning?: string }
  | { readonly kind: 'moved'; readonly reason: string };

/** Compare-and-swap of the branch, then the index of the worktree is brought to it, so that `git status` there is clean; no file changes. */
export async function landBranch({ repository, worktree, branch, commit, expectedOld }: Landing): Promise<Landed> {
  const ref = branchRef(branch);
  const ours = await findWorktree(repository, worktree);
  const already = (await resolveCommit(repository, ref)) === commit;
  if (!already) {
    const elsewhere = await checkedOutElsewhere(repository, ref, ours?.path);
    if (elsewhere !== undefined) return { kind: 'moved', reason: `branch ${branch} is checked out in ${elsewhere}` };
    const message = `muster: ${branch} lands`;
    if (!(await swapRef(repository, { ref, to: commit, expectedOld, message }))) {
      const at = await resolveCommit(repository, ref);
      return { kind: 'moved', reason: `branch ${branch} was expected at ${short(expectedOld)} and is at ${short(at)}` };
    }
  }
  const warning = ours?.branch === ref ? await followIndex(repository, ours.path, commit) : undefined;
  return warning === undefined ? { kind: 'landed', already } : { kind: 'landed', already, warning };
}

/** Only the index: what the agent, or a person, has changed since stays as it is. The branch has moved, so that this can't undo a landing. */
async function followIndex(repository: string, cwd: string, commit: string): Promise<string | undefined> {
  try {
    const record = await recordOf(repository, cwd);
    if (record === undefined || !(await pointsTo(cwd, record))) return `${cwd} has lost its link to the repository`;
    await git(['read-tree', '--reset', commit], { cwd });
    await tryGit(['update-index', '-q', '--refresh'], { cwd });
    return undefined;
  } catch (error) {
    return `the index of ${cwd} does not follow its branch: ${messageOf(error)}`;
  }
}

export const short = (commit: string | null | undefined): string => commit?.slice(0, 12) ?? 'no commit';

async function checkedOutElsewhere(
  repository: string,
  ref: string,
  ours: string | undefined,
): Promise<string | undefined> {
  return (await listWorktrees(repository)).find((one) => one.branch === ref && one.path !== ours)?.path;
}
