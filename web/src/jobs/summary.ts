/** One line about how far a job is, or how it ended. */
import type { AttemptPhase, JobView, Outcome } from '../../../src/protocol/job.ts';

/** What is true when an attempt has come this far. */
export const phaseWords: Readonly<Record<AttemptPhase, string>> = {
  claimed: 'claimed by a dispatcher',
  prepared: 'worktree and persona are ready',
  started: 'the agent is starting',
  delivering: 'the prompt is being typed',
  delivered: 'the agent has the prompt',
  ended: 'the agent ended its turn',
  captured: 'the work is a commit',
  verified: 'verified in a clean checkout',
  landed: 'the branch points to the commit',
  settled: 'settled',
};

export function summarise(job: JobView): string {
  if (job.outcome !== null) return summariseOutcome(job.outcome);
  if (job.waiting !== null) return `waits: ${job.waiting}`;
  const asked = job.cancelRequested ? 'cancel requested; ' : '';
  return asked + (job.phase === null ? 'not started' : phaseWords[job.phase]);
}

export function summariseOutcome(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'done':
      return [
        countFiles(outcome.files.length),
        outcome.verification === null ? 'not verified' : 'verified',
        outcome.message,
      ]
        .filter((part) => part !== '')
        .join(' · ');
    case 'failed':
      return `${outcome.reason}: ${outcome.detail}`;
    case 'unknown':
      return `${outcome.reason}, tried: ${outcome.tried}`;
    case 'cancelled':
      return outcome.detail;
  }
}

const countFiles = (count: number): string => (count === 0 ? 'no changes' : count === 1 ? '1 file' : `${count} files`);
