/**
 * [L6] Brings a ledger file to the schema of this code: numbered migrations, one transaction each, so that a crash leaves it at a whole
 * version. Before a ledger that holds something is changed, a copy of it is laid beside it (`<file>.before-0002`).
 */
import { type Kysely, sql } from 'kysely';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Store, StoreHooks } from '../platform/sqlite.ts';
import { migration as first } from './migrations/0001-jobs-attempts-events.ts';
import type { LedgerSchema } from './schema.ts';

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly up: (db: Kysely<LedgerSchema>, hooks: StoreHooks) => Promise<void>;
}

/** In order, without gaps. */
export const migrations: readonly Migration[] = [first];

export interface MigrateOptions {
  readonly store: Store<LedgerSchema>;
  readonly file: string;
  readonly now: Clock;
  /** Another list than ours is for tests of this function only. */
  readonly list?: readonly Migration[];
}

/** Answers with the version it found and the one it is at now. Faults: LEDGER_NEWER. */
export async function migrate(options: MigrateOptions): Promise<{ readonly from: number; readonly to: number }> {
  const { store, file, now } = options;
  const list = options.list ?? migrations;
  assert(
    list.every((migration, index) => migration.version === index + 1),
    'migrations are numbered 1, 2, 3, …',
  );
  const from = await versionOf(store.db);
  if (from > list.length) throw newerFault(file, from, list.length);
  for (const migration of list.slice(from)) {
    if (migration.version > 1) store.copyTo(`${file}.before-${String(migration.version).padStart(4, '0')}`);
    await store.db.transaction().execute(async (db) => {
      await migration.up(db, store.hooks);
      await db
        .insertInto('schema_version')
        .values({ version: migration.version, name: migration.name, applied_at: now() })
        .execute();
    });
  }
  return { from, to: list.length };
}

/** 0 for a new file. */
async function versionOf(db: Kysely<LedgerSchema>): Promise<number> {
  await sql
    .raw(
      'create table if not exists schema_version (version integer primary key, name text not null, applied_at bigint not null)',
    )
    .execute(db);
  const row = await db
    .selectFrom('schema_version')
    .select((eb) => eb.fn.max('version').as('version'))
    .executeTakeFirst();
  return row?.version ?? 0;
}

const newerFault = (file: string, found: number, known: number): Fault =>
  new Fault('LEDGER_NEWER', `${file} has schema version ${found}; this version of Muster knows up to ${known}`, {
    subject: file,
    hint: `Run the newer version again, or go back to the copy ${file}.before-${String(known + 1).padStart(4, '0')}.`,
  });
