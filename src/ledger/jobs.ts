/** Steps on jobs: submit, cancel, retry, and the project they belong to. Every change names the states it may leave. */
import { createHash } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import { Fault } from '../base/fault.ts';
import { jobId, type ProjectId } from '../base/ids.ts';
import type { JobView, Outcome } from '../protocol/job.ts';
import type { JobRow, LedgerSchema } from './schema.ts';
import { statesThatMayBecome } from './states.ts';
import type { StepWriter } from './steps.ts';
import { type JoinedJobRow, jobViewOf, numberOf, type Project, projectOf } from './views.ts';

export interface NewProject {
  /** Absolute path of the repository's root: what identifies it. */
  readonly path: string;
  readonly name: string;
}

export interface NewJob {
  readonly projectId: ProjectId;
  readonly text: string;
  readonly persona: string;
  readonly agent: string;
  readonly verify: string | null;
  readonly allowEmpty: boolean;
  readonly baseCommit: string;
  readonly baseRef: string;
  readonly submittedBy: string;
  readonly idempotencyKey?: string | null | undefined;
}

export async function registerProject(step: StepWriter, project: NewProject): Promise<Project> {
  const known = await step.db.selectFrom('project').selectAll().where('path', '=', project.path).executeTakeFirst();
  if (known) return projectOf(known);
  const row = await step.db
    .insertInto('project')
    .values({
      number: sql<number>`(select coalesce(max(number), 0) + 1 from project)`,
      path: project.path,
      name: project.name,
      registered_at: step.at,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  const registered = projectOf(row);
  await step.append({
    type: 'project.registered',
    data: { id: registered.id, name: registered.name, path: registered.path },
  });
  return registered;
}

/** [L8] The key with the same content gives the job that is there; with other content it is a fault that names it. */
export async function submitJob(
  step: StepWriter,
  wanted: NewJob,
): Promise<{ readonly job: JobView; readonly already: boolean }> {
  const digest = contentDigest(wanted);
  const known = await jobWithKey(step.db, wanted.idempotencyKey);
  if (known && known.content_digest !== digest) throw otherContentFault(wanted.idempotencyKey ?? '', known.number);
  if (known) return { job: jobViewOf(known), already: true };
  const { number } = await step.db
    .insertInto('job')
    .values({
      number: sql<number>`(select coalesce(max(number), 0) + 1 from job)`,
      state: 'queued',
      project: projectNumber(wanted.projectId),
      text: wanted.text,
      persona: wanted.persona,
      agent: wanted.agent,
      verify: wanted.verify,
      allow_empty: wanted.allowEmpty ? 1 : 0,
      base_commit: wanted.baseCommit,
      base_ref: wanted.baseRef,
      submitted_at: step.at,
      submitted_by: wanted.submittedBy,
      idempotency_key: wanted.idempotencyKey ?? null,
      content_digest: digest,
      cancel_requested: 0,
      attempts: 0,
      ended_at: null,
      outcome: null,
    })
    .returning('number')
    .executeTakeFirstOrThrow();
  const job = await readJob(step.db, number);
  await step.append({ type: 'job.submitted', jobId: job.id, data: submittedFacts(job) });
  return { job, already: false };
}

const submittedFacts = (job: JobView): Record<string, unknown> => ({
  text: job.text,
  project: job.project,
  agent: job.agent,
  persona: job.persona,
  verify: job.verify,
  baseCommit: job.baseCommit,
  baseRef: job.baseRef,
  submittedBy: job.submittedBy,
});

/** [L10] Queued: cancelled here and now. Running: asked for, and the attempt's owner settles it. Cancelled already: as it is. */
export async function requestCancel(step: StepWriter, id: string, by: string): Promise<JobView> {
  const number = jobNumber(id);
  const { state, cancelRequested } = await readJob(step.db, number);
  if (state === 'queued') {
    const outcome: Outcome = { kind: 'cancelled', detail: `cancelled by ${by} before it was started`, commit: null };
    await endJob(step, number, outcome);
  } else if (state === 'running' && !cancelRequested) {
    await step.db.updateTable('job').set({ cancel_requested: 1 }).where('number', '=', number).execute();
    await step.append({ type: 'job.cancel-requested', jobId: id, data: { by } });
  } else if (state !== 'running' && state !== 'cancelled') {
    throw new Fault('WRONG_STATE', `Job ${id} is ${state}; only a job that is queued or running can be cancelled`, {
      subject: id,
    });
  }
  return readJob(step.db, number);
}

/** Puts a job that ended without success into the queue again; its attempts stay, and the next one has the next fencing number. */
export async function retryJob(step: StepWriter, id: string): Promise<JobView> {
  const number = jobNumber(id);
  const before = await readJob(step.db, number);
  const { numUpdatedRows } = await step.db
    .updateTable('job')
    .set({ state: 'queued', cancel_requested: 0, ended_at: null, outcome: null })
    .where('number', '=', number)
    .where('state', 'in', statesThatMayBecome('queued'))
    .executeTakeFirst();
  if (numUpdatedRows !== 1n) {
    throw new Fault(
      'WRONG_STATE',
      `Job ${id} is ${before.state}; only a job that failed, is unknown or was cancelled can be retried`,
      {
        subject: id,
        ...(before.state === 'done' ? { hint: 'Submit the further work as a new job.' } : {}),
      },
    );
  }
  await step.append({ type: 'job.retried', jobId: id, data: { from: before.state, attempts: before.attempts } });
  return readJob(step.db, number);
}

/** Moves the job into the state of the outcome and tells it; false if the job is in no state that may end so. */
export async function endJob(
  step: StepWriter,
  number: number,
  outcome: Outcome,
  attempt?: { id: string; sessionId: string },
): Promise<boolean> {
  const { numUpdatedRows } = await step.db
    .updateTable('job')
    .set({ state: outcome.kind, ended_at: step.at, outcome: JSON.stringify(outcome) })
    .where('number', '=', number)
    .where('state', 'in', statesThatMayBecome(outcome.kind))
    .executeTakeFirst();
  if (numUpdatedRows !== 1n) return false;
  await step.append({
    type: `job.${outcome.kind}`,
    jobId: jobId(number),
    attemptId: attempt?.id,
    sessionId: attempt?.sessionId,
    data: { outcome },
  });
  return true;
}

type Reader = Kysely<LedgerSchema> | Transaction<LedgerSchema>;

/** Jobs with their project and newest attempt. */
/** What a queued job waits for is said by its last event; a claim, a cancellation or another word ends that. */
const waitingData = sql<string | null>`case when job.state = 'queued' then (
  select case when event.type = 'job.waiting' then event.data end
  from event where event.job = job.number order by event.seq desc limit 1
) end`;

export const joinedJobs = (db: Reader) =>
  db
    .selectFrom('job')
    .innerJoin('project', 'project.number', 'job.project')
    .leftJoin('attempt', (join) =>
      join.onRef('attempt.job', '=', 'job.number').onRef('attempt.fence', '=', 'job.attempts'),
    )
    .selectAll('job')
    .select(['project.name as project_name', 'project.path as project_path'])
    .select(['attempt.phase', 'attempt.session_id', 'attempt.branch'])
    .select(waitingData.as('waiting'));

export async function readJob(db: Reader, number: number): Promise<JobView> {
  const row = await joinedJobs(db).where('job.number', '=', number).executeTakeFirst();
  if (!row) throw noSuchJob(jobId(number));
  return jobViewOf(row);
}

async function jobWithKey(db: Reader, key: string | null | undefined): Promise<JoinedJobRow | undefined> {
  if (key === undefined || key === null) return undefined;
  return joinedJobs(db).where('job.idempotency_key', '=', key).executeTakeFirst();
}

/** The number of an id that a person or program gave. Faults: NOT_FOUND. */
export function jobNumber(id: string): JobRow['number'] {
  const number = numberOf('j', id);
  if (number === undefined) throw noSuchJob(id);
  return number;
}

function projectNumber(id: ProjectId): number {
  const number = numberOf('p', id);
  if (number === undefined) throw new Fault('NOT_FOUND', `No project has the id ${id}`, { subject: id });
  return number;
}

const noSuchJob = (id: string): Fault =>
  new Fault('NOT_FOUND', `No job has the id ${id}`, { subject: id, hint: 'List them with `muster job list`.' });

const otherContentFault = (key: string, number: number): Fault =>
  new Fault(
    'WRONG_STATE',
    `The idempotency key ${key} belongs to job ${jobId(number)}, which asks for something else`,
    {
      subject: jobId(number),
      hint: 'Use a new key for new work.',
    },
  );

/** What the submitter asked for. The base is not part of it: the same wish an hour later is still the same wish. */
const contentDigest = (job: NewJob): string =>
  createHash('sha256')
    .update(JSON.stringify([job.projectId, job.text, job.persona, job.agent, job.verify, job.allowEmpty]))
    .digest('hex');
