/** Saves to refs what a worktree holds and nothing else in its repository does, before its files or its record go. */
import { Fault } from '../base/fault.ts';
import { git, gitLine, resolveCommit, swapRef } from './git.ts';
import { branchRef } from './worktree.ts';
import { ownCommits, stagedTree, stashesOf } from './worktree-look.ts';
import { candidate, captureTree, identityOf, treeOf, treeOfFiles } from './worktree-work.ts';

/** Parents of one commit: git itself takes more, but no job leaves them. */
const tipsMax = 1000;

export interface SavePlan {
  readonly repository: string;
  readonly path: string;
  readonly branch: string;
  readonly base: string;
  /** Where work that stands nowhere else is saved, e.g. `refs/muster/saved/j1.1`. */
  readonly ref: string;
  readonly exclude: readonly string[];
}

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
