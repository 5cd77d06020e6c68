/**
 * Steps on attempts. Whoever reports names the attempt, and the report counts only while that attempt is the newest of its job and not
 * settled: a late report of attempt n is `stale` and can't touch attempt n+1 ([L13]).
 */
import { assert } from '../base/assert.ts';
import { attemptId, jobId } from '../base/ids.ts';
import { type AttemptPhase, type LedgerEvent, type Outcome, outcomeSchema } from '../protocol/job.ts';
import type { EventOf } from './events.ts';
import { endJob, jobNumber, readJob } from './jobs.ts';
import type { AttemptRow } from './schema.ts';
import { attemptTransitions } from './states.ts';
import type { StepWriter } from './steps.ts';
import { attemptOf, type OpenAttempt } from './views.ts';

/** The ids are the attempt's own, whatever it says. */
export type EventOfAttempt = Omit<EventOf, 'jobId' | 'attemptId'>;

export interface Claim {
  /** Who runs the attempt, e.g. the daemon's instance. */
  readonly owner: string;
  readonly sessionId: string;
  /** A function where they are made from the attempt's id, which is known only inside the step. */
  readonly branch: string | ((attempt: { id: string; fence: number }) => string);
  readonly worktree: string | ((attempt: { id: string; fence: number }) => string);
}

export interface Advance {
  readonly attemptId: string;
  readonly from: AttemptPhase;
  /** Must be allowed by `attemptTransitions`; `settled` is reached through `settle` only. */
  readonly to: AttemptPhase;
  readonly facts?: { readonly prompt?: string; readonly commit?: string };
  readonly event: EventOfAttempt;
}

export interface Settle {
  readonly attemptId: string;
  readonly outcome: Outcome;
  /** A further fact that belongs to the end, told before it. */
  readonly event?: EventOfAttempt;
}

/** [L12] queued → running with the next fencing number; undefined if the job is not queued: somebody else won, or it was cancelled. */
export async function claimJob(step: StepWriter, id: string, claim: Claim): Promise<OpenAttempt | undefined> {
  const number = jobNumber(id);
  const taken = await step.db
    .updateTable('job')
    .set((eb) => ({ state: 'running' as const, attempts: eb('attempts', '+', 1) }))
    .where('number', '=', number)
    .where('state', '=', 'queued')
    .returning('attempts')
    .executeTakeFirst();
  if (!taken) return undefined;
  const fence = taken.attempts;
  const made = { id: attemptId(jobId(number), fence), fence };
  const row = await step.db
    .insertInto('attempt')
    .values({
      ...made,
      job: number,
      phase: 'claimed',
      owner: claim.owner,
      session_id: claim.sessionId,
      branch: typeof claim.branch === 'string' ? claim.branch : claim.branch(made),
      worktree: typeof claim.worktree === 'string' ? claim.worktree : claim.worktree(made),
      started_at: step.at,
      ended_at: null,
      prompt: null,
      commit_id: null,
      outcome: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  const { owner, branch, worktree } = row;
  await step.append({ type: 'job.claimed', ...idsOf(row), data: { fence, owner, branch, worktree } });
  return { job: await readJob(step.db, number), attempt: attemptOf(row), cancelledBy: null };
}

export async function advanceAttempt(step: StepWriter, change: Advance): Promise<'advanced' | 'stale'> {
  const { from, to, facts } = change;
  assert(to !== 'settled' && attemptTransitions[from].includes(to), `an attempt may go from ${from} to ${to}`);
  const row = await step.db
    .updateTable('attempt')
    .set({
      phase: to,
      ...(facts?.prompt === undefined ? {} : { prompt: facts.prompt }),
      ...(facts?.commit === undefined ? {} : { commit_id: facts.commit }),
    })
    .where('id', '=', change.attemptId)
    .where('phase', '=', from)
    .where('fence', '=', (eb) => eb.selectFrom('job').select('attempts').whereRef('job.number', '=', 'attempt.job'))
    .returningAll()
    .executeTakeFirst();
  if (!row) return 'stale';
  await step.append({ ...change.event, ...idsOf(row) });
  return 'advanced';
}

/** [L9] The attempt gets its outcome and the job the state that follows from it, together or not at all. */
export async function settleAttempt(step: StepWriter, end: Settle): Promise<'settled' | 'stale'> {
  const outcome = outcomeSchema.parse(end.outcome);
  const row = await step.db
    .updateTable('attempt')
    .set({ phase: 'settled', ended_at: step.at, outcome: JSON.stringify(outcome) })
    .where('id', '=', end.attemptId)
    .where('phase', '<>', 'settled')
    .where('fence', '=', (eb) => eb.selectFrom('job').select('attempts').whereRef('job.number', '=', 'attempt.job'))
    .returningAll()
    .executeTakeFirst();
  if (!row) return 'stale';
  if (end.event) await step.append({ ...end.event, ...idsOf(row) });
  await step.append({ type: 'attempt.settled', ...idsOf(row), data: settledFacts(row.fence, outcome) });
  const ended = await endJob(step, row.job, outcome, { id: row.id, sessionId: row.session_id });
  assert(ended, `job ${jobId(row.job)} runs while its newest attempt is open`);
  return 'settled';
}

/**
 * [L20] Sessions know no jobs: whose session it is, is known here. A pooled one has had the jobs before: it is the attempt's that is open,
 * and between two jobs the last one's. Fencing numbers count within one job and say nothing here.
 */
export async function recordEvent(step: StepWriter, event: EventOf): Promise<LedgerEvent> {
  if (event.jobId !== undefined || event.sessionId === undefined) return step.append(event);
  const row = await step.db
    .selectFrom('attempt')
    .selectAll()
    .where('session_id', '=', event.sessionId)
    .orderBy((eb) => eb('phase', '<>', 'settled'), 'desc')
    .orderBy('started_at', 'desc')
    .orderBy('job', 'desc')
    .executeTakeFirst();
  return step.append(row ? { ...event, ...idsOf(row) } : event);
}

const settledFacts = (fence: number, outcome: Outcome): Record<string, unknown> => ({
  fence,
  kind: outcome.kind,
  ...('reason' in outcome ? { reason: outcome.reason } : {}),
});

const idsOf = (row: AttemptRow) => ({ jobId: jobId(row.job), attemptId: row.id, sessionId: row.session_id });
