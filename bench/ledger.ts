/**
 * Durable steps a second of the ledger against a plain SQLite loop that writes the same rows, and how long its questions take when it is large.
 *
 *   node bench/ledger.ts [repeats] [events]
 *
 * The candidates are interleaved; medians and ratios are printed. The step that is measured is `advance`: a compare-and-swap and an event in
 * one transaction that is on disk when the promise resolves. The plain loop does the same with two prepared statements on the same settings.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Ledger, openLedger } from '../src/ledger/index.ts';
import type { AttemptPhase } from '../src/protocol/job.ts';

const [repeats = 5, events = 200_000] = process.argv.slice(2).map(Number);
const steps = 2000;
const phases: readonly AttemptPhase[] = ['claimed', 'prepared', 'started', 'delivering', 'delivered', 'ended'];
const scratch = mkdtempSync(join(tmpdir(), 'muster-bench-'));
const data = {
  worktree: '/home/somebody/.muster/worktrees/j1.1',
  branch: 'muster/j1-fix-the-test',
  base: 'b'.repeat(40),
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** One attempt in its first phase for every few steps. */
async function attempts(ledger: Ledger, count: number): Promise<string[]> {
  const { id: projectId } = await ledger.registerProject({ path: '/p', name: 'p' });
  const wanted = {
    projectId,
    text: 'Fix it',
    persona: 'p',
    agent: 'claude',
    verify: null,
    allowEmpty: false,
    baseCommit: 'b',
    baseRef: 'main',
    submittedBy: 'bench',
  };
  const ids: string[] = [];
  for (let number = 0; number < count; number += 1) {
    const { job } = await ledger.submit(wanted);
    const claimed = await ledger.claim(job.id, {
      owner: 'bench',
      sessionId: `s-${job.id}`,
      branch: 'b',
      worktree: '/w',
    });
    if (claimed) ids.push(claimed.attempt.id);
  }
  return ids;
}

async function ledgerSteps(file: string): Promise<number> {
  const ledger = await openLedger({ file, now: Date.now });
  const ids = await attempts(ledger, steps / (phases.length - 1));
  const ms = await timed(async () => {
    for (const attemptId of ids) {
      for (const [index, from] of phases.slice(0, -1).entries()) {
        await ledger.advance({
          attemptId,
          from,
          to: phases[index + 1] ?? 'ended',
          event: { type: 'workspace.prepared', data },
        });
      }
    }
  });
  await ledger.close();
  return steps / (ms / 1000);
}

async function plainSteps(file: string): Promise<number> {
  const database = new DatabaseSync(file);
  database.exec(`pragma journal_mode = wal; pragma synchronous = full;
    create table attempt (id integer primary key, phase text); create index by_phase on attempt (phase);
    create table event (seq integer primary key, at integer, type text, job integer, attempt text, session text, data text);
    create index by_job on event (job, seq); insert into attempt values (1, 'claimed');`);
  const update = database.prepare('update attempt set phase = ? where id = 1');
  const insert = database.prepare(
    'insert into event (at, type, job, attempt, session, data) values (?, ?, ?, ?, ?, ?)',
  );
  const ms = await timed(() => {
    for (let step = 0; step < steps; step += 1) {
      database.exec('begin immediate');
      update.run(phases[step % phases.length] ?? '');
      insert.run(Date.now(), 'workspace.prepared', 1, 'j1.1', 's-j1', JSON.stringify(data));
      database.exec('commit');
    }
  });
  database.close();
  return steps / (ms / 1000);
}

async function large(file: string): Promise<void> {
  const ledger = await openLedger({ file, now: Date.now });
  const [attemptId = ''] = await attempts(ledger, 500);
  await ledger.close();
  const database = new DatabaseSync(file);
  database.exec('begin');
  const insert = database.prepare(`insert into event values (?, ?, 'session.changed', ?, null, null, ?)`);
  const first = Number(Object.values(database.prepare('select max(seq) from event').get() ?? {})[0] ?? 0);
  for (let number = 1; number <= events; number += 1)
    insert.run(first + number, number, 1 + (number % 500), JSON.stringify(data));
  database.exec('commit');
  database.close();
  const opening = performance.now();
  const again = await openLedger({ file, now: Date.now });
  const openMs = performance.now() - opening;
  const questions = {
    'a page of 100 events': () => again.events({ after: events / 2, limit: 100 }),
    'events of one job': () => again.events({ jobId: 'j7', limit: 100 }),
    'a page of 100 jobs': () => again.jobs({ limit: 100 }),
    totals: () => again.totals(),
    'why of one job': () => again.why('j7'),
    'a durable step': () => again.record({ type: 'attempt.resumed', jobId: 'j1', attemptId, data }),
  };
  console.log(
    `\nledger of ${events} events, ${(statSync(file).size / 1e6).toFixed(0)} MB, opened in ${openMs.toFixed(1)} ms; medians of 50`,
  );
  for (const [name, ask] of Object.entries(questions)) {
    const times: number[] = [];
    for (let count = 0; count < 50; count += 1) times.push(await timed(ask));
    console.log(`  ${name.padEnd(22)} ${median(times).toFixed(2)} ms`);
  }
  await again.close();
}

try {
  const found = { ledger: [] as number[], plain: [] as number[] };
  for (let round = 0; round < repeats; round += 1) {
    found.plain.push(await plainSteps(join(scratch, `plain-${round}.db`)));
    found.ledger.push(await ledgerSteps(join(scratch, `ledger-${round}.db`)));
  }
  const [ours, plain] = [median(found.ledger), median(found.plain)];
  console.log(`durable steps a second, one after the other, medians of ${repeats} runs of ${steps}`);
  console.log(`  ledger ${ours.toFixed(0)}   plain SQLite ${plain.toFixed(0)}   ratio ${(ours / plain).toFixed(2)}`);
  await large(join(scratch, 'large.db'));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
