/**
 * Carries one attempt from its present phase to its outcome.
 *
 * Each step does one outside effect and is written so that doing it again after a crash does it no second time: what was done is
 * recognised by ids that were in the ledger before. Between two steps stands one ledger transaction; a report from an attempt that is no
 * longer the newest changes nothing (`stale`).
 *
 * Order of the parts: the loop (`runAttempt`), what an abort means, the settlement.
 */
import { Fault, messageOf, toFault } from '../base/fault.ts';
import type { FaultCode } from '../base/faults.ts';
import type { SessionId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { delay } from '../base/wait.ts';
import type { Ledger } from '../ledger/index.ts';
import type { AttemptPhase, AttemptView, EventType, JobView, Outcome, OutcomeReason } from '../protocol/job.ts';
import type { Pool, Sessions } from '../sessions/index.ts';
import type { Workspace } from './workspace.ts';

/** Why the work on an attempt stops before its outcome. */
export type Abort =
  /** A person cancelled the job. */
  | { readonly kind: 'cancel'; readonly by: string }
  /** The control plane goes away and leaves everything running: the next life goes on. */
  | { readonly kind: 'detach' };

export interface AttemptRun {
  readonly ledger: Ledger;
  readonly sessions: Sessions;
  readonly log: Log;
  readonly job: JobView;
  readonly attempt: AttemptView;
  readonly workspace: Workspace;
  readonly pool: Pool;
  /** Aborted with an `Abort` as its reason. */
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

/** Before a step is tried again that could not be written down (a full disk), or whose session could not be ended (a host that stands). */
const retryMs = 5000;

/** Runs until the attempt is settled, is no longer ours, or is left to the next life. Never throws. */
export async function runAttempt(start: AttemptRun, steps: Steps): Promise<'settled' | 'stale' | 'detached'> {
  let run = start;
  for (;;) {
    const { phase } = run.attempt;
    if (phase === 'settled') return 'settled';
    try {
      const result = await nextResult(run, phase, steps);
      if (result.kind === 'detached') return 'detached';
      const said = result.kind === 'settle' ? await settle(run, result.outcome) : await advance(run, phase, result);
      if (said === 'stale') return 'stale';
      run = { ...run, attempt: await reload(run) };
    } catch (error) {
      // Only the ledger throws here. What was done outside stands, and is recognised when the step is done again.
      run.log.error(
        { attempt: run.attempt.id, cause: messageOf(error) },
        'the ledger could not be written; trying again',
      );
      if (run.signal.aborted && abortOf(run.signal).kind === 'detach') return 'detached';
      await delay(retryMs);
    }
  }
}

/**
 * A step that came to its result counts, whatever was asked meanwhile; between two steps an abort is obeyed. Once the branch points to the
 * work, cancelling is too late: the truth is then that the job was done.
 */
async function nextResult(run: AttemptRun, phase: OpenPhase, steps: Steps): Promise<StepResult | { kind: 'detached' }> {
  if (!run.signal.aborted || phase === 'landed') {
    try {
      return await steps[phase](run);
    } catch (error) {
      if (!run.signal.aborted) return { kind: 'settle', outcome: endedByFault(error, phase) };
    }
  }
  const abort = abortOf(run.signal);
  return abort.kind === 'detach'
    ? { kind: 'detached' }
    : { kind: 'settle', outcome: { kind: 'cancelled', detail: `cancelled by ${abort.by}`, commit: null } };
}

const abortOf = (signal: AbortSignal): Abort => signal.reason as Abort;

const advance = (
  run: AttemptRun,
  from: OpenPhase,
  result: Extract<StepResult, { kind: 'advance' }>,
): Promise<'advanced' | 'stale'> =>
  run.ledger.advance({
    attemptId: run.attempt.id,
    from,
    to: result.to,
    ...(result.facts ? { facts: result.facts } : {}),
    event: { ...result.event, sessionId: run.attempt.sessionId },
  });

/**
 * Ends the session first, so that nothing is written any more; then saves what it left; then settles; then cleans up. A crash before
 * the settlement does it all again, a crash after it is mended at the next start (dispatcher.ts, `resume`).
 */
async function settle(run: AttemptRun, outcome: Outcome): Promise<'settled' | 'stale'> {
  const id = run.attempt.sessionId as SessionId;
  const kept = outcome.kind === 'done' && (await run.pool.keeps(id));
  if (!kept) run.pool.forget(id);
  // [D12] Thrown where the end can't be proved: then there is no outcome yet, and it is tried again.
  if (!kept) await run.sessions.end(id, { graceMs: endGraceMs });
  const saved = outcome.kind === 'done' ? outcome : { ...outcome, commit: outcome.commit ?? (await savedCommit(run)) };
  const said = await run.ledger.settle({ attemptId: run.attempt.id, outcome: saved });
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

/** Faults after which nobody can say whether what was under way has happened. */
const unprovable: readonly FaultCode[] = ['HOST_DOWN', 'HOST_REFUSED', 'HOST_VERSION', 'TIMED_OUT'];

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

/** What a thrown fault means for the attempt; everything else that can go wrong is a value of its step. */
function endedByFault(error: unknown, phase: OpenPhase): Outcome {
  const fault = toFault(error);
  // Its record is gone or unreadable: what became of the turn can't be told any more.
  if (fault.code === 'NOT_FOUND')
    return { kind: 'unknown', reason: 'SESSION_LOST', tried: fault.message, commit: null };
  // [D6] Some of the prompt may have been typed.
  if (phase === 'delivering' && unprovable.includes(fault.code)) {
    return {
      kind: 'unknown',
      reason: 'PROMPT_UNCONFIRMED',
      tried: `typing the prompt; then: ${fault.message}`,
      commit: null,
    };
  }
  return {
    kind: 'failed',
    reason: reasons[fault.code] ?? 'INTERNAL',
    detail: fault.message,
    commit: null,
    verification: null,
  };
}
