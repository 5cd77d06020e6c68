/** The face of dispatch: the one door for work, and what carries it to its end. */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Ledger } from '../ledger/index.ts';
import type { SubmitJob } from '../protocol/api.ts';
import type { JobView } from '../protocol/job.ts';
import type { Pool, Sessions } from '../sessions/index.ts';
import { type Dispatcher, type DispatcherOptions, openDispatcher } from './dispatcher.ts';
import { type Intake, submitJob } from './intake.ts';
import type { Places } from './places.ts';
import { attemptSteps, type StepLimits, type StepOptions } from './steps.ts';
import { openWorkspace, type WorkspaceOptions } from './workspace.ts';
import { openWorktrees, type Retention, type Worktrees } from './worktrees.ts';

export type { AttemptRun } from './attempt.ts';
export { type Places, poolFolder, type WorktreeSettings } from './places.ts';
export { doneMarker } from './prompt.ts';
export { poolRemoval, removeAndTell } from './removal.ts';
export type { StepLimits } from './steps.ts';
export type { Retention, Worktrees } from './worktrees.ts';

export interface DispatchOptions {
  readonly ledger: Ledger;
  readonly sessions: Sessions;
  readonly intake: Omit<Intake, 'ledger'>;
  readonly startSession: StepOptions['startSession'];
  /** Where and what the persona of a job is, for its agent. */
  readonly placePersona: WorkspaceOptions['placePersona'];
  readonly personaPath: (job: JobView) => string;
  readonly limits: StepLimits & { readonly concurrent: number };
  readonly admission: DispatcherOptions['admission'];
  readonly places: Places;
  readonly pool: Pool;
  readonly retention: Retention;
  /** Folder for clean checkouts. */
  readonly checkouts: string;
  /** Environment of verify commands. */
  readonly environment: Readonly<Record<string, string>>;
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Dispatch {
  /** Faults: WORK_TEXT_*, PROJECT_*, AGENT_*, PERSONA_*. After it the job is in the ledger. */
  readonly submit: (request: SubmitJob) => Promise<{ job: JobView; already: boolean }>;
  readonly cancel: (jobId: string, by: string) => Promise<JobView>;
  readonly retry: (jobId: string) => Promise<JobView>;
  readonly inUse: Dispatcher['inUse'];
  readonly worktrees: Omit<Worktrees, 'close'>;
  readonly close: (running: 'keep' | 'cancel') => Promise<void>;
}

/** Takes up what an earlier life left open, then starts what waits. */
export async function openDispatch(options: DispatchOptions): Promise<Dispatch> {
  const { ledger, sessions, log, clock } = options;
  const dispatcher = await openDispatcher({
    ledger,
    sessions,
    log,
    clock,
    workspace: openWorkspace(options),
    steps: attemptSteps({
      limits: options.limits,
      checkouts: options.checkouts,
      startSession: options.startSession,
      environment: options.environment,
    }),
    owner: options.owner,
    places: options.places,
    pool: options.pool,
    concurrent: options.limits.concurrent,
    admission: options.admission,
  });
  const worktrees = openWorktrees(options);
  return {
    submit: (request) => submitJob({ ...options.intake, ledger }, request),
    cancel: dispatcher.cancel,
    retry: dispatcher.retry,
    inUse: dispatcher.inUse,
    worktrees,
    // Side by side: what the janitor is at can take minutes, and what `muster down` asks for does not wait for it.
    close: async (running) => void (await Promise.all([dispatcher.close(running), worktrees.close()])),
  };
}
