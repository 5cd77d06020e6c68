/**
 * What may follow what. The words and their meanings are the unions in protocol/job.ts; the database holds the same words as CHECK
 * constraints, and every change is a compare-and-swap that names the state it leaves.
 */
import type { AttemptPhase, JobState, Outcome } from '../protocol/job.ts';

/** `queued → cancelled` is a cancellation before anyone claimed it; the ended states but `done` can be taken up again by `retry`. */
export const jobTransitions: Readonly<Record<JobState, readonly JobState[]>> = {
  queued: ['running', 'cancelled'],
  running: ['done', 'failed', 'unknown', 'cancelled'],
  done: [],
  failed: ['queued'],
  unknown: ['queued'],
  cancelled: ['queued'],
};

/** An attempt goes forward one phase at a time; it may be settled from any phase, and then it never changes again. */
export const attemptTransitions: Readonly<Record<AttemptPhase, readonly AttemptPhase[]>> = {
  claimed: ['prepared', 'settled'],
  prepared: ['started', 'settled'],
  started: ['delivering', 'settled'],
  delivering: ['delivered', 'settled'],
  delivered: ['ended', 'settled'],
  ended: ['captured', 'settled'],
  captured: ['verified', 'settled'],
  verified: ['landed', 'settled'],
  landed: ['settled'],
  settled: [],
};

/** The state that a job ends in when its attempt settles so. */
export const jobStateAfter: Readonly<Record<Outcome['kind'], JobState>> = {
  done: 'done',
  failed: 'failed',
  unknown: 'unknown',
  cancelled: 'cancelled',
};

/** States in which a job waits for nobody. */
export const endedStates: readonly JobState[] = ['done', 'failed', 'unknown', 'cancelled'];

/** States that `from` may be left for `to`, by the table. */
export const statesThatMayBecome = (to: JobState): readonly JobState[] =>
  (Object.keys(jobTransitions) as JobState[]).filter((from) => jobTransitions[from].includes(to));
