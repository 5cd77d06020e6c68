import type { Dispatch } from '../dispatch/index.ts';
import type { Handlers } from './http.ts';

type WorktreeHandlers = Pick<Handlers, 'listWorktrees' | 'showWorktree' | 'removeWorktree' | 'pruneWorktrees'>;

export const worktreeHandlers = (worktrees: Dispatch['worktrees']): WorktreeHandlers => ({
  listWorktrees: () => worktrees.list(),
  showWorktree: async ({ id }) => ({ worktree: await worktrees.show(id) }),
  removeWorktree: async ({ id, body }) => ({
    removal: await worktrees.remove(id, { dryRun: body.dryRun ?? false, discardNested: body.discardNested ?? false }),
  }),
  pruneWorktrees: async ({ body }) => ({ removals: [...(await worktrees.prune({ dryRun: body.dryRun ?? false }))] }),
});
