/**
 * One SQLite file behind Kysely, on Node's own `node:sqlite`. Everything that only SQLite knows is in this file, so that the rooms above
 * write queries which a second dialect (PostgreSQL) can run as well.
 *
 * Order: open → the adapter that Kysely's SQLite dialect drives → copies → the hooks that migrations use for what differs by dialect.
 *
 * Invariants: WAL with synchronous=FULL, so that a commit that was acknowledged survives a power cut; one connection, and Kysely's own
 * first-come-first-served mutex in front of it; transactions take the write lock when they begin, so that none fails half way for want
 * of it. A file that someone else keeps locked gives `LEDGER_BUSY` after `busyTimeoutMs`.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { Kysely, type SqliteDatabase, SqliteDialect, type SqliteStatement } from 'kysely';
import { isErrno } from '../base/fault.ts';
import { explained } from './sqlite-faults.ts';

/** How long a statement waits for another process's lock: longer than any checkpoint or backup step, shorter than a person's patience. */
const busyTimeoutMs = 5000;
/** Prepared statements kept; the rooms use a few dozen. The oldest is dropped at the limit. */
const statementsMax = 200;

export interface Store<Schema> {
  readonly db: Kysely<Schema>;
  readonly hooks: StoreHooks;
  /** A consistent copy beside the live file, complete and on disk when this returns; an older file of that name is replaced. */
  readonly copyTo: (path: string) => void;
  readonly close: () => Promise<void>;
}

/** What migrations need and each dialect says differently: statements to run. */
export interface StoreHooks {
  /** Makes the database refuse updates and deletes of rows of `table`. */
  readonly appendOnly: (table: string) => readonly string[];
  /** Makes the database refuse deletes of any row, and updates of rows for which `condition` held before. */
  readonly frozenWhen: (table: string, condition: string) => readonly string[];
}

/** Opens or creates the file (mode 0600). Faults: LEDGER_DAMAGED, LEDGER_BUSY, LEDGER_UNREACHABLE, DISK_FULL. */
export function openSqlite<Schema>(file: string): Store<Schema> {
  const database = openDatabase(file);
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: adapt(database, file) }) });
  return {
    db,
    hooks: sqliteHooks,
    copyTo: (path) => copyDatabase(database, file, path),
    close: async () => {
      await db.destroy();
      // A Kysely that was never used does not close what it was given.
      if (database.isOpen) database.close();
    },
  };
}

function openDatabase(file: string): DatabaseSync {
  return explained(file, () => {
    createPrivately(file);
    const database = new DatabaseSync(file, { timeout: busyTimeoutMs, enableForeignKeyConstraints: true });
    try {
      database.exec('pragma journal_mode = wal; pragma synchronous = full;');
    } catch (error) {
      database.close();
      throw error;
    }
    return database;
  });
}

/**
 * The -wal and -shm files take over the mode. A file that is there is not touched: closing any descriptor of it would drop the locks
 * that this process may hold on it (POSIX locks belong to the process).
 */
function createPrivately(file: string): void {
  try {
    closeSync(openSync(file, 'ax', 0o600));
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
}

/** `begin` becomes `begin immediate`; `rollback` after SQLite itself has rolled back is no error, so that the first error is seen. */
function adapt(database: DatabaseSync, file: string): SqliteDatabase {
  const statements = new Map<string, SqliteStatement>();
  const prepare = (sql: string): SqliteStatement => {
    if (sql === 'rollback' && !database.isTransaction) return nothing;
    const known = statements.get(sql);
    if (known) return known;
    const made = adaptStatement(
      explained(file, () => database.prepare(sql === 'begin' ? 'begin immediate' : sql)),
      file,
    );
    const oldest = statements.size >= statementsMax ? statements.keys().next().value : undefined;
    if (oldest !== undefined) statements.delete(oldest);
    statements.set(sql, made);
    return made;
  };
  return { prepare, close: () => database.close() };
}

function adaptStatement(statement: StatementSync, file: string): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => explained(file, () => statement.all(...(parameters as readonly SQLInputValue[]))),
    run: (parameters) => explained(file, () => statement.run(...(parameters as readonly SQLInputValue[]))),
    iterate: (parameters) => statement.iterate(...(parameters as readonly SQLInputValue[])),
  };
}

const nothing: SqliteStatement = {
  reader: false,
  all: () => [],
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  iterate: () => [][Symbol.iterator](),
};

/** VACUUM INTO does not flush its output, hence the fsync before the rename. */
function copyDatabase(database: DatabaseSync, file: string, path: string): void {
  const beside = `${path}.partial`;
  explained(file, () => {
    rmSync(beside, { force: true });
    database.prepare('vacuum into ?').run(beside);
    flush(beside);
    renameSync(beside, path);
    flush(dirname(path));
  });
}

function flush(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

const forbid = (name: string, table: string, action: string, when: string): string =>
  `create trigger ${name} before ${action} on ${table} ${when}
   begin select raise(abort, '${table} rows that are final never change'); end`;

const sqliteHooks: StoreHooks = {
  appendOnly: (table) => [
    forbid(`${table}_keeps_rows`, table, 'delete', ''),
    forbid(`${table}_keeps_content`, table, 'update', ''),
  ],
  frozenWhen: (table, condition) => [
    forbid(`${table}_keeps_rows`, table, 'delete', ''),
    forbid(`${table}_keeps_content`, table, 'update', `when (${condition})`),
  ],
};
