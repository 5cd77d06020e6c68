/**
 * The ledger of one home: the one writer of the truth about jobs, attempts and events. SPEC.md has its rules.
 *
 * What changes something is a step (steps.ts: one transaction, one after the other); what only reads goes to the database between them
 * and sees whole steps. One process at a time: a second one is refused with the identity of the first.
 */
import type { Clock } from '../base/clock.ts';
import { type Dispose, emitter } from '../base/disposal.ts';
import { Fault } from '../base/fault.ts';
import { acquireLock, type Lock, type LockHolder } from '../platform/lock.ts';
import { openSqlite, type Store } from '../platform/sqlite.ts';
import type { JobWhy } from '../protocol/api.ts';
import type { JobView, LedgerEvent, Totals } from '../protocol/job.ts';
import {
  type Advance,
  advanceAttempt,
  type Claim,
  claimJob,
  recordEvent,
  type Settle,
  settleAttempt,
} from './attempts.ts';
import type { EventOf } from './events.ts';
import {
  jobNumber,
  type NewJob,
  type NewProject,
  readJob,
  registerProject,
  requestCancel,
  retryJob,
  submitJob,
} from './jobs.ts';
import { migrate } from './migrate.ts';
import {
  type EventsPage,
  type JobsPage,
  readAttempts,
  readAttemptsAt,
  readEvents,
  readJobs,
  readLastSeq,
  readOpenAttempts,
  readProjects,
  readQueued,
  readTotals,
  readWhy,
} from './reads.ts';
import type { LedgerSchema } from './schema.ts';
import { openSteps } from './steps.ts';
import type { Attempt, OpenAttempt, Project } from './views.ts';

export interface LedgerOptions {
  /** Its folder must exist. `<file>.lock` is taken beside it. */
  readonly file: string;
  readonly now: Clock;
  /** Told to a second process that wants the ledger; by default only the pid. */
  readonly holder?: LockHolder;
  /** A listener threw; the ledger goes on. */
  readonly onListenerError?: (error: unknown) => void;
}

/** Every rejection is a `Fault`; the ids of faults about a job are their `subject`. */
export interface Ledger {
  /** The same path gives the same project; its name stays as it was first registered. */
  readonly registerProject: (project: NewProject) => Promise<Project>;
  /** Every repository that was ever used, in the order of its first use. */
  readonly projects: () => Promise<readonly Project[]>;
  readonly submit: (job: NewJob) => Promise<{ readonly job: JobView; readonly already: boolean }>;
  /** Undefined if the job is not queued any more: of any number of claimers one gets an attempt. */
  readonly claim: (jobId: string, claim: Claim) => Promise<OpenAttempt | undefined>;
  readonly advance: (change: Advance) => Promise<'advanced' | 'stale'>;
  readonly settle: (end: Settle) => Promise<'settled' | 'stale'>;
  readonly requestCancel: (jobId: string, by: string) => Promise<JobView>;
  readonly retry: (jobId: string) => Promise<JobView>;
  /** An event that changes no state. One that names only a session is told of the attempt that has this session, if one has. */
  readonly record: (event: EventOf) => Promise<LedgerEvent>;
  readonly job: (jobId: string) => Promise<JobView>;
  /** Newest first; `next` is the `before` of the page that follows. */
  readonly jobs: (page?: JobsPage) => Promise<{ readonly jobs: readonly JobView[]; readonly next: string | null }>;
  /** Jobs that wait to start, oldest first. */
  readonly queued: (page: { readonly limit: number }) => Promise<readonly JobView[]>;
  /** Oldest first. */
  readonly attempts: (jobId: string) => Promise<readonly Attempt[]>;
  /** Of each of these folders the newest attempt that worked in it, if one did. */
  readonly attemptsAt: (worktrees: readonly string[]) => Promise<readonly Attempt[]>;
  /** Attempts without an outcome, oldest first, with their jobs: what a daemon that starts must take up again. */
  readonly openAttempts: () => Promise<readonly OpenAttempt[]>;
  readonly events: (page?: EventsPage) => Promise<readonly LedgerEvent[]>;
  /** The job's story: `explainJob` over the first and the last of its events. */
  readonly why: (jobId: string) => Promise<JobWhy>;
  /** Number of the newest event; 0 if there is none. */
  readonly lastSeq: () => Promise<number>;
  /** Called once for every event of a step, after it is on disk, in the order of the numbers and without gaps. */
  readonly onEvent: (listener: (event: LedgerEvent) => void) => Dispose;
  readonly totals: () => Promise<Totals>;
  /** Waits for the steps under way. */
  readonly close: () => Promise<void>;
}

/** Faults: LEDGER_BUSY (another process has it), LEDGER_DAMAGED, LEDGER_NEWER, LEDGER_UNREACHABLE, DISK_FULL. */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const lock = lockLedger(options);
  let store: Store<LedgerSchema> | undefined;
  try {
    store = openSqlite<LedgerSchema>(options.file);
    await migrate({ store, file: options.file, now: options.now });
    return ledgerOver(store, lock, options);
  } catch (error) {
    await store?.close();
    lock.release();
    throw error;
  }
}

function ledgerOver(store: Store<LedgerSchema>, lock: Lock, options: LedgerOptions): Ledger {
  const { db } = store;
  const published = emitter<LedgerEvent>(options.onListenerError ?? (() => undefined));
  const steps = openSteps(db, options.now, published);
  return {
    registerProject: (project) => steps.run((step) => registerProject(step, project)),
    projects: () => readProjects(db),
    submit: (job) => steps.run((step) => submitJob(step, job)),
    claim: (jobId, claim) => steps.run((step) => claimJob(step, jobId, claim)),
    advance: (change) => steps.run((step) => advanceAttempt(step, change)),
    settle: (end) => steps.run((step) => settleAttempt(step, end)),
    requestCancel: (jobId, by) => steps.run((step) => requestCancel(step, jobId, by)),
    retry: (jobId) => steps.run((step) => retryJob(step, jobId)),
    record: (event) => steps.run((step) => recordEvent(step, event)),
    job: async (jobId) => readJob(db, jobNumber(jobId)),
    jobs: (page) => readJobs(db, page ?? {}),
    queued: ({ limit }) => readQueued(db, limit),
    attempts: (jobId) => readAttempts(db, jobNumber(jobId)),
    attemptsAt: (worktrees) => readAttemptsAt(db, worktrees),
    openAttempts: () => readOpenAttempts(db),
    events: (page) => readEvents(db, page ?? {}),
    why: (jobId) => readWhy(db, jobNumber(jobId)),
    lastSeq: () => readLastSeq(db),
    onEvent: published.on,
    totals: () => readTotals(db),
    close: async () => {
      await steps.close();
      await store.close();
      lock.release();
    },
  };
}

function lockLedger({ file, holder }: LedgerOptions): Lock {
  const lock = acquireLock(`${file}.lock`, holder ?? { pid: process.pid });
  if (lock.kind === 'acquired') return lock;
  const by = lock.by === undefined ? 'another process' : `another process (${JSON.stringify(lock.by)})`;
  throw new Fault('LEDGER_BUSY', `${file} is held by ${by}`, {
    subject: file,
    hint: 'One daemon owns a home: see `muster status`, or stop the other one with `muster down`.',
  });
}
