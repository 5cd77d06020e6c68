/**
 * What becomes of the work in a worktree: captured as one candidate commit, landed on its branch, saved before the worktree is removed.
 *
 * Capturing reads the files as they are on disk, through an index of its own: the worktree's index, HEAD and files are not touched. The
 * candidate stands at `<ref>`; beside it `<ref>.head` and `<ref>.branch` keep where HEAD and the branch were, so that nothing the agent
 * committed can be collected as garbage, and so that landing knows what to expect. Doing it again with the same files gives the same
 * commit again.
 */
import { copyFile, lstat, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, messageOf } from '../base/fault.ts';
import { exists, writeFileAtomically } from './atomic-file.ts';
import {
  changedFiles,
  checkoutLimitMs,
  git,
  gitLine,
  gitList,
  isAncestor,
  type ListedWorktree,
  listWorktrees,
  resolveCommit,
  swapRef,
  tryGit,
} from './git.ts';
import { type ProcessIn, processesIn } from './processes-in.ts';
import { removeTree } from './remove-tree.ts';
import { inTurn } from './turns.ts';
import { asideOf, branchRef, findWorktree, partialPattern, recordOf, wasNeverFinished } from './worktree.ts';
import { nestedRepositories, ownCommits, stagedTree, stashesOf } from './worktree-look.ts';

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

async function captureTree(options: CaptureOptions, tree: string): Promise<Captured> {
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
const treeOf = (cwd: string, commit: string): Promise<string> =>
  gitLine(['rev-parse', '--verify', `${commit}^{tree}`], { cwd });

/**
 * The tree that the files on disk make. It starts from HEAD in a fresh index, so that marks which hide changes (assume-unchanged) have no
 * effect; a sparse worktree needs its own index, because there the files that are not on disk are no deletions.
 */
async function treeOfFiles({
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
async function candidate(options: CaptureOptions, tree: string, head: string | undefined): Promise<string> {
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

async function identityOf(cwd: string, author: Identity | undefined): Promise<Record<string, string>> {
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

const short = (commit: string | null | undefined): string => commit?.slice(0, 12) ?? 'no commit';

async function checkedOutElsewhere(
  repository: string,
  ref: string,
  ours: string | undefined,
): Promise<string | undefined> {
  return (await listWorktrees(repository)).find((one) => one.branch === ref && one.path !== ours)?.path;
}

export interface Removal {
  readonly repository: string;
  readonly path: string;
  readonly branch: string;
  readonly base: string;
  /** Where work that stands nowhere else is saved, e.g. `refs/muster/saved/j1.1`. */
  readonly ref: string;
  readonly exclude: readonly string[];
  /** Repositories inside it go unsaved: for a person who has looked. */
  readonly discardNested?: boolean;
}

export type Removed =
  /**
   * `saved`: the commit of what the files and HEAD held and no ref did, else null. `more`: a commit whose parents are what else only the
   * worktree's record named (amended or reset commits, a rebase under way, what was staged, stashes), else null. `ref`: the name of the
   * first of the two that there is; the second one's is `<ref>.more`.
   */
  | {
      readonly kind: 'removed';
      readonly saved: string | null;
      readonly more: string | null;
      readonly ref: string | null;
    }
  | { readonly kind: 'kept'; readonly reason: string };

/**
 * Saves what would be lost, then removes the worktree. Kept where it is not sure that saving gets everything, and where somebody works.
 * Ignored files are not saved.
 *
 * In order: saved → mark → set aside beside the mark → told → the files go → git's record goes → the mark goes. Called again after a crash
 * it goes on: what was set aside is saved, and is told by the mark, also if git has forgotten it. A folder that stands at its own name is
 * not what the mark is for (it could not be set aside, or somebody brought it back), and is saved anew. `tell` is called once, unless the
 * process dies before that is written down; it is not called where nothing was there.
 */
export const removeWorktree = (
  removal: Removal,
  tell: (removed: Extract<Removed, { kind: 'removed' }>) => Promise<unknown>,
): Promise<Removed> => inTurn(`remove ${removal.path}`, () => removeNow(removal, tell));

async function removeNow(removal: Removal, tell: Parameters<typeof removeWorktree>[1]): Promise<Removed> {
  const { repository, path } = removal;
  const found = await findWorktree(repository, path);
  const record = await recordOf(repository, path);
  const stands = await exists(path);
  if (stands && (!found || record === undefined)) return kept(`${path} is no worktree of this repository`);
  // Also of one whose removal has begun, and of one that git may still be making, whose git outlives us.
  const users = await processesAt(path);
  if (users.length > 0)
    return kept(
      `somebody works there: ${users
        .slice(0, namedMax)
        .map(({ pid, name }) => `process ${pid} (${name})`)
        .join(', ')}`,
    );
  if (found && record !== undefined && (stands || !(await readMark(path, record)))) {
    const reason = await begin(removal, found, record);
    if (reason !== undefined) return kept(reason);
  }
  const mark = await readMark(path, record);
  if (mark && !mark.told) {
    await tell(mark.removed);
    await writeFileAtomically(mark.file, textOf({ ...mark, told: true }));
  }
  await removeTree(join(asideOf(path), asideTree));
  if (record !== undefined) await removeTree(record);
  await removeTree(asideOf(path));
  return mark?.removed ?? { kind: 'removed', saved: null, more: null, ref: null };
}

const kept = (reason: string): Removed => ({ kind: 'kept', reason });

/** Saves the worktree and sets it aside with its mark; answers with the reason where that can't be done. */
async function begin(removal: Removal, found: ListedWorktree, record: string): Promise<string | undefined> {
  const { repository, path } = removal;
  const stands = await exists(path);
  const before = await readRecordMark(record);
  let mark: Pick<RemovalMark, 'removed' | 'told'>;
  if (before && (await isUnchangedSince(path, before.file))) mark = before;
  // Where git was killed while it made it, nobody has worked.
  else if (wasNeverFinished(found))
    mark = { removed: { kind: 'removed', saved: null, more: null, ref: null }, told: false };
  else {
    const reason = await whyKept(removal, found.locked, record);
    if (reason !== undefined) return reason;
    const all = await saveAll(removal);
    if (all.kind === 'too-much') return all.reason;
    mark = { removed: removedAs(all.saved ?? '', all.more, all.ref), told: false };
  }
  const aside = asideOf(path);
  // What an earlier removal has left there was saved before it was set aside.
  await removeTree(aside);
  await mkdir(aside, { recursive: true });
  await writeFileAtomically(join(aside, asideMark), textOf({ ...mark, repository }));
  if (stands) await rename(path, join(aside, asideTree));
  return undefined;
}

/** In the folder of a worktree that was set aside: what was saved of it, and the worktree as it was. */
const asideMark = 'muster-removing';
const asideTree = 'tree';

interface RemovalMark {
  readonly removed: Extract<Removed, { kind: 'removed' }>;
  readonly told: boolean;
  /** Of one whose record git has forgotten; empty where the mark itself stands in the record. */
  readonly repository: string;
  /** Where it is kept. */
  readonly file: string;
}

const textOf = ({ removed: { saved, more, ref }, told, repository }: Omit<RemovalMark, 'file'>): string =>
  [saved ?? '', more ?? '', ref ?? '', told ? 'told' : '', repository].join('\n');

/** The repository of a worktree whose removal was cut short; undefined: none was, or it is not known. */
export const repositorySetAside = async (path: string): Promise<string | undefined> =>
  (await readMark(path, undefined))?.repository;

async function readMark(path: string, record: string | undefined): Promise<RemovalMark | undefined> {
  const mark = await readMarkIn(asideOf(path));
  // No file goes before it is told: what is not there was brought back, and the mark says nothing of what became of it since.
  if (mark && (mark.told || (await exists(join(asideOf(path), asideTree))))) return mark;
  return record === undefined ? undefined : readRecordMark(record);
}

/**
 * Where versions of November 2026 kept the mark. The first of them took the files away where they stood: what is left of those, without a
 * change since, is saved.
 */
const readRecordMark = (record: string): Promise<RemovalMark | undefined> => readMarkIn(record);

async function readMarkIn(folder: string): Promise<RemovalMark | undefined> {
  const file = join(folder, asideMark);
  if (!(await exists(file))) return undefined;
  const [saved = '', more = '', ref = '', told = '', ...rest] = (await readFile(file, 'utf8')).split('\n');
  return { removed: removedAs(saved, more, ref), told: told === 'told', repository: rest.join('\n'), file };
}

const removedAs = (saved: string, more: string, ref: string): RemovalMark['removed'] => ({
  kind: 'removed',
  saved: saved === '' ? null : saved,
  more: more === '' ? null : more,
  ref: saved === '' && more === '' ? null : ref,
});

/** Of the files alone: a removal changes the folders. */
async function isUnchangedSince(path: string, mark: string): Promise<boolean> {
  const since = (await stat(mark)).mtimeMs;
  if (!(await exists(path))) return false;
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true }))
    if (!entry.isDirectory() && (await lstat(join(entry.parentPath, entry.name))).ctimeMs >= since) return false;
  return true;
}

/** In the worktree, or in what was set aside of it. */
export const processesAt = async (path: string): Promise<readonly ProcessIn[]> => [
  ...(await processesIn(path)),
  ...(await processesIn(asideOf(path))),
];

/** Whether the worktree's `.git` file leads to its own record: else git would read through one of somebody else's making. */
export const pointsTo = async (path: string, record: string): Promise<boolean> =>
  (await readFile(join(path, '.git'), 'utf8').catch(() => '')).trim() === `gitdir: ${record}`;

/** Told of what keeps a worktree: enough to find it. */
const namedMax = 5;

async function whyKept(removal: Removal, locked: string | undefined, record: string): Promise<string | undefined> {
  const { path } = removal;
  if (locked !== undefined) return `it is locked${locked === '' ? '' : ` (${locked})`}`;
  if (!(await pointsTo(path, record))) return `${path} has lost its link to the repository`;
  if (removal.discardNested === true) return undefined;
  const nested = await nestedRepositories(path);
  if (nested.kind === 'too-much') return `${path} can not be looked through ${nested.reason}`;
  if (nested.paths.length === 0) return undefined;
  return `${nested.paths.slice(0, namedMax).join(', ')} ${nested.paths.length === 1 ? 'is a repository of its own' : 'are repositories of their own'}, whose commits would be lost`;
}

/** Parents of one commit: git itself takes more, but no job leaves them. */
const tipsMax = 1000;

export type SavePlan = Pick<Removal, 'repository' | 'path' | 'branch' | 'base' | 'ref' | 'exclude'>;

export type Saved =
  | { readonly kind: 'saved'; readonly saved: string | null; readonly more: string; readonly ref: string }
  | { readonly kind: 'too-much'; readonly reason: string };

/**
 * Keeps everything the worktree holds and no ref of the repository does, ignored files apart. A ref that exists is never moved: what is
 * saved under a name that is taken goes to `<ref>-2`, `<ref>-3`, ... `saved` is null and `more` empty if there is nothing.
 */
export async function saveAll(plan: SavePlan): Promise<Saved> {
  const { commit: saved, ref } = await saveWork(plan);
  const more = await saveMore({ ...plan, ref });
  return more.kind === 'too-much'
    ? more
    : { kind: 'saved', saved, more: more.commit, ref: saved === null ? more.ref : ref };
}

/** After `saveWork`, so that what that saved is not saved twice. `commit` is empty if there is nothing. */
async function saveMore({
  repository,
  path: cwd,
  branch,
  ref,
}: SavePlan): Promise<
  | { readonly kind: 'done'; readonly commit: string; readonly ref: string }
  | { readonly kind: 'too-much'; readonly reason: string }
> {
  const own = await ownCommits(repository, cwd);
  const stashes = await stashesOf(repository, branch);
  const staged = await stagedCommit(cwd, branch, ref);
  const tips = [...new Set([...(own ?? []), ...stashes, ...(staged === undefined ? [] : [staged])])];
  if (own === undefined || tips.length > tipsMax)
    return { kind: 'too-much', reason: 'its history of HEAD is too long to be saved' };
  if (tips.length === 0) return { kind: 'done', commit: '', ref };
  const message = `What only the worktree of ${branch} knew, besides its files: see the parents\n`;
  const commit = await gitLine(['commit-tree', await emptyTree(cwd), ...tips.flatMap((tip) => ['-p', tip])], {
    cwd,
    env: await identityOf(cwd, undefined),
    input: message,
  });
  const parents = tips.join(' ');
  for await (const { name, at } of namesFrom(cwd, `${ref}.more`)) {
    const same = at !== undefined && (await gitLine(['log', '-1', '--format=%P', at], { cwd })) === parents;
    if (same) return { kind: 'done', commit: at, ref: name };
    if (at === undefined && (await createRef(cwd, name, commit))) return { kind: 'done', commit, ref: name };
  }
  return { kind: 'done', commit, ref };
}

const emptyTree = (cwd: string): Promise<string> => gitLine(['hash-object', '-w', '-t', 'tree', '--stdin'], { cwd });

/** What was staged and then changed again in the files: it stands in the index only. */
async function stagedCommit(cwd: string, branch: string, ref: string): Promise<string | undefined> {
  const head = await resolveCommit(cwd, 'HEAD');
  const tree = await stagedTree(cwd);
  if (head === undefined || tree === undefined || tree === (await treeOf(cwd, head))) return undefined;
  const saved = await resolveCommit(cwd, ref);
  if (saved !== undefined && tree === (await treeOf(cwd, saved))) return undefined;
  return gitLine(['commit-tree', tree, '-p', head], {
    cwd,
    env: await identityOf(cwd, undefined),
    input: `What was staged in the worktree of ${branch}\n`,
  });
}

/** Answers with the commit, null if there is nothing, and the ref that names it. */
async function saveWork({
  path: cwd,
  branch,
  base,
  ref,
  exclude,
}: SavePlan): Promise<{ readonly commit: string | null; readonly ref: string }> {
  const tree = await treeOfFiles({ worktree: cwd, base, exclude });
  const head = await resolveCommit(cwd, 'HEAD');
  if ((head === undefined || tree !== (await treeOf(cwd, head))) && tree !== (await treeOf(cwd, base))) {
    const message = `What was left in the worktree of ${branch}\n`;
    const options = { worktree: cwd, branch, base, ref, exclude, message };
    const at = (await resolveCommit(cwd, branchRef(branch))) ?? null;
    for await (const one of namesFrom(cwd, ref)) {
      const named = { ...options, ref: one.name };
      const wanted = new Map([
        [one.name, one.at === undefined ? undefined : await candidate(named, tree, head)],
        [`${one.name}.head`, head],
        [`${one.name}.branch`, at ?? undefined],
      ]);
      if (!(await isFree(cwd, wanted))) continue;
      const captured = await captureTree(named, tree);
      if (captured.kind === 'captured') return { commit: captured.commit, ref: one.name };
    }
  }
  // The files hold nothing new; commits may.
  if (head === undefined || (await isReachable(cwd, head))) return { commit: null, ref };
  for await (const { name, at } of namesFrom(cwd, ref))
    if (at === head || (at === undefined && (await createRef(cwd, name, head)))) return { commit: head, ref: name };
  return { commit: head, ref };
}

/** Saves under one name: each is a worktree that was saved again, after a crash or by another home. Beyond it something is wrong. */
const namesMax = 1000;

/** The ref, `<ref>-2`, `<ref>-3`, ... and where each is. */
async function* namesFrom(cwd: string, ref: string): AsyncGenerator<{ name: string; at: string | undefined }> {
  for (let count = 1; count <= namesMax; count += 1) {
    const name = count === 1 ? ref : `${ref}-${count}`;
    yield { name, at: await resolveCommit(cwd, name) };
  }
  throw new Fault('GIT_FAILED', `${ref} has been saved ${namesMax} times already; nothing more is saved under it`, {
    subject: cwd,
    hint: `Delete what you don't need: git for-each-ref '${ref}*', then git update-ref -d REF.`,
  });
}

/** Whether each of these refs is missing or where it is wanted. */
async function isFree(cwd: string, wanted: ReadonlyMap<string, string | undefined>): Promise<boolean> {
  const listed = await gitLine(['for-each-ref', '--format=%(refname) %(objectname)', ...wanted.keys()], { cwd });
  return listed
    .split('\n')
    .filter((row) => row !== '')
    .every((row) => {
      const [name = '', at] = row.split(' ');
      return wanted.get(name) === at;
    });
}

/** False if it exists. */
const createRef = (cwd: string, ref: string, commit: string): Promise<boolean> =>
  swapRef(cwd, { ref, to: commit, expectedOld: null, message: 'muster: saved' });

const isReachable = async (cwd: string, commit: string): Promise<boolean> =>
  (await git(['for-each-ref', '--count=1', '--format=%(refname)', '--contains', commit], { cwd })) !== '';
