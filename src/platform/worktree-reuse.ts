/**
 * A worktree that goes on to the next job: what the last one left is saved, then a new branch begins at the new base in the same folder.
 * What git ignores stays (installed dependencies, build caches): that is why one reuses it.
 *
 * In order: is it sure that nothing is lost and nothing hidden stays (nothing is changed before that) → saved → mark → fresh index →
 * clean → switch → clean → unmark. The mark stands in git's record of the worktree. Called again after a crash it begins anew where the mark
 * stands: what lies there then is saved once more, beside what was saved first, and no ref is moved. Without the mark a worktree on the
 * wanted branch is ready.
 */
import { lstat, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { exists, writeFileAtomically } from './atomic-file.ts';
import { checkoutLimitMs, git, gitLine, gitList, lastLine, resolveCommit, tryGit } from './git.ts';
import { processesIn } from './processes-in.ts';
import { inTurn } from './turns.ts';
import { branchRef, findWorktree, type Prepared, pointsTo, recordOf, type WorktreePlan } from './worktree.ts';
import { nestedRepositories, operationIn } from './worktree-look.ts';
import { saveAll } from './worktree-save.ts';

export interface ReusePlan extends WorktreePlan {
  readonly branch: string;
  /** Where work that stands nowhere else is saved, e.g. `refs/muster/saved/j1.1-...`; with `-2`, `-3`, ... where that name is taken. */
  readonly saveRef: string;
  /** Paths that are ours and never part of the work, unless HEAD tracks them. */
  readonly exclude: readonly string[];
}

export type Reused =
  | Extract<Prepared, { kind: 'prepared' }>
  /** `unusable`: another worktree would do. Else the job itself can't begin: its base is not there, its branch stands elsewhere. */
  | { readonly kind: 'failed'; readonly reason: string; readonly unusable: boolean };

/** In the record of a worktree between two jobs: it is not ready, whatever branch it is on. */
const reusingMark = 'muster-reusing';

/** Faults: DISK_FULL, TIMED_OUT. */
export const reuseWorktree = (plan: ReusePlan): Promise<Reused> => inTurn(plan.repository, () => reuseNow(plan));

async function reuseNow(plan: ReusePlan): Promise<Reused> {
  const { repository, branch, base } = plan;
  if ((await resolveCommit(repository, base)) === undefined) return failed(`commit ${base} is not in the repository`);
  const at = await resolveCommit(repository, branchRef(branch));
  const found = await findWorktree(repository, plan.path);
  const record = await recordOf(repository, plan.path);
  if (!found || record === undefined) return unusable(`${plan.path} is no worktree of this repository`);
  if (!(await pointsTo(plan.path, record))) return unusable(`${plan.path} has lost its link to the repository`);
  const place: Place = { ...plan, record };
  const marked = await exists(join(record, reusingMark));
  if (found.branch === branchRef(branch) && !marked) return { kind: 'prepared', unignored: null };
  if (at !== undefined && at !== base) return failed(`branch ${branch} exists already at ${at.slice(0, 12)}`);
  try {
    const reason = (await whyUnusable(place)) ?? (await goOn(place, found.branch, at !== undefined));
    return reason === undefined ? { kind: 'prepared', unignored: null } : unusable(reason);
  } catch (error) {
    // A worktree in which git fails is no place for a job; another may be.
    if (error instanceof Fault && error.code === 'GIT_FAILED') return unusable(error.message);
    throw error;
  }
}

/** Why the worktree can't go on to that base as it stands now; undefined: it can. Changes nothing but a lock that nobody holds. */
export async function whyNotReusable(
  plan: Pick<ReusePlan, 'repository' | 'path' | 'base' | 'exclude'>,
): Promise<string | undefined> {
  const record = await recordOf(plan.repository, plan.path);
  if (record === undefined) return `${plan.path} is no worktree of this repository`;
  if (!(await pointsTo(plan.path, record))) return `${plan.path} has lost its link to the repository`;
  try {
    return await whyUnusable({ ...plan, record });
  } catch (error) {
    if (error instanceof Fault && error.code === 'GIT_FAILED') return error.message;
    throw error;
  }
}

interface Place extends ReusePlan {
  readonly record: string;
}

type Look = Pick<Place, 'path' | 'base' | 'exclude' | 'record'>;

const failed = (reason: string): Reused => ({ kind: 'failed', reason, unusable: false });
const unusable = (reason: string): Reused => ({ kind: 'failed', reason, unusable: true });

/** Saves and switches. Answers with the reason where it can't be; what was there is saved then, and the mark stays. */
async function goOn(place: Place, from: string | undefined, branchExists: boolean): Promise<string | undefined> {
  const { repository, path: cwd, branch, base, record } = place;
  const head = await resolveCommit(cwd, 'HEAD');
  const last = from?.replace(/^refs\/heads\//, '') ?? branch;
  const exclude = await untrackedOf(cwd, head, place.exclude);
  const kept = await saveAll({ repository, path: cwd, branch: last, base: head ?? base, ref: place.saveRef, exclude });
  if (kept.kind === 'too-much') return kept.reason;
  const mark = join(record, reusingMark);
  await writeFileAtomically(mark, `${branch}\n${base}\n`);
  await freshIndex(cwd, record, head);
  const where = branchExists ? [branch] : ['--no-track', '--create', branch, base];
  const limitMs = checkoutLimitMs;
  // Before as well as after: git would not write a file of the base over an untracked one of the same name.
  await git(['clean', '--quiet', '-d', '--force'], { cwd, limitMs });
  const switched = await tryGit(['switch', '--quiet', '--discard-changes', ...where], { cwd, limitMs });
  if (switched.kind === 'failed') return lastLine(switched.stderr);
  await git(['clean', '--quiet', '-d', '--force'], { cwd, limitMs });
  await rm(mark);
  return undefined;
}

async function untrackedOf(cwd: string, head: string | undefined, paths: readonly string[]): Promise<string[]> {
  if (head === undefined) return [...paths];
  const ends = await Promise.all(paths.map((path) => tryGit(['cat-file', '-e', `${head}:${path}`], { cwd })));
  return paths.filter((_, index) => ends[index]?.kind === 'failed');
}

/**
 * An index of HEAD that hides nothing: marks such as skip-worktree, or times that were set back, would keep the last job's files. What is
 * the same keeps its time on disk, so that a build finds its caches fresh.
 */
async function freshIndex(cwd: string, record: string, head: string | undefined): Promise<void> {
  const index = join(record, 'muster-reuse-index');
  const env = { GIT_INDEX_FILE: index };
  await Promise.all([rm(index, { force: true }), rm(`${index}.lock`, { force: true })]);
  await git(['read-tree', head ?? '--empty'], { cwd, env });
  // 1 where files differ: they are what the switch puts right.
  await tryGit(['update-index', '-q', '--refresh'], { cwd, env, limitMs: checkoutLimitMs });
  await rename(index, join(record, 'index'));
}

/** Where it is not sure that everything can be saved, and that nothing of the last job stays. Changes nothing but a lock that nobody holds. */
async function whyUnusable(place: Look): Promise<string | undefined> {
  const { path: cwd, record } = place;
  const operation = await operationIn(record);
  if (operation !== null) return `a ${operation} is under way in ${cwd}`;
  const own = await ownSetting(record);
  if (own !== undefined) return `${cwd} has a setting of its own: ${own}`;
  const sparse = await tryGit(['config', '--bool', '--get', 'core.sparseCheckout'], { cwd });
  if (sparse.kind === 'ok' && sparse.stdout.trim() === 'true') return `${cwd} is a sparse checkout`;
  const ignored = await ignoredPaths(cwd);
  const nested = await nestedRepositories(cwd, new Set(ignored));
  if (nested.kind === 'too-much') return `${cwd} can not be looked through ${nested.reason}`;
  if (nested.paths.length > 0) return `a nested repository at ${nested.paths[0]}`;
  return (await whyIgnoredAreLost(place, ignored)) ?? (await whyLocked(cwd, record));
}

/** What the worktree's own configuration holds besides our ignore list and what git has copied from the main tree's. */
async function ownSetting(record: string): Promise<string | undefined> {
  const ours = `core.excludesfile\n${join(record, 'muster-exclude')}`;
  const copied = await settingsIn(join(record, '..', '..', 'config.worktree'));
  const set = await settingsIn(join(record, 'config.worktree'));
  return set.find((one) => one !== ours && !copied.includes(one))?.split('\n')[0];
}

const settingsIn = async (file: string): Promise<string[]> =>
  (await exists(file))
    ? gitList(['config', '--file', file, '--no-includes', '--list', '--null'], { cwd: dirname(file) })
    : [];

/** Relative; a folder in which nothing is tracked stands for all in it. */
async function ignoredPaths(cwd: string): Promise<string[]> {
  const args = ['ls-files', '-z', '--others', '--ignored', '--exclude-standard', '--directory'];
  return (await gitList(args, { cwd, limitMs: checkoutLimitMs })).map((path) => path.replace(/\/$/, ''));
}

/**
 * Ignored files are not saved. So nothing that is ignored may be another's business at the new base: tracked there, or not ignored there
 * and thus cleaned away. The second is sure only where the lists of what to ignore are the same.
 */
async function whyIgnoredAreLost(place: Look, ignored: readonly string[]): Promise<string | undefined> {
  const { path: cwd, base } = place;
  const theirs = ignored.filter((path) => !place.exclude.includes(path));
  if (theirs.length === 0) return undefined;
  const tree = await treeFiles(cwd, base);
  const held = new Set(theirs);
  const above = new Set(theirs.flatMap(foldersOf));
  const tracked = [...tree.keys()].find(
    (path) => held.has(path) || above.has(path) || foldersOf(path).some((folder) => held.has(folder)),
  );
  if (tracked !== undefined) return `${tracked} is ignored here, and tracked at ${base.slice(0, 12)}`;
  const differing = await differingList(cwd, tree);
  return differing === undefined
    ? undefined
    : `${differing} differs from ${base.slice(0, 12)}, and files that it ignores are not saved`;
}

const foldersOf = (path: string): string[] => {
  const parts = path.split('/');
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
};

/** Paths of the commit with their modes and ids. */
async function treeFiles(cwd: string, commit: string): Promise<Map<string, string>> {
  const rows = await gitList(['ls-tree', '-r', '-z', '--full-tree', commit], { cwd });
  return new Map(rows.map((row) => [row.slice(row.indexOf('\t') + 1), row.slice(0, row.indexOf('\t'))]));
}

/** The first `.gitignore` that is not on disk what it is in the tree. Those in ignored folders are not read by git. */
async function differingList(cwd: string, tree: ReadonlyMap<string, string>): Promise<string | undefined> {
  const isList = (path: string): boolean => path === '.gitignore' || path.endsWith('/.gitignore');
  const here = await gitList(['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd });
  const lists = new Set([...here, ...tree.keys()].filter(isList));
  for (const path of lists) {
    const id = /^100\d{3} blob ([0-9a-f]+)$/.exec(tree.get(path) ?? '')?.[1];
    if (id !== (await idOnDisk(cwd, path))) return path;
  }
  return undefined;
}

async function idOnDisk(cwd: string, path: string): Promise<string | undefined> {
  const found = await lstat(join(cwd, path)).catch(() => undefined);
  if (found === undefined) return undefined;
  return found.isFile() ? gitLine(['hash-object', '--', path], { cwd }) : 'no file';
}

/** A lock that a killed git left is taken away only where nobody could hold it. */
async function whyLocked(cwd: string, record: string): Promise<string | undefined> {
  const lock = join(record, 'index.lock');
  if (!(await exists(lock))) return undefined;
  if ((await processesIn(cwd)).length > 0) return `${lock} is there, and somebody works in ${cwd}`;
  await rm(lock, { force: true });
  return undefined;
}
