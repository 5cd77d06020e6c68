/**
 * The first tables. A migration never changes once it is released, which is why its lists of words are written out here and not
 * imported; states.test.ts holds the newest schema equal to the unions.
 */
import { sql } from 'kysely';
import type { Migration } from '../migrate.ts';

const jobStateWords = `'queued','running','done','failed','unknown','cancelled'`;
const phaseWords = `'claimed','prepared','started','delivering','delivered','ended','captured','verified','landed','settled'`;

/** Columns are common SQL; `integer` holds 2^31 rows where the dialect is strict about it, instants need `bigint`. */
const statements = [
  `create table project (
    number integer primary key,
    path text not null unique,
    name text not null,
    registered_at bigint not null
  )`,
  `create table job (
    number integer primary key,
    state text not null check (state in (${jobStateWords})),
    project integer not null references project (number),
    text text not null,
    persona text not null,
    agent text not null,
    verify text,
    allow_empty integer not null check (allow_empty in (0, 1)),
    base_commit text not null,
    base_ref text not null,
    submitted_at bigint not null,
    submitted_by text not null,
    idempotency_key text unique,
    content_digest text not null,
    cancel_requested integer not null default 0 check (cancel_requested in (0, 1)),
    attempts integer not null default 0 check (attempts >= 0),
    ended_at bigint,
    outcome text,
    check ((state in ('queued','running')) = (outcome is null)),
    check ((outcome is null) = (ended_at is null))
  )`,
  `create index job_by_state on job (state, number)`,
  `create table attempt (
    id text primary key,
    job integer not null references job (number),
    fence integer not null check (fence >= 1),
    phase text not null check (phase in (${phaseWords})),
    owner text not null,
    session_id text not null,
    branch text not null,
    worktree text not null,
    started_at bigint not null,
    ended_at bigint,
    prompt text,
    commit_id text,
    outcome text,
    unique (job, fence),
    check ((phase = 'settled') = (outcome is not null)),
    check ((outcome is null) = (ended_at is null))
  )`,
  `create index attempt_by_session on attempt (session_id)`,
  // [L15] At most one open attempt per job, whatever the code believes.
  `create unique index attempt_open on attempt (job) where phase <> 'settled'`,
  `create table event (
    seq integer primary key,
    at bigint not null,
    type text not null,
    job integer references job (number),
    attempt text references attempt (id),
    session text,
    data text not null
  )`,
  `create index event_by_job on event (job, seq)`,
];

export const migration: Migration = {
  version: 1,
  name: 'jobs-attempts-events',
  up: async (db, hooks) => {
    // [L14] [L16] What is final stays so, whoever writes.
    const guards = [...hooks.appendOnly('event'), ...hooks.frozenWhen('attempt', `old.phase = 'settled'`)];
    for (const statement of [...statements, ...guards]) await sql.raw(statement).execute(db);
  },
};
