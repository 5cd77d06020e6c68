/** Questions to the ledger that change nothing. Each is one query or one transaction, and so sees whole steps only. */
import type { Kysely, Transaction } from 'kysely';
import { z } from 'zod';
import type { JobWhy } from '../protocol/api.ts';
import type { JobState } from '../protocol/job.ts';
import { type JobView, jobStates, type LedgerEvent, type Totals } from '../protocol/job.ts';
import { jobNumber, joinedJobs, readJob } from './jobs.ts';
import type { LedgerSchema } from './schema.ts';
import { type Attempt, attemptOf, eventOf, jobViewOf, type OpenAttempt, type Project, projectOf } from './views.ts';
import { explainJob } from './why.ts';

export interface JobsPage {
  readonly state?: JobState | undefined;
  /** 1 to `pageMax`, by default 100. */
  readonly limit?: number | undefined;
  /** Only jobs older than this one. */
  readonly before?: string | undefined;
}

export interface EventsPage {
  /** Only events with a larger number; by default from the first. */
  readonly after?: number | undefined;
  readonly limit?: number | undefined;
  readonly jobId?: string | undefined;
}

/** Rows in one answer. Events are a few hundred bytes as a rule and 64 KB at most, so that even the worst page fits in memory. */
export const pageMax = 1000;
const pageUsual = 100;

const rowsOf = (limit: number | undefined): number => Math.min(Math.max(limit ?? pageUsual, 1), pageMax);

export async function readJobs(
  db: Kysely<LedgerSchema>,
  page: JobsPage,
): Promise<{ readonly jobs: readonly JobView[]; readonly next: string | null }> {
  const limit = rowsOf(page.limit);
  let query = joinedJobs(db)
    .orderBy('job.number', 'desc')
    .limit(limit + 1);
  if (page.state !== undefined) query = query.where('job.state', '=', page.state);
  if (page.before !== undefined) query = query.where('job.number', '<', jobNumber(page.before));
  const rows = await query.execute();
  const jobs = rows.slice(0, limit).map(jobViewOf);
  return { jobs, next: rows.length > limit ? (jobs.at(-1)?.id ?? null) : null };
}

/** Oldest first: the order in which they start. */
export async function readQueued(db: Kysely<LedgerSchema>, limit: number): Promise<readonly JobView[]> {
  const rows = await joinedJobs(db)
    .where('job.state', '=', 'queued')
    .orderBy('job.number')
    .limit(rowsOf(limit))
    .execute();
  return rows.map(jobViewOf);
}

export async function readAttempts(db: Kysely<LedgerSchema>, job: number): Promise<readonly Attempt[]> {
  const rows = await db.selectFrom('attempt').selectAll().where('job', '=', job).orderBy('fence').execute();
  const versions = await personaVersions(db, job);
  return rows.map(attemptOf).map((attempt) => ({ ...attempt, personaVersion: versions.get(attempt.id) ?? null }));
}

export async function readProjects(db: Kysely<LedgerSchema>): Promise<readonly Project[]> {
  return (await db.selectFrom('project').selectAll().orderBy('number').execute()).map(projectOf);
}

/** Of SQLite's limit of variables in one query a small part. */
const pathsAtOnce = 500;

export async function readAttemptsAt(
  db: Kysely<LedgerSchema>,
  worktrees: readonly string[],
): Promise<readonly Attempt[]> {
  const newest = new Map<string, Attempt>();
  for (let from = 0; from < worktrees.length; from += pathsAtOnce) {
    const rows = await db
      .selectFrom('attempt')
      .selectAll()
      .where('worktree', 'in', worktrees.slice(from, from + pathsAtOnce))
      .orderBy('started_at')
      .orderBy('fence')
      .execute();
    for (const row of rows) newest.set(row.worktree, attemptOf(row));
  }
  return [...newest.values()];
}

/** Told by the event that the workspace is prepared, and kept nowhere else. */
async function personaVersions(db: Kysely<LedgerSchema>, job: number): Promise<ReadonlyMap<string | null, string>> {
  const rows = await db
    .selectFrom('event')
    .select(['attempt', 'data'])
    .where('job', '=', job)
    .where('type', '=', 'workspace.prepared')
    .execute();
  const preparedSchema = z.object({ persona: z.object({ version: z.string() }) });
  return new Map(
    rows.flatMap(({ attempt, data }) => {
      const told = preparedSchema.safeParse(JSON.parse(data)).data;
      return told ? [[attempt, told.persona.version]] : [];
    }),
  );
}

/** As many as there are: each one is a session that runs or was lost, so their number is bounded by what a machine can run. */
export async function readOpenAttempts(db: Kysely<LedgerSchema>): Promise<readonly OpenAttempt[]> {
  return db.transaction().execute(async (trx) => {
    const attempts = await trx
      .selectFrom('attempt')
      .selectAll()
      .where('phase', '<>', 'settled')
      .orderBy('job')
      .execute();
    const open = attempts.map((row) => row.job);
    const jobs =
      open.length === 0 ? [] : await joinedJobs(trx).where('job.number', 'in', open).orderBy('job.number').execute();
    const views = new Map(jobs.map((row) => [row.number, jobViewOf(row)]));
    const cancelled = jobs.filter((row) => row.cancel_requested === 1).map(({ number }) => number);
    const askers = await cancellersOf(trx, cancelled);
    return attempts.flatMap((row) => {
      const job = views.get(row.job);
      const cancelledBy = job?.cancelRequested === true ? (askers.get(row.job) ?? 'request') : null;
      return job ? [{ job, attempt: attemptOf(row), cancelledBy }] : [];
    });
  });
}

/** Told by the event of the request, and kept nowhere else. One that was retried may have had others before. */
async function cancellersOf(
  trx: Transaction<LedgerSchema>,
  jobs: readonly number[],
): Promise<ReadonlyMap<number | null, string>> {
  const rows = await trx
    .selectFrom('event')
    .select(['job', 'data'])
    .where('job', 'in', jobs)
    .where('type', '=', 'job.cancel-requested')
    .orderBy('seq')
    .execute();
  const requestSchema = z.object({ by: z.string().catch('request') });
  return new Map(rows.map(({ job, data }) => [job, requestSchema.parse(JSON.parse(data)).by]));
}

export async function readEvents(db: Kysely<LedgerSchema>, page: EventsPage): Promise<readonly LedgerEvent[]> {
  let query = db
    .selectFrom('event')
    .selectAll()
    .where('seq', '>', page.after ?? 0)
    .orderBy('seq')
    .limit(rowsOf(page.limit));
  if (page.jobId !== undefined) query = query.where('job', '=', jobNumber(page.jobId));
  return (await query.execute()).map(eventOf);
}

/** Events a story is told from: of a longer one the beginning and the end. */
const storyHalfMax = 500;

export async function readWhy(db: Kysely<LedgerSchema>, job: number): Promise<JobWhy> {
  return db.transaction().execute(async (trx) => {
    const ofJob = trx.selectFrom('event').selectAll().where('job', '=', job);
    const first = await ofJob.orderBy('seq').limit(storyHalfMax).execute();
    const lastSeen = first.at(-1)?.seq ?? 0;
    const last = await ofJob.where('seq', '>', lastSeen).orderBy('seq', 'desc').limit(storyHalfMax).execute();
    const events = [...first, ...last.reverse()].map(eventOf);
    return explainJob(await readJob(trx, job), await readAttempts(trx, job), events);
  });
}

export async function readLastSeq(db: Kysely<LedgerSchema>): Promise<number> {
  const row = await db
    .selectFrom('event')
    .select((eb) => eb.fn.max('seq').as('seq'))
    .executeTakeFirst();
  return row?.seq ?? 0;
}

/** [L11] Counted in one query, so that the parts are the whole. */
export async function readTotals(db: Kysely<LedgerSchema>): Promise<Totals> {
  const rows = await db
    .selectFrom('job')
    .select(['state', (eb) => eb.fn.countAll<number>().as('count')])
    .groupBy('state')
    .execute();
  const counts = new Map(rows.map((row) => [row.state, Number(row.count)]));
  const parts = Object.fromEntries(jobStates.map((state) => [state, counts.get(state) ?? 0])) as Record<
    JobState,
    number
  >;
  return { total: jobStates.reduce((sum, state) => sum + parts[state], 0), ...parts };
}
