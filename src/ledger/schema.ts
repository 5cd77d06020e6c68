/** The rows as the database keeps them: truth values are 0 and 1, instants epoch milliseconds, structures JSON text. */
import type { AttemptPhase, EventType, JobState } from '../protocol/job.ts';

export interface ProjectRow {
  number: number;
  path: string;
  name: string;
  registered_at: number;
}

export interface JobRow {
  number: number;
  state: JobState;
  project: number;
  text: string;
  persona: string;
  agent: string;
  verify: string | null;
  allow_empty: 0 | 1;
  base_commit: string;
  base_ref: string;
  submitted_at: number;
  submitted_by: string;
  idempotency_key: string | null;
  /** Hex SHA-256 of what the submitter asked for; the same key must come with the same content. */
  content_digest: string;
  cancel_requested: 0 | 1;
  /** How many attempts there have been: the fencing number of the newest. */
  attempts: number;
  ended_at: number | null;
  outcome: string | null;
}

export interface AttemptRow {
  id: string;
  job: number;
  fence: number;
  phase: AttemptPhase;
  owner: string;
  session_id: string;
  branch: string;
  worktree: string;
  started_at: number;
  ended_at: number | null;
  prompt: string | null;
  commit_id: string | null;
  outcome: string | null;
}

export interface EventRow {
  seq: number;
  at: number;
  type: EventType;
  job: number | null;
  attempt: string | null;
  session: string | null;
  data: string;
}

export interface SchemaVersionRow {
  version: number;
  name: string;
  applied_at: number;
}

export interface LedgerSchema {
  project: ProjectRow;
  job: JobRow;
  attempt: AttemptRow;
  event: EventRow;
  schema_version: SchemaVersionRow;
}
