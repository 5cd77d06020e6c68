/**
 * Removes a worktree so that no work is lost: saved first, then set aside under a mark, told, and only then deleted. Each step can be the
 * last one before a crash, and is gone on with.
 */
import { lstat, mkdir, readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { exists, writeFileAtomically } from './atomic-file.ts';
import { type ListedWorktree } from './git.ts';
import { type ProcessIn, processesIn } from './processes-in.ts';
import { removeTree } from './remove-tree.ts';
import { inTurn } from './turns.ts';
import { asideOf, findWorktree, pointsTo, recordOf, wasNeverFinished } from './worktree.ts';
import { nestedRepositories } from './worktree-look.ts';
import { type SavePlan, saveAll } from './worktree-save.ts';

export interface Removal extends SavePlan {
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
