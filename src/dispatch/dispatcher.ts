/**
 * Takes jobs from the queue, gives each to an attempt, and sees it through. It reacts to what happens; it does not poll.
 *
 * Order of the parts: `pump` (claim what may run), `resume` (take up what an earlier life left open), cancel and retry, closing.
 * The ledger alone decides who may run a job: a claim that another one won is simply not ours.
 */
import type { Clock } from '../base/clock.ts';
import type { Dispose } from '../base/disposal.ts';
import { messageOf } from '../base/fault.ts';
import { newSessionId, type SessionId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { within } from '../base/wait.ts';
import type { Ledger, OpenAttempt } from '../ledger/index.ts';
import type { JobView } from '../protocol/job.ts';
import type { AdmissionAnswer, InUse, Pool, Sessions } from '../sessions/index.ts';
import { type AttemptRun, endSession, runAttempt, type Steps } from './attempt.ts';
import { foldersTwoDeep, freeBranch, type Places, worktreePath } from './places.ts';
import type { Workspace } from './workspace.ts';

export interface DispatcherOptions {
  readonly ledger: Ledger;
  readonly sessions: Sessions;
  readonly workspace: Workspace;
  readonly steps: Steps;
  readonly log: Log;
  readonly clock: Clock;
  /** Who claims: told in the ledger. */
  readonly owner: string;
  readonly places: Places;
  readonly pool: Pool;
  /** Attempts at the same time. */
  readonly concurrent: number;
  /** Whether there is memory for the job's session, beside those of the attempts that run. */
  readonly admission: (job: JobView, inUse: readonly InUse[]) => Promise<AdmissionAnswer>;
}

export interface Dispatcher {
  /** Looks whether something may start. Harmless at any time. */
  readonly wake: () => void;
  /** The sessions of the attempts that run, also of those that have not started theirs yet. */
  readonly inUse: () => readonly InUse[];
  readonly cancel: (jobId: string, by: string) => Promise<JobView>;
  readonly retry: (jobId: string) => Promise<JobView>;
  /** `keep` leaves sessions and attempts to the next life; `cancel` ends every running attempt as cancelled. */
  readonly close: (running: 'keep' | 'cancel') => Promise<void>;
}

/** What `muster down` leaves an attempt to be settled in: less than it waits for the daemon. What is open then, the next life settles. */
const cancelLimitMs = 20_000;

interface Running {
  readonly session: InUse;
  readonly cancel: AbortController;
  readonly detach: AbortController;
  readonly ended: Promise<void>;
}

/** The ledger could not be asked for the queue (a full disk): ask again after this time. */
const queueRetryMs = 5000;
/** Queued jobs looked at in one go; more follow when some of them run. */
const queuePage = 50;

export async function openDispatcher(options: DispatcherOptions): Promise<Dispatcher> {
  const { ledger, sessions, log } = options;
  const running = new Map<string, Running>();
  /** By whom: of jobs that are claimed in the ledger and do not run yet. */
  const cancelledEarly = new Map<string, string>();
  let closed = false;
  let pumping: Promise<void> | undefined;
  let again = false;
  let retryTimer: NodeJS.Timeout | undefined;
  /** What was said last about the job whose turn it is. */
  let told: { readonly jobId: string; readonly shortage: string } | undefined;

  const run = ({ job, attempt, cancelledBy }: OpenAttempt): void => {
    const [cancel, detach] = [new AbortController(), new AbortController()];
    const start: AttemptRun = {
      ledger,
      sessions,
      log,
      job,
      attempt,
      workspace: options.workspace,
      pool: options.pool,
      cancel: cancel.signal,
      detach: detach.signal,
      signal: AbortSignal.any([cancel.signal, detach.signal]),
    };
    // Asked for while nobody ran it: by a daemon that was killed before it could obey, or while it was being claimed.
    const by = cancelledBy ?? cancelledEarly.get(job.id);
    cancelledEarly.delete(job.id);
    if (by !== undefined) cancel.abort(by);
    const ended = runAttempt(start, options.steps).then((how) => {
      log.info({ attempt: attempt.id, how }, 'attempt left');
      running.delete(job.id);
      wake();
    });
    running.set(job.id, { session: { sessionId: attempt.sessionId, agent: job.agent }, cancel, detach, ended });
  };

  const inUse = (): readonly InUse[] => [...running.values()].map(({ session }) => session);
  /** [M11] One that has to wait holds up those behind it: a small job must not keep a large one from ever starting. */
  const mayStart = async (job: JobView): Promise<boolean> => {
    const answer = await options.admission(job, inUse());
    if (answer.kind === 'admit') return true;
    const { shortage, reason, until, retryMs } = answer;
    clearTimeout(retryTimer);
    retryTimer = setTimeout(wake, retryMs);
    if (told?.jobId === job.id && told.shortage === shortage) return false;
    await ledger.record({ type: 'job.waiting', jobId: job.id, data: { shortage, reason, until } });
    told = { jobId: job.id, shortage };
    return false;
  };
  const pump = async (): Promise<void> => {
    while (again && !closed) {
      again = false;
      const free = options.concurrent - running.size;
      if (free <= 0) continue;
      const queued = await ledger.queued({ limit: Math.min(free, queuePage) });
      for (const job of queued) {
        if (closed || running.has(job.id)) continue;
        if (!(await mayStart(job))) return;
        const claimed = await claim(job, options);
        if (claimed) run(claimed);
      }
    }
  };
  const wake = (): void => {
    again = true;
    if (closed || pumping) return;
    pumping = pump()
      .catch((error: unknown) => {
        log.error({ cause: messageOf(error) }, 'the queue could not be read; trying again');
        retryTimer = setTimeout(wake, queueRetryMs);
      })
      .finally(() => {
        pumping = undefined;
        if (again) wake();
      });
  };

  const detachAll = (): void => {
    for (const { detach } of running.values()) detach.abort('the control plane goes away');
  };
  /** [D14] Written before anything is ended: a life that dies in the middle of it is followed by one that obeys. */
  const cancelAll = async (): Promise<void> => {
    const by = 'muster down; the work so far is kept';
    const ask = async (jobId: string, { cancel }: Running): Promise<void> => {
      await ledger
        .requestCancel(jobId, by)
        .catch((error: unknown) => log.warn({ job: jobId, cause: messageOf(error) }, 'to cancel could not be written'));
      cancel.abort(by);
    };
    await Promise.all([...running].map(([jobId, one]) => ask(jobId, one)));
  };

  await resume(options, run);
  const leave: Dispose = ledger.onEvent((event) => {
    if (event.type === 'job.submitted' || event.type === 'job.retried') wake();
  });
  wake();

  return {
    wake,
    inUse,
    cancel: async (jobId, by) => {
      const job = await ledger.requestCancel(jobId, by);
      const one = running.get(jobId);
      if (one) one.cancel.abort(by);
      else if (job.state === 'running') cancelledEarly.set(jobId, by);
      return job;
    },
    retry: (jobId) => ledger.retry(jobId),
    close: async (how) => {
      closed = true;
      leave();
      clearTimeout(retryTimer);
      const stop = async (): Promise<void> => (how === 'keep' ? detachAll() : cancelAll());
      await stop();
      // It may have claimed one more meanwhile.
      await pumping;
      await stop();
      const ended = Promise.all([...running.values()].map((one) => one.ended));
      if (how === 'cancel' && (await within(ended, cancelLimitMs)) === undefined) {
        log.warn({ jobs: [...running.keys()] }, 'cancelled jobs could not be settled in time; the next start does it');
        detachAll();
      }
      await ended;
    },
  };
}

/** Everything an attempt will touch outside is named in the claim, so that a later life finds it. */
async function claim(job: JobView, options: DispatcherOptions): Promise<OpenAttempt | undefined> {
  const { ledger, log, owner, places, pool } = options;
  const settings = places.of(job.projectPath);
  const branch = await freeBranch(job, settings.branch).catch((error: unknown) => {
    // The repository is gone, or full of such branches: the attempt's first step says so. One bad job must not hold up the others.
    log.warn({ job: job.id, cause: messageOf(error) }, 'no branch name could be found for a job');
    return `muster/${job.id}`;
  });
  const ready = await takeReady(job, options);
  const where = ready
    ? { sessionId: ready.id, worktree: ready.worktree }
    : { sessionId: newSessionId(), worktree: worktreePath(job, settings) };
  let claimed: OpenAttempt | undefined;
  try {
    claimed = await ledger.claim(job.id, { owner, branch, ...where });
  } finally {
    if (ready && !claimed) pool.putBack(ready.id);
  }
  return claimed;
}

/** [W10] A session whose worktree can't go on to this job is ended; another, or a new one, has it. */
async function takeReady(
  job: JobView,
  { pool, workspace }: DispatcherOptions,
): Promise<{ readonly id: SessionId; readonly worktree: string } | undefined> {
  for (;;) {
    const ready = await pool.take({ project: job.projectPath, persona: job.persona, agent: job.agent });
    if (!ready) return undefined;
    const reason = await workspace.whyNotReusable(job, ready.worktree).catch(messageOf);
    if (reason === undefined) return ready;
    pool.discard(ready.id, reason);
  }
}

/** [D5] Open attempts go on from their phase; sessions whose attempt has its outcome are ended. */
async function resume(options: DispatcherOptions, run: (open: OpenAttempt) => void): Promise<void> {
  const { ledger, sessions, log, pool } = options;
  const open = await ledger.openAttempts();
  for (const one of open) {
    const { job, attempt } = one;
    await ledger.record({
      type: 'attempt.resumed',
      jobId: job.id,
      attemptId: attempt.id,
      sessionId: attempt.sessionId,
      data: { phase: attempt.phase },
    });
    run(one);
  }
  const wanted = new Set(open.map(({ attempt }) => attempt.sessionId));
  const kept = pool.entries().filter((entry) => !wanted.has(entry.id));
  for (const { id } of kept)
    void pool
      .recover(id)
      .catch((error: unknown) =>
        log.warn({ session: id, cause: messageOf(error) }, 'a pooled session could not be made ready'),
      );
  const stray = sessions
    .list()
    .filter((session) => session.exit === null && !wanted.has(session.id) && !kept.some(({ id }) => id === session.id));
  await Promise.all(stray.map((session) => endSession({ sessions, log, attempt: { sessionId: session.id } })));
  await removeLandedWorktrees(options);
}

/** [D11] A life that died between an outcome and the clean-up leaves the worktree of a job that is done. Any other is kept on purpose. */
async function removeLandedWorktrees({ ledger, log, workspace, places, sessions }: DispatcherOptions): Promise<void> {
  const paths = await foldersTwoDeep(places.roots).catch((error: unknown) => {
    log.warn(
      { roots: places.roots, cause: messageOf(error) },
      'the worktrees could not be looked through; none is removed',
    );
    return [];
  });
  // A pooled session goes on living in the worktree of the job that began it.
  const inhabited = new Set(sessions.list().flatMap((session) => (session.exit === null ? [session.cwd] : [])));
  const empty = paths.filter((one) => !inhabited.has(one));
  // The newest that worked there: the worktree of a pooled session has had several jobs.
  for (const attempt of await ledger.attemptsAt(empty)) {
    if (attempt.outcome?.kind === 'done')
      await workspace.removeWorktree({ job: await ledger.job(attempt.jobId), attempt });
  }
}
