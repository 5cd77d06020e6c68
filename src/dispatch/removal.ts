/** A worktree is removed and told of: one way for whoever asks. */
import { basename } from 'node:path';
import type { EventOf, Ledger } from '../ledger/index.ts';
import { resolveCommit } from '../platform/git.ts';
import { findWorktree } from '../platform/worktree.ts';
import { sizeOf } from '../platform/worktree-look.ts';
import { type Removal, type Removed, removeWorktree } from '../platform/worktree-removal.ts';

export interface RemovalOrder {
  readonly removal: Removal;
  /** Whose it was. */
  readonly of: Pick<EventOf, 'jobId' | 'attemptId' | 'sessionId'>;
  readonly by: 'job' | 'person' | 'janitor' | 'pool';
  readonly why: string;
  /** Where it was measured already. */
  readonly bytes?: number | null;
}

/** [D20] The event stands in the ledger before the last of what names the saved work is gone. Faults: GIT_FAILED, DISK_FULL. */
export async function removeAndTell(ledger: Pick<Ledger, 'record'>, order: RemovalOrder): Promise<Removed> {
  const { removal, of, by, why } = order;
  const bytes = order.bytes === undefined ? await sizeOf(removal.path) : order.bytes;
  const tell = (removed: Removed) =>
    ledger.record({ type: 'worktree.removed', ...of, data: { ...removed, worktree: removal.path, by, why, bytes } });
  const removed = await removeWorktree(removal, tell);
  // A person is answered, and the janitor comes again; of these nobody would know.
  if (removed.kind === 'kept' && (by === 'job' || by === 'pool')) await tell(removed);
  return removed;
}

/** Of a worktree that a pool made; asks nothing of the folder itself, whose link to its repository may lead elsewhere. */
export async function poolRemoval(repository: string, path: string): Promise<Removal> {
  const found = await findWorktree(repository, path);
  return {
    repository,
    path,
    branch: found?.branch?.replace(/^refs\/heads\//, '') ?? basename(path),
    base: found?.head ?? (await resolveCommit(repository, 'HEAD')) ?? '',
    ref: `refs/muster/saved/${basename(path)}`,
    exclude: [],
  };
}
