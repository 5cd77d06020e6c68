/** Rows become what the faces see, and what dispatch needs beside that. */
import type { Selectable } from 'kysely';
import { type AttemptId, attemptId, type JobId, jobId, type ProjectId, type SessionId } from '../base/ids.ts';
import { type AttemptView, type JobView, type LedgerEvent, type Outcome, outcomeSchema } from '../protocol/job.ts';
import type { AttemptRow, EventRow, JobRow, ProjectRow } from './schema.ts';

export interface Project {
  readonly id: ProjectId;
  readonly path: string;
  readonly name: string;
  readonly registeredAt: number;
}

/** An attempt with what is needed beside the view to go on with it after a restart. */
export interface Attempt extends AttemptView {
  readonly jobId: JobId;
  readonly owner: string;
}

/** An attempt without an outcome, and its job as it is then. */
export interface OpenAttempt {
  readonly job: JobView;
  readonly attempt: Attempt;
  /** Who asked to cancel it; null: nobody. */
  readonly cancelledBy: string | null;
}

/** A job's row with its project and its newest attempt. */
export interface JoinedJobRow extends Selectable<JobRow> {
  readonly project_name: string;
  readonly project_path: string;
  readonly phase: AttemptRow['phase'] | null;
  readonly session_id: string | null;
  readonly branch: string | null;
  /** Data of the event that says why it waits, if that is the last one of a queued job. */
  readonly waiting: string | null;
}

export const projectId = (number: number): ProjectId => `p${number}` as ProjectId;

/** The number in `j12` or `p3`; undefined if the text is no such id. */
export function numberOf(kind: 'j' | 'p', id: string): number | undefined {
  const match = /^([jp])([1-9]\d{0,9})$/.exec(id);
  return match?.[1] === kind ? Number(match[2]) : undefined;
}

export const projectOf = (row: ProjectRow): Project => ({
  id: projectId(row.number),
  path: row.path,
  name: row.name,
  registeredAt: row.registered_at,
});

export function jobViewOf(row: JoinedJobRow): JobView {
  return {
    id: jobId(row.number),
    state: row.state,
    text: row.text,
    project: row.project_name,
    projectPath: row.project_path,
    persona: row.persona,
    agent: row.agent,
    verify: row.verify,
    allowEmpty: row.allow_empty === 1,
    baseCommit: row.base_commit,
    baseRef: row.base_ref,
    submittedAt: row.submitted_at,
    submittedBy: row.submitted_by,
    endedAt: row.ended_at,
    cancelRequested: row.cancel_requested === 1,
    waiting: waitingOf(row.waiting),
    attempts: row.attempts,
    phase: row.phase,
    sessionId: row.session_id,
    branch: row.branch,
    outcome: outcomeOf(row.outcome),
  };
}

export function attemptOf(row: AttemptRow): Attempt {
  const job = jobId(row.job);
  return {
    id: attemptId(job, row.fence) satisfies AttemptId,
    jobId: job,
    fence: row.fence,
    phase: row.phase,
    owner: row.owner,
    sessionId: row.session_id as SessionId,
    branch: row.branch,
    worktree: row.worktree,
    startedAt: row.started_at,
    endedAt: row.ended_at,
    personaVersion: null,
    prompt: row.prompt,
    commit: row.commit_id,
    outcome: outcomeOf(row.outcome),
  };
}

export const eventOf = (row: EventRow): LedgerEvent => ({
  seq: row.seq,
  at: row.at,
  type: row.type,
  jobId: row.job === null ? null : jobId(row.job),
  attemptId: row.attempt,
  sessionId: row.session,
  data: JSON.parse(row.data) as Record<string, unknown>,
});

/** `job.waiting` as docs/events.md has it. */
function waitingOf(text: string | null): string | null {
  if (text === null) return null;
  const { reason, until } = JSON.parse(text) as Record<string, unknown>;
  return `${String(reason)}; it starts when ${String(until)}`;
}

const outcomeOf = (text: string | null): Outcome | null =>
  text === null ? null : outcomeSchema.parse(JSON.parse(text));
