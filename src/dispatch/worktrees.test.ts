/** The janitor and the person's removals, with a real ledger, real git and real processes. The clock is ours. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { SessionId } from '../base/ids.ts';
import { type Ledger, openLedger } from '../ledger/index.ts';
import { processesIn } from '../platform/processes-in.ts';
import { prepareWorktree } from '../platform/worktree.ts';
import { removeWorktree } from '../platform/worktree-removal.ts';
import type { Outcome } from '../protocol/job.ts';
import type { SessionView } from '../protocol/session.ts';
import type { Pool } from '../sessions/index.ts';
import { branchName, type Places, poolFolder } from './places.ts';
import { openWorktrees, type Retention, type Worktrees, whyNow } from './worktrees.ts';

const day = 24 * 60 * 60 * 1000;
const start = Date.parse('2026-03-01T12:00:00Z');
let now: number;
let dir: string;
let repository: string;
let ledger: Ledger;
let sessions: SessionView[];
let entries: ReturnType<Pool['entries']>;
const opened: Worktrees[] = [];

const run = (at: string, ...args: string[]): string => execFileSync('git', args, { cwd: at, encoding: 'utf8' }).trim();

beforeEach(async () => {
  now = start;
  sessions = [];
  entries = [];
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-janitor-')));
  repository = join(dir, 'repository');
  mkdirSync(repository);
  run(repository, 'init', '-q', '-b', 'main');
  run(repository, 'config', 'user.name', 'Test');
  run(repository, 'config', 'user.email', 'test@localhost');
  writeFileSync(join(repository, 'a.txt'), 'a\n');
  run(repository, 'add', '-A');
  run(repository, 'commit', '-qm', 'first');
  ledger = await openLedger({ file: join(dir, 'ledger.db'), now: () => now });
});
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
  await ledger.close();
  rmSync(dir, { recursive: true, force: true });
});

const root = (): string => join(dir, 'trees');
const log = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };

function open(retention: Partial<Retention> = {}): Worktrees {
  const places: Places = {
    of: () => ({ root: root(), branch: 'muster/{job}-{words}', share: [] }),
    roots: [root()],
    projects: [repository],
  };
  const worktrees = openWorktrees({
    ledger,
    sessions: { list: () => sessions },
    pool: { entries: () => entries },
    places,
    personaPath: () => 'AGENTS.md',
    retention: { keepMs: 14 * day, bytesMax: 1024 ** 4, ...retention },
    clock: () => now,
    log: log as unknown as Parameters<typeof openWorktrees>[0]['log'],
  });
  opened.push(worktrees);
  return worktrees;
}

const failed: Outcome = { kind: 'failed', reason: 'TURN_FAILED', detail: 'x', commit: null, verification: null };

/** A job whose attempt left a worktree with a file in it; without an outcome it still runs. */
async function leave(text: string, outcome: Outcome | undefined, bytes = 10): Promise<{ id: string; path: string }> {
  const project = await ledger.registerProject({ path: repository, name: 'repository' });
  const base = run(repository, 'rev-parse', 'HEAD');
  const { job } = await ledger.submit({
    projectId: project.id,
    text,
    persona: 'dev',
    agent: 'claude',
    verify: null,
    allowEmpty: false,
    baseCommit: base,
    baseRef: 'main',
    submittedBy: 'test',
    idempotencyKey: null,
  });
  const path = join(root(), 'dev', job.id);
  const branch = `muster/${job.id}`;
  const claimed = await ledger.claim(job.id, {
    owner: 'test',
    sessionId: `s-${job.id}` as SessionId,
    branch,
    worktree: path,
  });
  if (!claimed) throw new Error('not claimed');
  const { attempt } = claimed;
  await prepareWorktree({ repository, path, branch, base, ignore: ['AGENTS.md'] });
  writeFileSync(join(path, 'left.txt'), `${job.id} ${'x'.repeat(bytes)}\n`);
  if (outcome) await ledger.settle({ attemptId: attempt.id, outcome });
  return { id: attempt.id, path };
}

const results = (removals: Awaited<ReturnType<Worktrees['prune']>>): string[] =>
  removals.map(({ id, why, result }) => `${id} ${result.kind}: ${why}`);

describe('the janitor', () => {
  test('[D20] takes what is older than it is kept for, at its start, with an event for each and the work on a ref', async () => {
    const old = await leave('Something old', failed);
    now += 10 * day;
    const young = await leave('Something young', failed);
    now += 5 * day;
    open();
    await vi.waitFor(() => expect(existsSync(old.path)).toBe(false), { timeout: 10_000 });
    await opened[0]?.close();
    expect(existsSync(young.path)).toBe(true);
    const told = (await ledger.events()).filter(({ type }) => type === 'worktree.removed');
    expect(told.map(({ attemptId, data }) => ({ attemptId, by: data.by, why: data.why }))).toEqual([
      { attemptId: old.id, by: 'janitor', why: 'it ended more than 14 days ago' },
    ]);
    expect(run(repository, 'show', `${String(told[0]?.data.ref)}:left.txt`)).toMatch(/^j1 x+$/);
  });

  test('[D20] takes the oldest first where they take too much space, and spares the last hour', async () => {
    const first = await leave('Large and old', failed, 3_000_000);
    now += day;
    const second = await leave('Large and newer', failed, 3_000_000);
    now += day;
    const last = await leave('Large and new', failed, 3_000_000);
    now += 30 * 60_000;
    const worktrees = open({ bytesMax: 4_000_000 });
    const wanted = [`${first.id} `, `${second.id} `];
    await vi.waitFor(() => expect([first, second].some(({ path }) => existsSync(path))).toBe(false), {
      timeout: 10_000,
    });
    // The event follows the removal.
    await vi.waitFor(async () => {
      const told = (await ledger.events()).filter(({ type }) => type === 'worktree.removed');
      expect(told.map(({ attemptId }) => `${attemptId} `)).toEqual(wanted);
    });
    expect(existsSync(last.path)).toBe(true);
    expect(await worktrees.prune({ dryRun: false })).toEqual([]);
  });

  test('[D21] leaves what runs, what a session or a process is in, and what the ledger does not know', async () => {
    const runs = await leave('Still runs', undefined);
    const lives = await leave('Has a session', failed);
    const sat = await leave('Has somebody in it', failed);
    const stranger = join(root(), 'dev', 'j99');
    mkdirSync(stranger, { recursive: true });
    writeFileSync(join(stranger, 'mine.txt'), 'mine');
    sessions = [{ id: 's-x', state: 'idle', exit: null, cwd: lives.path, pid: null } as SessionView];
    const child = spawn('sleep', ['60'], { cwd: sat.path });
    const gone = new Promise((done) => child.once('exit', done));
    try {
      await vi.waitFor(async () => expect(await processesIn(sat.path)).toHaveLength(1), { timeout: 5000 });
      now += 100 * day;
      const worktrees = open({ bytesMax: 1 });
      expect(results(await worktrees.prune({ dryRun: false }))).toEqual([
        `${lives.id} kept: it ended more than 14 days ago`,
        `${sat.id} kept: it ended more than 14 days ago`,
      ]);
      expect([runs.path, lives.path, sat.path, stranger].map(existsSync)).toEqual([true, true, true, true]);
      const { worktrees: views } = await worktrees.list();
      expect(
        views.map(({ id, uses, verdict }) => ({ id, uses: uses.map(({ text }) => text), kind: verdict.kind })),
      ).toEqual([
        { id: null, uses: [], kind: 'keeps' },
        { id: runs.id, uses: [`attempt ${runs.id} is claimed`], kind: 'keeps' },
        { id: lives.id, uses: ['session s-x is idle'], kind: 'keeps' },
        { id: sat.id, uses: [`process ${child.pid} (sleep) works there`], kind: 'keeps' },
      ]);
    } finally {
      child.kill('SIGKILL');
      await gone;
    }
  });

  test('[D20] one that can not be removed keeps no other from its turn', async () => {
    const first = repository;
    const lost = await leave('Its repository was deleted', failed);
    repository = join(dir, 'another');
    run(dir, 'clone', '-q', first, repository);
    const fine = await leave('Its repository is there', failed);
    rmSync(first, { recursive: true });
    now += 100 * day;
    const removals = await open().prune({ dryRun: false });
    expect(results(removals)).toEqual([`${lost.id} kept: it ended more than 14 days ago`]);
    expect(removals[0]?.result).toMatchObject({ reason: expect.stringContaining('git could not be started in') });
    expect([lost.path, fine.path].map(existsSync)).toEqual([true, false]);
  });

  test('[D20] a removal that was killed is ended at the next start, whatever the age, and told once with its ref', async () => {
    const { id, path } = await leave('Asked to go and killed', failed);
    const removal = {
      repository,
      path,
      branch: 'muster/j1',
      base: run(repository, 'rev-parse', 'HEAD'),
      ref: 'refs/muster/saved/j1.1-x',
      exclude: [],
    };
    await expect(removeWorktree(removal, () => Promise.reject(new Error('killed')))).rejects.toThrow('killed');
    expect(readdirSync(join(root(), 'dev'))).toEqual(['.j1.muster-removing']);
    // In line behind the janitor's first turn.
    expect(await open().prune({ dryRun: false })).toEqual([]);
    expect(readdirSync(join(root(), 'dev'))).toEqual([]);
    const told = (await ledger.events()).filter(({ type }) => type === 'worktree.removed');
    expect(told.map(({ attemptId, data: { by, why, ref } }) => ({ attemptId, by, why, ref }))).toEqual([
      { attemptId: id, by: 'janitor', why: 'its removal was cut short', ref: removal.ref },
    ]);
    expect(run(repository, 'show', `${removal.ref}:left.txt`)).toMatch(/^j1 x+$/);
  });

  test('[W7] [D20] what a pool made and no session has goes, saved and told; what one has or is about to have stays', async () => {
    const base = run(repository, 'rev-parse', 'HEAD');
    const make = async (name: string): Promise<string> => {
      const path = join(root(), 'dev', name);
      await prepareWorktree({ repository, path, branch: null, base, ignore: ['AGENTS.md'] });
      return path;
    };
    const left = await make(poolFolder('aaaaaaa1'));
    const lives = await make(poolFolder('aaaaaaa2'));
    const starts = await make(poolFolder('aaaaaaa3'));
    const halfMade = await make(poolFolder('aaaaaaa4'));
    const mine = await make('pool-of-mine');
    const alike = await make('pool-aaaaaaa5');
    const former = await make('pool-aaaaaaa6');
    writeFileSync(join(left, 'left.txt'), 'by a person\n');
    run(repository, 'worktree', 'lock', '--reason', 'initializing', halfMade);
    sessions = [
      { id: 's-x', state: 'idle', exit: null, cwd: lives, pid: null } as SessionView,
      { id: 's-z', state: 'exited', exit: { code: 0 }, cwd: former, pool: 'warm' } as SessionView,
      { id: 's-w', state: 'exited', exit: { code: 0 }, cwd: alike, pool: null } as SessionView,
    ];
    entries = [{ id: 's-y', phase: 'starting', worktree: starts } as ReturnType<Pool['entries']>[number]];
    const worktrees = open();
    expect(await worktrees.prune({ dryRun: false })).toEqual([]);
    expect([left, halfMade, former].map(existsSync)).toEqual([false, false, false]);
    expect([lives, starts, mine, alike].map(existsSync)).toEqual([true, true, true, true]);
    const told = (await ledger.events()).filter(({ type }) => type === 'worktree.removed');
    const ref = 'refs/muster/saved/muster-pool-aaaaaaa1';
    expect(told.map(({ data: { worktree, by, why, ref } }) => ({ worktree, by, why, ref }))).toEqual([
      { worktree: left, by: 'janitor', why: 'no session of its pool has it', ref },
      { worktree: halfMade, by: 'janitor', why: 'no session of its pool has it', ref: null },
      { worktree: former, by: 'janitor', why: 'no session of its pool has it', ref: null },
    ]);
    expect(run(repository, 'show', `${ref}:left.txt`)).toBe('by a person');
    expect(run(repository, 'branch', '--format=%(refname:short)')).toBe('main');
    const how = { dryRun: false, discardNested: false };
    expect((await worktrees.remove('muster-pool-aaaaaaa2', how)).result).toEqual({
      kind: 'kept',
      reason: 'session s-x is idle',
    });
    sessions = [];
    expect((await worktrees.remove('muster-pool-aaaaaaa2', how)).result).toEqual({ kind: 'removed', saved: null });
  });

  test('[W7] [D20] what was set aside of a pool goes and is told also if git has forgotten it', async () => {
    const path = join(root(), 'dev', poolFolder('aaaaaaa1'));
    const base = run(repository, 'rev-parse', 'HEAD');
    await prepareWorktree({ repository, path, branch: null, base, ignore: ['AGENTS.md'] });
    writeFileSync(join(path, 'left.txt'), 'by a person\n');
    const ref = 'refs/muster/saved/muster-pool-aaaaaaa1';
    const removal = { repository, path, branch: 'muster-pool-aaaaaaa1', base, ref, exclude: [] };
    await expect(removeWorktree(removal, () => Promise.reject(new Error('killed')))).rejects.toThrow('killed');
    run(repository, 'worktree', 'prune');
    expect(await open().prune({ dryRun: false })).toEqual([]);
    expect(readdirSync(join(root(), 'dev'))).toEqual([]);
    const told = (await ledger.events()).filter(({ type }) => type === 'worktree.removed');
    expect(told.map(({ data: { worktree, why, ref } }) => ({ worktree, why, ref }))).toEqual([
      { worktree: path, why: 'its removal was cut short', ref },
    ]);
  });

  test('what is due is a matter of age, outcome and space alone', () => {
    const keep = { keepMs: 14 * day, bytesMax: 1024 ** 3 };
    const why = (age: number, done = false, over = -1) => whyNow({ age, done, over }, keep);
    expect([
      why(day),
      why(14 * day),
      why(day, true),
      why(1000, true),
      why(day, false, 1),
      why(60_000, false, 1),
    ]).toEqual([
      undefined,
      'it ended more than 14 days ago',
      'its job is done',
      undefined,
      'the worktrees take more than 1 GB',
      undefined,
    ]);
    // Not ended, or not known: its age is without beginning.
    expect(why(Number.NEGATIVE_INFINITY, false, 1)).toBeUndefined();
  });
});

describe('a person', () => {
  test('removes one after a rehearsal that changes nothing', async () => {
    const { id, path } = await leave('Something to remove', failed);
    const worktrees = open();
    const how = { dryRun: true, discardNested: false };
    expect((await worktrees.remove(id, how)).result).toEqual({ kind: 'would-remove', saves: '1 new file' });
    expect(existsSync(path)).toBe(true);
    const removed = await worktrees.remove('j1', { ...how, dryRun: false });
    expect(removed).toMatchObject({ id, path, why: 'asked for', result: { kind: 'removed' } });
    await expect(worktrees.show(id)).rejects.toMatchObject({ code: 'NOT_FOUND', subject: id });
    await expect(worktrees.show('nonsense')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('one outside the roots of today is found by what git and the ledger know', async () => {
    const { id, path } = await leave('Before the root was moved', failed);
    const places: Places = {
      of: () => ({ root: join(dir, 'new'), branch: '', share: [] }),
      roots: [join(dir, 'new')],
      projects: [],
    };
    const worktrees = openWorktrees({
      ledger,
      sessions: { list: () => [] },
      pool: { entries: () => [] },
      places,
      personaPath: () => 'AGENTS.md',
      retention: { keepMs: day, bytesMax: 1024 ** 4 },
      clock: () => now,
      log: log as unknown as Parameters<typeof openWorktrees>[0]['log'],
    });
    opened.push(worktrees);
    expect((await worktrees.list()).worktrees.map((one) => [one.id, one.path])).toEqual([[id, path]]);
  });
});

test('a branch is named by the template; words that are not there go with the sign before them', async () => {
  await leave('Füge "Größe" hinzu: fix it', failed);
  await leave('한국어로만 쓴 작업', failed);
  const [first, second] = [await ledger.job('j1'), await ledger.job('j2')];
  expect(branchName(first, 'muster/{job}-{words}')).toBe('muster/j1-fu-ge-gro-e-hinzu');
  expect(branchName(second, 'muster/{job}-{words}')).toBe('muster/j2');
  expect(branchName(second, '{project}/{persona}.{job}_{agent}')).toBe('repository/dev.j2_claude');
});
