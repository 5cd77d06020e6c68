/**
 * Installed dependencies for a new worktree, copied from the person's tree, so that an agent need not install them again.
 *
 * Always a copy: where the file system can, one that shares the blocks until one side writes (btrfs, XFS, APFS), else a real one. Never a
 * link to the person's folder, symbolic or hard: tools write into installed dependencies in place (caches, patches, native builds), and
 * the person's tree would change under them. Only where it is sure that the copy is what the worktree would install: the folder is
 * ignored by git and holds nothing tracked, the lock file beside it is the same in both, and the installer's own mark in it is not
 * older than the lock file. Otherwise it is left, with the reason.
 */
import { constants } from 'node:fs';
import { cp, lstat, mkdir, readdir, readFile, readlink, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { isErrno } from '../base/fault.ts';
import { randomToken } from '../base/ids.ts';
import { exists } from './atomic-file.ts';
import { gitList, tryGit } from './git.ts';
import { removeTree } from './remove-tree.ts';

/** Lock file, and what the installer writes into the folder when it is done. */
interface Installer {
  readonly lock: string;
  readonly mark: string;
}

/** Folders that are the same wherever they lie. A Python environment, for one, is not: its scripts name its own place. */
const installers: Readonly<Record<string, readonly Installer[]>> = {
  node_modules: [
    { lock: 'package-lock.json', mark: '.package-lock.json' },
    { lock: 'npm-shrinkwrap.json', mark: '.package-lock.json' },
    { lock: 'pnpm-lock.yaml', mark: '.modules.yaml' },
    { lock: 'yarn.lock', mark: '.yarn-integrity' },
    { lock: 'yarn.lock', mark: '.yarn-state.yml' },
  ],
  vendor: [{ lock: 'composer.lock', mark: 'composer/installed.json' }],
};

/** Names that a path to be shared may end with. */
export const shareableNames: readonly string[] = Object.keys(installers);

/** Larger ones are installed faster than they are copied and looked through. */
const entriesMax = 400_000;
const bytesMax = 8 * 1024 ** 3;

export type Shared =
  | { readonly path: string; readonly kind: 'copied' }
  | { readonly path: string; readonly kind: 'left'; readonly reason: string };

export interface SharePlan {
  /** The person's tree. */
  readonly from: string;
  readonly worktree: string;
  /** Relative to the root, ending with one of `shareableNames`. */
  readonly paths: readonly string[];
}

/** One after the other. Faults: DISK_FULL, GIT_FAILED; whatever else keeps a folder from being copied is its reason. */
export async function shareFolders({ from, worktree, paths }: SharePlan): Promise<readonly Shared[]> {
  const done: Shared[] = [];
  for (const path of paths) {
    const reason = await whyLeft(from, worktree, path);
    if (reason === undefined) await copyWhole(join(from, path), join(worktree, path));
    done.push(reason === undefined ? { path, kind: 'copied' } : { path, kind: 'left', reason });
  }
  return done;
}

async function whyLeft(from: string, worktree: string, path: string): Promise<string | undefined> {
  if (!isShareable(path))
    return `only folders called ${shareableNames.join(' or ')} inside the repository can be shared`;
  const source = join(from, path);
  if (await exists(join(worktree, path))) return 'it is there already';
  const found = await lstat(source).catch(nothingIfAbsent);
  if (found?.isDirectory() !== true) return 'your tree has no such folder';
  for (const tree of [from, worktree]) {
    if ((await gitList(['ls-files', '-z', '--', `:(top,literal)${path}`], { cwd: tree })).length > 0)
      return 'it holds files that git tracks';
    if ((await tryGit(['check-ignore', '-q', '--no-index', `${path}/`], { cwd: tree })).kind === 'failed')
      return 'git does not ignore it';
  }
  return (await whyNotTheSame(from, worktree, path)) ?? whyNotCopied(from, source);
}

/** For the configuration too: what is refused there needs no reason here. */
export function isShareable(path: string): boolean {
  const parts = path.split('/');
  return (
    !isAbsolute(path) &&
    parts.every((part) => part !== '' && part !== '.' && part !== '..' && part.toLowerCase() !== '.git') &&
    shareableNames.includes(basename(path))
  );
}

async function whyNotTheSame(from: string, worktree: string, path: string): Promise<string | undefined> {
  const beside = dirname(path);
  const known = installers[basename(path)] ?? [];
  const locks = [...new Set(known.map(({ lock }) => lock))];
  const pairs = await Promise.all(
    locks.map(
      async (lock) =>
        [lock, await textOf(join(from, beside, lock)), await textOf(join(worktree, beside, lock))] as const,
    ),
  );
  const there = pairs.filter(([, mine, theirs]) => mine !== undefined || theirs !== undefined);
  if (there.length === 0) return `no lock file stands beside it (${locks.join(', ')})`;
  const differing = there.find(([, mine, theirs]) => mine !== theirs);
  if (differing) return `${differing[0]} differs between your tree and what the job starts from`;
  for (const { lock, mark } of known.filter((one) => there.some(([name]) => name === one.lock))) {
    const [locked, marked] = await Promise.all([timeOf(join(from, beside, lock)), timeOf(join(from, path, mark))]);
    if (locked !== undefined && marked !== undefined && marked >= locked) return undefined;
  }
  return 'it was not installed since the lock file changed';
}

/** Links that lead out of the tree would lead elsewhere from another place, or let the agent write to what is yours. */
async function whyNotCopied(from: string, source: string): Promise<string | undefined> {
  const waiting = [source];
  let entries = 0;
  let bytes = 0;
  while (waiting.length > 0) {
    const folder = waiting.pop() ?? source;
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      entries += 1;
      if (entry.isDirectory()) waiting.push(path);
      else if (entry.isSymbolicLink()) {
        const target = await readlink(path);
        if (isAbsolute(target) || !resolve(folder, target).startsWith(from + sep))
          return `${path.slice(source.length + 1)} is a link that leads out of it`;
      } else if (entry.isFile()) bytes += (await stat(path)).size;
      else return `${path.slice(source.length + 1)} is no plain file`;
    }
    if (entries > entriesMax || bytes > bytesMax)
      return `it is larger than ${entriesMax} entries or ${bytesMax / 1024 ** 3} GB`;
  }
  return undefined;
}

/** Under another name first: half a copy is never taken for a whole one. What an earlier life left is removed. */
async function copyWhole(source: string, target: string): Promise<void> {
  const folder = dirname(target);
  await mkdir(folder, { recursive: true });
  const old = (await readdir(folder)).filter((name) => /^\.muster-share-[a-z0-9]+\.partial$/.test(name));
  for (const name of old) await removeTree(join(folder, name));
  const beside = join(folder, `.muster-share-${randomToken(8)}.partial`);
  try {
    await cp(source, beside, {
      recursive: true,
      mode: constants.COPYFILE_FICLONE,
      verbatimSymlinks: true,
      preserveTimestamps: true,
      errorOnExist: true,
      force: false,
    });
    await rename(beside, target);
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    throw error;
  }
}

const textOf = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(nothingIfAbsent);
const timeOf = async (path: string): Promise<number | undefined> => (await stat(path).catch(nothingIfAbsent))?.mtimeMs;

function nothingIfAbsent(error: unknown): undefined {
  if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return undefined;
  throw error;
}
