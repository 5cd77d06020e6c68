/** What the faces see of the worktrees in which attempts worked. */
import { z } from 'zod';

export const worktreeUseSchema = z.object({
  /** attempt: it has no outcome yet · session: one lives there · process: somebody's current folder. */
  kind: z.enum(['attempt', 'session', 'process']),
  text: z.string(),
});
export type WorktreeUse = z.infer<typeof worktreeUseSchema>;

/** What would become of it if it were removed now. */
export const worktreeVerdictSchema = z.discriminatedUnion('kind', [
  /** Nothing in it stands nowhere else. */
  z.object({ kind: z.literal('clean') }),
  /** `what` would be saved to a ref first. */
  z.object({ kind: z.literal('saves'), what: z.string() }),
  z.object({ kind: z.literal('keeps'), reason: z.string() }),
]);
export type WorktreeVerdict = z.infer<typeof worktreeVerdictSchema>;

export const worktreeViewSchema = z.object({
  /** Of the newest attempt that worked there, or the folder's name where a pool made it; null where neither is known. */
  id: z.string().nullable(),
  jobId: z.string().nullable(),
  /** The attempt's outcome, or `running`; null where the ledger knows none. */
  outcome: z.enum(['running', 'done', 'failed', 'unknown', 'cancelled']).nullable(),
  project: z.string().nullable(),
  projectPath: z.string().nullable(),
  path: z.string(),
  /** What HEAD points to; null while it is detached. */
  branch: z.string().nullable(),
  head: z.string().nullable(),
  changed: z.int(),
  untracked: z.int(),
  /** Commits since the base that no remote-tracking branch has. They are on the branch, which stays. */
  unpushed: z.int(),
  stashes: z.int(),
  operation: z.string().nullable(),
  nested: z.array(z.string()),
  locked: z.string().nullable(),
  uses: z.array(worktreeUseSchema),
  /** On disk; null if it could not be told in time. */
  bytes: z.number().nullable(),
  createdAt: z.number().nullable(),
  /** Since when nobody works on it. */
  endedAt: z.number().nullable(),
  /** When the janitor may take it; null: not by age. */
  keptUntil: z.number().nullable(),
  verdict: worktreeVerdictSchema,
});
export type WorktreeView = z.infer<typeof worktreeViewSchema>;

export const worktreeListSchema = z.object({
  worktrees: z.array(worktreeViewSchema),
  roots: z.array(z.string()),
  bytes: z.number(),
  limits: z.object({ keepDays: z.number(), maxGigabytes: z.number() }),
});
export type WorktreeList = z.infer<typeof worktreeListSchema>;

export const worktreeRemovalSchema = z.object({
  id: z.string(),
  path: z.string(),
  bytes: z.number().nullable(),
  /** Why it was its turn. */
  why: z.string(),
  result: z.discriminatedUnion('kind', [
    /** `saved`: the ref under which what stood nowhere else is kept now. */
    z.object({ kind: z.literal('removed'), saved: z.string().nullable() }),
    z.object({ kind: z.literal('kept'), reason: z.string() }),
    /** Of a dry run. */
    z.object({ kind: z.literal('would-remove'), saves: z.string().nullable() }),
  ]),
});
export type WorktreeRemoval = z.infer<typeof worktreeRemovalSchema>;
