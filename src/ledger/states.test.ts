import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { openSqlite } from '../platform/sqlite.ts';
import { attemptPhases, jobStates, outcomeSchema } from '../protocol/job.ts';
import { useLedgerFile } from './fixtures/ledger.ts';
import type { LedgerSchema } from './schema.ts';
import { attemptTransitions, jobStateAfter, jobTransitions } from './states.ts';

const { open, file } = useLedgerFile();

/** The words of the list in `column in (…)` of a table's constraints. */
async function constraintWords(table: string, column: string): Promise<string[]> {
  const store = openSqlite<LedgerSchema>(file());
  const { rows } = await sql<{
    sql: string;
  }>`select sql from sqlite_master where type = 'table' and name = ${table}`.execute(store.db);
  await store.close();
  const list = new RegExp(`check \\(${column} in \\(([^)]*)\\)`).exec(rows[0]?.sql ?? '')?.[1] ?? '';
  return [...list.matchAll(/'([^']*)'/g)].map((match) => match[1] ?? '');
}

test('[L7] the tables and the constraints of the database hold the words of the protocol', async () => {
  await (await open()).close();
  expect(Object.keys(jobTransitions)).toEqual([...jobStates]);
  expect(Object.keys(attemptTransitions)).toEqual([...attemptPhases]);
  expect(await constraintWords('job', 'state')).toEqual([...jobStates]);
  expect(await constraintWords('attempt', 'phase')).toEqual([...attemptPhases]);
});

test('[L7] every open phase leads on to the next one or to the end, and the end leads nowhere', () => {
  const next = attemptPhases.map((phase, index) => [
    phase,
    [...new Set([attemptPhases[index + 1] ?? [], 'settled'].flat())],
  ]);
  expect({ ...attemptTransitions }).toEqual({ ...Object.fromEntries(next), settled: [] });
});

test('[L7] every outcome is an end that a running job may come to', () => {
  const kinds = outcomeSchema.options.map((option) => option.shape.kind.value);
  expect(Object.keys(jobStateAfter).toSorted()).toEqual([...kinds].toSorted());
  expect(Object.values(jobStateAfter).toSorted()).toEqual([...jobTransitions.running].toSorted());
});
