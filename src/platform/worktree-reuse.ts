/**
 * A worktree that goes on to the next job: what the last one left is saved, then a new branch begins at the new base in the same folder.
 * What git ignores stays (installed dependencies, build caches): that is why one reuses it. Called again after a crash it finishes.
 */
import { git, lastLine, resolveCommit, tryGit } from './git.ts';
import { branchRef, findWorktree, type Prepared, type WorktreePlan } from './worktree.ts';
import { saveWork } from './worktree-work.ts';

export interface ReusePlan extends WorktreePlan {
  /** Where work that stands nowhere else is saved, e.g. `refs/muster/saved/j1.1-...`. */
  readonly saveRef: string;
  /** Paths that are ours and never part of the work. */
  readonly exclude: readonly string[];
}

export async function reuseWorktree(plan: ReusePlan): Promise<Prepared> {
  const { repository, path, branch, base } = plan;
  const found = await findWorktree(repository, path);
  if (!found) return failed(`${path} is no worktree of this repository`);
  if ((await resolveCommit(repository, base)) === undefined) return failed(`commit ${base} is not in the repository`);
  if (found.branch === branchRef(branch)) return { kind: 'prepared', unignored: null };
  const [current] = (found.branch ?? '').split('refs/heads/').slice(-1);
  await saveWork({
    repository,
    path,
    branch: current ?? branch,
    base: found.head ?? base,
    ref: plan.saveRef,
    exclude: plan.exclude,
  });
  const at = await resolveCommit(repository, branchRef(branch));
  if (at !== undefined && at !== base) return failed(`branch ${branch} exists already at ${at.slice(0, 12)}`);
  const where = at === undefined ? ['--no-track', '--create', branch, base] : [branch];
  const switched = await tryGit(['switch', '--quiet', '--discard-changes', ...where], { cwd: path });
  if (switched.kind === 'failed') return failed(lastLine(switched.stderr));
  await git(['clean', '--quiet', '-d', '--force'], { cwd: path });
  return { kind: 'prepared', unignored: null };
}

const failed = (reason: string): Prepared => ({ kind: 'failed', reason });
