import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Kysely, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { emitter } from '../base/disposal.ts';
import type { ProjectId } from '../base/ids.ts';
import { openSqlite } from '../platform/sqlite.ts';
import type { LedgerEvent } from '../protocol/job.ts';
import { claimBy, newJob, outcomes, projectOfTests, tickingClock, useLedgerFile } from './fixtures/ledger.ts';
import type { Ledger } from './index.ts';
import { registerProject, submitJob } from './jobs.ts';
import { migrate, migrations } from './migrate.ts';
import { readEvents, readTotals } from './reads.ts';
import type { LedgerSchema } from './schema.ts';
import { openSteps } from './steps.ts';

const { file, open } = useLedgerFile();

const writer = fileURLToPath(new URL('./fixtures/writer.ts', import.meta.url));

/** Lets a process write until it has acknowledged so many steps, kills it at once, and answers with all that it acknowledged. */
async function writeAndKill(steps: number): Promise<string[]> {
  const child = spawn(process.execPath, [writer, file()], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const acknowledged: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged.push(line);
    if (acknowledged.length === steps) child.kill('SIGKILL');
  }
  await ended;
  return acknowledged;
}

const order = ['queued', 'running', 'done'];

test('[L1] [L2] [L4] a writer that is killed at any step has lost nothing it acknowledged and left nothing half, and its lock is free', async () => {
  const acknowledged: string[] = [];
  for (const steps of [1, 2, 3, 10, 47, 120]) {
    acknowledged.push(...(await writeAndKill(steps)));
    const ledger = await open();
    await expectWhole(ledger);
    await expectAcknowledged(ledger, acknowledged);
    await ledger.close();
  }
  expect(acknowledged.length).toBeGreaterThanOrEqual(183);
});

async function expectAcknowledged(ledger: Ledger, acknowledged: readonly string[]): Promise<void> {
  const { jobs } = await ledger.jobs({ limit: 1000 });
  const states = new Map(jobs.map((job) => [job.id, job.state]));
  const lost = acknowledged.filter((line) => {
    const [id = '', state = ''] = line.split(' ');
    return order.indexOf(states.get(id) ?? '') < order.indexOf(state);
  });
  expect(lost).toEqual([]);
}

/** Events without gaps, each job's events those of its state, one open attempt for each running job. */
async function expectWhole(ledger: Ledger): Promise<void> {
  const seqs: number[] = [];
  for (
    let page = await ledger.events({ limit: 1000 });
    page.length > 0;
    page = await ledger.events({ after: seqs.at(-1), limit: 1000 })
  ) {
    seqs.push(...page.map((event) => event.seq));
  }
  expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, index) => index + 1));
  const { jobs } = await ledger.jobs({ limit: 1000 });
  const expected = {
    queued: ['job.submitted'],
    running: ['job.submitted', 'job.claimed'],
    done: ['job.submitted', 'job.claimed', 'attempt.settled', 'job.done'],
  };
  for (const job of jobs) {
    const types = (await ledger.events({ jobId: job.id })).map((event) => event.type);
    expect([job.id, types]).toEqual([job.id, expected[job.state as keyof typeof expected]]);
  }
  const running = jobs.filter((job) => job.state === 'running').map((job) => job.id);
  expect((await ledger.openAttempts()).map(({ job }) => job.id)).toEqual(running.toReversed());
}

describe('[L4] one process at a time', () => {
  test('a second one is told who holds it, and gets it when the first has closed it', async () => {
    const ledger = await open({ holder: { pid: 4711, startedAt: 1 } });
    await expect(open()).rejects.toMatchObject({
      code: 'LEDGER_BUSY',
      message: `${file()} is held by another process ({"pid":4711,"startedAt":1})`,
    });
    await ledger.close();
    expect(await (await open()).lastSeq()).toBe(0);
  });
});

describe('[L5] what is no ledger of ours is refused and left as it is', () => {
  test('a file that is no database', async () => {
    const content = 'this is a shopping list\n'.repeat(100);
    writeFileSync(file(), content);
    await expect(open()).rejects.toMatchObject({ code: 'LEDGER_DAMAGED', subject: file() });
    expect(readFileSync(file(), 'utf8')).toBe(content);
  });

  test('a ledger whose pages are damaged', async () => {
    const ledger = await open();
    const project = await projectOfTests(ledger);
    for (let count = 0; count < 50; count += 1) await ledger.submit(newJob(project));
    await ledger.close();
    const bytes = readFileSync(file());
    bytes.fill(0xff, 4096);
    writeFileSync(file(), bytes);
    await expect(open().then((again) => again.submit(newJob(project)))).rejects.toMatchObject({
      code: 'LEDGER_DAMAGED',
    });
  });

  test('a ledger of a newer version', async () => {
    await (await open()).close();
    const store = openSqlite<LedgerSchema>(file());
    await store.db.insertInto('schema_version').values({ version: 99, name: 'of the future', applied_at: 1 }).execute();
    await store.close();
    await expect(open()).rejects.toMatchObject({ code: 'LEDGER_NEWER', subject: file() });
  });

  test('a folder that is not there', async () => {
    await expect(open({ file: `${file()}/no/ledger.db` })).rejects.toMatchObject({ code: 'LEDGER_UNREACHABLE' });
  });
});

describe('[L6] migrations', () => {
  const second = {
    version: 2,
    name: 'notes',
    up: async (db: Kysely<LedgerSchema>) => {
      await sql.raw('create table note (number integer primary key)').execute(db);
      await sql.raw('insert into note values (1)').execute(db);
    },
  };

  async function oldLedger(): Promise<void> {
    const ledger = await open();
    await projectOfTests(ledger);
    await ledger.close();
  }

  test('a copy of a ledger that holds something is laid beside it first', async () => {
    await oldLedger();
    expect(existsSync(`${file()}.before-0001`)).toBe(false);
    const store = openSqlite<LedgerSchema>(file());
    expect(await migrate({ store, file: file(), now: tickingClock(), list: [...migrations, second] })).toEqual({
      from: 1,
      to: 2,
    });
    await store.close();
    const copy = await open({ file: `${file()}.before-0002` });
    expect((await copy.events()).map((event) => event.type)).toEqual(['project.registered']);
  });

  test('one that fails leaves the ledger at the version before', async () => {
    await oldLedger();
    const store = openSqlite<LedgerSchema>(file());
    const failing = {
      ...second,
      up: async (db: Kysely<LedgerSchema>) => {
        await second.up(db);
        throw new Error('half way');
      },
    };
    await expect(migrate({ store, file: file(), now: tickingClock(), list: [...migrations, failing] })).rejects.toThrow(
      'half way',
    );
    await store.close();
    const ledger = await open();
    expect(await ledger.lastSeq()).toBe(1);
  });
});

test('[L3] a full disk refuses the step with a fault, leaves nothing half, and the ledger goes on when there is space', async () => {
  const store = openSqlite<LedgerSchema>(file());
  await migrate({ store, file: file(), now: tickingClock() });
  const published = emitter<LedgerEvent>(() => undefined);
  const heard: number[] = [];
  published.on((event) => heard.push(event.seq));
  const steps = openSteps(store.db, tickingClock(), published);
  await steps.run((step) => registerProject(step, { path: '/p', name: 'p' }));
  const submit = () => steps.run((step) => submitJob(step, newJob('p1' as ProjectId, { text: 'x'.repeat(20_000) })));
  const pages = await sql<{ page_count: number }>`pragma page_count`.execute(store.db);
  await sql.raw(`pragma max_page_count = ${(pages.rows[0]?.page_count ?? 0) + 20}`).execute(store.db);
  const results = await Promise.allSettled(Array.from({ length: 10 }, submit));
  const refused = results.filter((result) => result.status === 'rejected');
  const done = 10 - refused.length;
  expect(refused.length).toBeGreaterThan(0);
  expect(refused.map((result) => result.reason)).toEqual(
    refused.map(() => expect.objectContaining({ code: 'DISK_FULL', status: 507 })),
  );
  const written = { total: done, events: done + 1, heard: done + 1 };
  const found = async () => ({
    total: (await readTotals(store.db)).total,
    events: (await readEvents(store.db, {})).length,
    heard: heard.length,
  });
  expect(await found()).toEqual(written);
  await sql.raw('pragma max_page_count = 100000').execute(store.db);
  expect((await submit()).job.id).toBe(`j${done + 1}`);
  expect(await found()).toEqual({ total: done + 1, events: done + 2, heard: done + 2 });
  await store.close();
});

describe('[L14] [L16] the database itself refuses', () => {
  test.each([
    ['update event set type = $$', 'event rows that are final never change'],
    ['delete from event', 'event rows that are final never change'],
    [
      `update attempt set outcome = null, ended_at = null, phase = 'claimed'`,
      'attempt rows that are final never change',
    ],
    ['delete from attempt', 'attempt rows that are final never change'],
    [`update job set state = 'paused'`, 'CHECK constraint failed'],
    [`update job set state = 'queued'`, 'CHECK constraint failed'],
    [
      `insert into attempt select 'j1.2', job, 2, 'paused', owner, session_id, branch, worktree, 1, null, null, null, null from attempt`,
      'CHECK constraint failed',
    ],
    [`insert into event values (9, 1, 'x', 77, null, null, '{}')`, 'FOREIGN KEY constraint failed'],
  ])('%s', async (statement, reason) => {
    const ledger = await open();
    await ledger.submit(newJob(await projectOfTests(ledger)));
    await ledger.claim('j1', claimBy('a'));
    await ledger.settle({ attemptId: 'j1.1', outcome: outcomes.failed });
    await ledger.close();
    const store = openSqlite<LedgerSchema>(file());
    try {
      await expect(sql.raw(statement.replace('$$', `'x'`)).execute(store.db)).rejects.toThrow(reason);
    } finally {
      await store.close();
    }
  });

  test('[L15] a second open attempt at a job', async () => {
    const ledger = await open();
    await ledger.submit(newJob(await projectOfTests(ledger)));
    await ledger.claim('j1', claimBy('a'));
    await ledger.close();
    const store = openSqlite<LedgerSchema>(file());
    const copy = `insert into attempt select 'j1.2', job, 2, phase, owner, session_id, branch, worktree, 1, null, null, null, null from attempt`;
    await expect(sql.raw(copy).execute(store.db)).rejects.toThrow('UNIQUE constraint failed');
    await store.close();
  });
});
