/**
 * Carries one attempt from its present phase to its outcome.
 *
 * Each step does one outside effect and is written so that doing it again after a crash does it no second time: what was done is
 * recognised by ids that were in the ledger before. Between two steps stands one ledger transaction; a report from an attempt that is no
 * longer the newest changes nothing (`stale`). What a step came to is kept until it is written: only the writing is tried again.
 *
 * Order of the parts: the loop (`runAttempt`), what a stop means, the settlement, what a fault means.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Fault, messageOf, toFault } from '../base/fault.ts';
import type { FaultCode } from '../base/faults.ts';
import type { SessionId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Ledger } from '../ledger/index.ts';
import type { AttemptPhase, AttemptView, EventType, JobView, Outcome, OutcomeReason } from '../protocol/job.ts';
import type { Pool, Sessions } from '../sessions/index.ts';
import type { Workspace } from './workspace.ts';

export interface AttemptRun {
  readonly ledger: Ledger;
  readonly sessions: Sessions;
  readonly log: Log;
  readonly job: JobView;
  readonly attempt: AttemptView;
  readonly workspace: Workspace;
  readonly pool: Pool;
  /** Aborted when the job is cancelled; its reason is a text that says by whom. */
  readonly cancel: AbortSignal;
  /** Aborted when the control plane goes away and leaves everything to the next life, whatever was asked before. */
  readonly detach: AbortSignal;
  /** Aborted with either: what a step waits with. */
  readonly signal: AbortSignal;
}

export type StepResult =
  | {
      readonly kind: 'advance';
      readonly to: AttemptPhase;
      readonly facts?: { readonly prompt?: string; readonly commit?: string };
      readonly event: { readonly type: EventType; readonly data: Record<string, unknown> };
    }
  | { readonly kind: 'settle'; readonly outcome: Outcome };

export type OpenPhase = Exclude<AttemptPhase, 'settled'>;
export type Steps = Readonly<Record<OpenPhase, (run: AttemptRun) => Promise<StepResult>>>;

/** Runs until the attempt is settled, is no longer ours, or is left to the next life. Never throws. */
export async function runAttempt(start: AttemptRun, steps: Steps): Promise<'settled' | 'stale' | 'detached'> {
  let run = start;
  try {
    for (;;) {
      const { phase } = run.attempt;
      if (phase === 'settled') return 'settled';
      const result = await nextResult(run, phase, steps);
      const said = result.kind === 'settle' ? await settle(run, result.outcome) : await advance(run, phase, result);
      if (said === 'stale') return 'stale';
      run = { ...run, attempt: await insist(run, 'reading how far it is', () => reload(run)) };
    }
  } catch (error) {
    if (!run.detach.aborted)
      run.log.error({ attempt: run.attempt.id, error }, 'a defect: the attempt is left as it is');
    return 'detached';
  }
}

/**
 * A step that came to its result counts, whatever was asked meanwhile; between two steps a stop is obeyed. Of the last two the branch
 * decides whether it is too late to cancel, and `verified` looks where it is ([D13]).
 */
async function nextResult(run: AttemptRun, phase: OpenPhase, steps: Steps): Promise<StepResult> {
  run.detach.throwIfAborted();
  // The branch points to the work: whatever goes wrong now, the job did not fail.
  if (phase === 'landed') return insist(run, 'reading what it did', () => steps.landed(run));
  if (run.cancel.aborted && phase !== 'verified') return cancelled(run);
  try {
    return await steps[phase](run);
  } catch (error) {
    run.detach.throwIfAborted();
    return run.cancel.aborted ? cancelled(run) : { kind: 'settle', outcome: endedByFault(error, phase) };
  }
}

export const cancelled = ({ cancel }: AttemptRun): StepResult => ({
  kind: 'settle',
  outcome: { kind: 'cancelled', detail: `cancelled by ${String(cancel.reason)}`, commit: null },
});

const advance = (
  run: AttemptRun,
  from: OpenPhase,
  result: Extract<StepResult, { kind: 'advance' }>,
): Promise<'advanced' | 'stale'> =>
  insist(run, 'writing how far it is', () =>
    run.ledger.advance({
      attemptId: run.attempt.id,
      from,
      to: result.to,
      ...(result.facts ? { facts: result.facts } : {}),
      event: { ...result.event, sessionId: run.attempt.sessionId },
    }),
  );

/** Before something is tried again: a full disk, a host that stands. Each wait is twice the last, up to the second. */
const retryMs = 1000;
const retryMsMax = 5 * 60_000;

/** What the attempt can't go on without is tried until it is done, or until the control plane goes away; told once. */
async function insist<T>(run: AttemptRun, what: string, act: () => Promise<T>): Promise<T> {
  let told = false;
  for (let waitMs = retryMs; ; waitMs = Math.min(2 * waitMs, retryMsMax)) {
    try {
      return await act();
    } catch (error) {
      run.log.error({ attempt: run.attempt.id, what, cause: messageOf(error), waitMs }, 'to be tried again');
      told ||= await tellDelay(run, what, messageOf(error));
      await delay(waitMs, undefined, { signal: run.detach });
    }
  }
}

type Told = Extract<StepResult, { kind: 'advance' }>['event'];

const record = ({ ledger, job, attempt }: AttemptRun, event: Told): Promise<unknown> =>
  ledger.record({ ...event, jobId: job.id, attemptId: attempt.id, sessionId: attempt.sessionId });

/** An event in the middle of a step. What was done does not fail of a ledger that can't be written at the moment. */
export const tell = (run: AttemptRun, event: Told): Promise<unknown> =>
  insist(run, 'writing what it did', () => record(run, event));

/** False where the ledger is what can't be written: then the log has it, and it is told as soon as it can be. */
const tellDelay = (run: AttemptRun, what: string, reason: string): Promise<boolean> =>
  record(run, { type: 'attempt.delayed', data: { what, reason } }).then(
    () => true,
    () => false,
  );

/**
 * Ends the session first, so that nothing is written any more; then saves what it left; then settles; then cleans up. A crash before
 * the settlement does it all again, a crash after it is mended at the next start (dispatcher.ts, `resume`).
 */
async function settle(run: AttemptRun, outcome: Outcome): Promise<'settled' | 'stale'> {
  const id = run.attempt.sessionId as SessionId;
  // [D12] Where the end can't be proved there is no outcome yet.
  const kept = await insist(run, 'ending its session', async () => {
    if (outcome.kind === 'done' && (await run.pool.keeps(id))) return true;
    run.pool.forget(id);
    await run.sessions.end(id, { graceMs: endGraceMs });
    return false;
  });
  const saved = outcome.kind === 'done' ? outcome : { ...outcome, commit: outcome.commit ?? (await savedCommit(run)) };
  const said = await insist(run, 'writing its outcome', () =>
    run.ledger.settle({ attemptId: run.attempt.id, outcome: saved }),
  );
  if (kept)
    void run.pool
      .refresh(id)
      .catch((error: unknown) =>
        run.log.warn({ session: id, cause: messageOf(error) }, 'a pooled session could not be made ready'),
      );
  else if (said === 'settled' && saved.kind === 'done') await run.workspace.removeWorktree(run);
  return said;
}

async function savedCommit(run: AttemptRun): Promise<string | null> {
  try {
    return await run.workspace.save(run);
  } catch (error) {
    run.log.warn(
      { attempt: run.attempt.id, cause: messageOf(error) },
      'what the attempt left could not be saved to a ref; its worktree is kept',
    );
    return null;
  }
}

/** How long an agent may take to leave by itself when its attempt is over. */
const endGraceMs = 1500;

export async function endSession(
  run: Pick<AttemptRun, 'sessions' | 'log'> & { readonly attempt: Pick<AttemptView, 'sessionId'> },
): Promise<void> {
  try {
    await run.sessions.end(run.attempt.sessionId as SessionId, { graceMs: endGraceMs });
  } catch (error) {
    run.log.warn({ session: run.attempt.sessionId, cause: messageOf(error) }, 'the session could not be ended');
  }
}

async function reload(run: AttemptRun): Promise<AttemptView> {
  const attempts = await run.ledger.attempts(run.job.id);
  const found = attempts.find((one) => one.id === run.attempt.id);
  if (!found) throw new Fault('INTERNAL', `attempt ${run.attempt.id} is no longer in the ledger`);
  return found;
}

const reasons: Partial<Record<FaultCode, OutcomeReason>> = {
  DISK_FULL: 'DISK_FULL',
  GIT_FAILED: 'WORKSPACE_FAILED',
  HOST_DOWN: 'HOST_LOST',
  HOST_REFUSED: 'HOST_LOST',
  HOST_VERSION: 'HOST_LOST',
  AGENT_MISSING: 'AGENT_MISSING',
  PERSONA_UNKNOWN: 'WORKSPACE_FAILED',
  PERSONA_INVALID: 'WORKSPACE_FAILED',
  PERSONA_UNTRUSTED: 'WORKSPACE_FAILED',
};

/** Who did not answer in time follows from the phase: git or the PTY host. */
const timedOutReasons: Readonly<Record<Exclude<OpenPhase, 'landed'>, OutcomeReason>> = {
  claimed: 'WORKSPACE_FAILED',
  prepared: 'AGENT_DID_NOT_START',
  started: 'AGENT_DID_NOT_START',
  delivering: 'HOST_LOST',
  delivered: 'HOST_LOST',
  ended: 'WORKSPACE_FAILED',
  captured: 'VERIFY_COULD_NOT_RUN',
  verified: 'WORKSPACE_FAILED',
};

/** What a thrown fault means for the attempt; everything else that can go wrong is a value of its step. */
function endedByFault(error: unknown, phase: Exclude<OpenPhase, 'landed'>): Outcome {
  const fault = toFault(error);
  // Its record is gone or unreadable: what became of the turn can't be told any more.
  if (fault.code === 'NOT_FOUND')
    return { kind: 'unknown', reason: 'SESSION_LOST', tried: fault.message, commit: null };
  const reason = fault.code === 'TIMED_OUT' ? timedOutReasons[phase] : reasons[fault.code];
  return { kind: 'failed', reason: reason ?? 'INTERNAL', detail: fault.message, commit: null, verification: null };
}
