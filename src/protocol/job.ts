/** What the faces see of jobs, attempts and events. The tables of legal transitions are in `ledger/states.ts`. */
import { z } from 'zod';

export const jobStates = ['queued', 'running', 'done', 'failed', 'unknown', 'cancelled'] as const;
export const jobStateSchema = z.enum(jobStates);
export type JobState = z.infer<typeof jobStateSchema>;

/**
 * How far an attempt has come; each word says what is true now.
 * claimed     one dispatcher owns it, the session's id is fixed     prepared    worktree, branch and persona are there
 * started     the session's process runs                            delivering  the prompt may have been typed
 * delivered   the agent has shown that it received the prompt       ended       the agent ended its turn
 * captured    the work is a commit under refs/muster                verified    the verify command passed on that commit (or there is none)
 * landed      the branch points to the commit                       settled     has an outcome
 */
export const attemptPhases = [
  'claimed',
  'prepared',
  'started',
  'delivering',
  'delivered',
  'ended',
  'captured',
  'verified',
  'landed',
  'settled',
] as const;
export const attemptPhaseSchema = z.enum(attemptPhases);
export type AttemptPhase = z.infer<typeof attemptPhaseSchema>;

/** Why an attempt or a job did not end as done. docs/outcomes.md says what each means and what to do. */
export const outcomeReasons = [
  'AGENT_MISSING',
  'AGENT_DID_NOT_START',
  'AGENT_NEEDS_SETUP',
  'AGENT_CRASHED',
  'AGENT_EXITED',
  'TURN_FAILED',
  'TURN_INTERRUPTED',
  'TURN_TIMED_OUT',
  'AUTHENTICATION_LOST',
  'USAGE_LIMIT',
  'PROMPT_REFUSED',
  'PROMPT_UNCONFIRMED',
  'NO_CHANGES',
  'VERIFY_FAILED',
  'VERIFY_TIMED_OUT',
  'VERIFY_COULD_NOT_RUN',
  'WORKSPACE_FAILED',
  'BRANCH_MOVED',
  'DISK_FULL',
  'HOST_LOST',
  'SESSION_LOST',
  'CANCELLED',
  'INTERNAL',
] as const;
export const outcomeReasonSchema = z.enum(outcomeReasons);
export type OutcomeReason = z.infer<typeof outcomeReasonSchema>;

export const verificationSchema = z.object({
  command: z.string(),
  commit: z.string(),
  exitCode: z.int().nullable(),
  durationMs: z.number(),
  /** The end of what it printed, clipped. */
  tail: z.string(),
});
export type Verification = z.infer<typeof verificationSchema>;

export const outcomeSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('done'),
    branch: z.string(),
    /** Null only where a job without changes was allowed. */
    commit: z.string().nullable(),
    files: z.array(z.string()),
    verification: verificationSchema.nullable(),
    message: z.string(),
  }),
  z.object({
    kind: z.literal('failed'),
    reason: outcomeReasonSchema,
    detail: z.string(),
    commit: z.string().nullable(),
    verification: verificationSchema.nullable(),
  }),
  z.object({
    kind: z.literal('unknown'),
    reason: outcomeReasonSchema,
    tried: z.string(),
    commit: z.string().nullable(),
  }),
  z.object({ kind: z.literal('cancelled'), detail: z.string(), commit: z.string().nullable() }),
]);
export type Outcome = z.infer<typeof outcomeSchema>;

export const jobViewSchema = z.object({
  id: z.string(),
  state: jobStateSchema,
  text: z.string(),
  project: z.string(),
  projectPath: z.string(),
  persona: z.string(),
  agent: z.string(),
  verify: z.string().nullable(),
  allowEmpty: z.boolean(),
  baseCommit: z.string(),
  baseRef: z.string(),
  submittedAt: z.number(),
  submittedBy: z.string(),
  endedAt: z.number().nullable(),
  cancelRequested: z.boolean(),
  /** Why a queued job does not start, and what would have to change; null if nothing but its turn is missing. */
  waiting: z.string().nullable(),
  attempts: z.int(),
  /** Of the newest attempt. */
  phase: attemptPhaseSchema.nullable(),
  sessionId: z.string().nullable(),
  branch: z.string().nullable(),
  outcome: outcomeSchema.nullable(),
});
export type JobView = z.infer<typeof jobViewSchema>;

export const attemptViewSchema = z.object({
  id: z.string(),
  fence: z.int(),
  phase: attemptPhaseSchema,
  sessionId: z.string(),
  branch: z.string(),
  worktree: z.string(),
  startedAt: z.number(),
  endedAt: z.number().nullable(),
  /** Of the persona that its agent reads; null before the workspace was prepared. */
  personaVersion: z.string().nullable(),
  prompt: z.string().nullable(),
  /** The captured work. */
  commit: z.string().nullable(),
  outcome: outcomeSchema.nullable(),
});
export type AttemptView = z.infer<typeof attemptViewSchema>;

/** A fact in the past tense. `seq` grows without gaps and is what a feed resumes from. */
export const eventSchema = z.object({
  seq: z.int(),
  at: z.number(),
  type: z.string(),
  jobId: z.string().nullable(),
  attemptId: z.string().nullable(),
  sessionId: z.string().nullable(),
  data: z.record(z.string(), z.unknown()),
});
export type LedgerEvent = z.infer<typeof eventSchema>;

/** Names of events; docs/events.md says what each one's data holds. */
export const eventTypes = [
  'daemon.started',
  'daemon.stopped',
  'host.connected',
  'host.lost',
  'project.registered',
  'job.submitted',
  'job.waiting',
  'job.claimed',
  'job.cancel-requested',
  'job.retried',
  'job.done',
  'job.failed',
  'job.unknown',
  'job.cancelled',
  'workspace.prepared',
  'persona.written',
  'session.started',
  'session.changed',
  'session.ended',
  'session.resumed',
  'session.adopted',
  'session.released',
  'session.retired',
  'pool.started',
  'pool.ready',
  'pool.retired',
  'pool.failed',
  'prompt.typing',
  'prompt.accepted',
  'prompt.refused',
  'prompt.unconfirmed',
  'permission.answered',
  'turn.ended',
  'work.captured',
  'verification.started',
  'verification.passed',
  'verification.failed',
  'branch.landed',
  'attempt.resumed',
  'attempt.delayed',
  'attempt.settled',
  'worktree.removed',
] as const;
export type EventType = (typeof eventTypes)[number];

export const totalsSchema = z.object({
  total: z.int(),
  queued: z.int(),
  running: z.int(),
  done: z.int(),
  failed: z.int(),
  unknown: z.int(),
  cancelled: z.int(),
});
export type Totals = z.infer<typeof totalsSchema>;
