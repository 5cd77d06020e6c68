/** A pool over the real sessions room: a real host, the scripted agent on real PTYs, real processes. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Agent } from '../../agents/agent.ts';
import { agents } from '../../agents/index.ts';
import { systemClock } from '../../base/clock.ts';
import type { SessionId } from '../../base/ids.ts';
import { silentLog } from '../../base/log.ts';
import { type Home, homeAt } from '../../platform/home.ts';
import { findByMark } from '../../platform/processes.ts';
import { openSessions, type Sessions } from '../sessions.ts';
import type { PoolPolicy } from './plan.ts';
import { openPool, type Pool, type PoolOptions } from './pool.ts';

const scriptedAgent = join(import.meta.dirname, '../../../test/peers/scripted-agent.ts');
const claude = agents.get('claude') as Agent;
const project = '/project';
const policy: PoolPolicy = {
  warm: { fe: 1 },
  reuse: 'persona',
  warmMax: 3,
  coldMax: 3,
  idleMs: 600_000,
  toolCallsMax: 800,
  ageMs: 3_600_000,
};
const want = { project, persona: 'fe', agent: 'claude' };
const patience = { timeout: 20_000, interval: 20 };

let dir: string;
let home: Home;
let sessions: Sessions;
let pool: Pool;
let version: string;
let news: string[];

async function openAll(change: Partial<PoolPolicy> = {}, how: Partial<PoolOptions> = {}): Promise<void> {
  sessions = await openSessions({
    home,
    agents,
    clock: systemClock,
    log: silentLog,
    recordingBytesMax: 0,
    news: { onChange: () => undefined, onHost: () => undefined },
  });
  pool = openPool({
    sessions,
    policies: new Map([[project, { ...policy, ...change }]]),
    personaOf: async () => ({ personaVersion: version, launch: 'as configured', agent: 'claude' }),
    launch: async ({ id, mark, worktree }) => {
      mkdirSync(worktree, { recursive: true });
      const env = { PATH: process.env.PATH ?? '', HOME: dir, SCRIPTED_AGENT_LOG: join(dir, 'prompts.ndjson') };
      return sessions.start({
        id,
        agent: claude,
        found: { file: process.execPath, args: [scriptedAgent], version: '2.1.328' },
        persona: mark.persona,
        title: 'pooled',
        cwd: worktree,
        env,
        permissions: 'ask',
        model: undefined,
        resumeId: undefined,
        extraArgs: [],
        pool: mark,
      });
    },
    removeWorktree: async ({ worktree }) => rmSync(worktree, { recursive: true, force: true }),
    onNews: (type) => news.push(type),
    worktreeOf: (_, persona, name) => join(dir, 'worktrees', persona, name),
    limits: { startMs: 15_000, setupMs: 1000 },
    clock: systemClock,
    log: silentLog,
    ...how,
  });
  pool.look();
}

beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-pool-')));
  home = homeAt(join(dir, 'home'));
  for (const each of [home.dir, home.run, home.logs]) mkdirSync(each, { mode: 0o700 });
  version = 'v1';
  news = [];
});
afterEach(async () => {
  await pool.close();
  await sessions.close('end');
  rmSync(dir, { recursive: true, force: true });
});

const ready = (): Promise<SessionId> =>
  vi.waitFor(() => {
    const found = pool.entries().find((entry) => entry.phase === 'ready');
    if (!found) throw new Error(`nothing is ready: ${JSON.stringify(pool.entries())}`);
    return found.id;
  }, patience);
const work = async (id: SessionId, text: string): Promise<void> => {
  expect(await sessions.deliver(id, { inputId: `p-${text}`, text, readyMs: 10_000 })).toMatchObject({
    kind: 'accepted',
  });
  expect((await sessions.turnEnd(id, { limitMs: 15_000 })).kind).toBe('done');
};

test('[W1] [W5] a warm one stands ready before any job, is given once, and comes back with another conversation', async () => {
  await openAll();
  const id = await ready();
  const before = sessions.get(id)?.resumeId;
  const [first, second] = await Promise.all([pool.take(want), pool.take(want)]);
  expect([first?.id, second]).toEqual([id, undefined]);
  await work(id, 'Do the first thing');
  expect(await pool.keeps(id)).toBe(true);
  await pool.refresh(id);
  expect(await ready()).toBe(id);
  expect(sessions.get(id)?.resumeId).not.toBe(before);
  await work((await pool.take(want))?.id ?? ('none' as SessionId), 'Do the second thing');
  const rows = readFileSync(join(dir, 'prompts.ndjson'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { pid: number; conversation: string });
  expect(new Set(rows.map((row) => row.pid)).size).toBe(1);
  expect(new Set(rows.map((row) => row.conversation)).size).toBe(2);
});

test('[W6] one in which a job left something running is not kept', async () => {
  await openAll();
  const id = await ready();
  await pool.take(want);
  await work(id, 'Leave something\n@orphan');
  expect(await pool.keeps(id)).toBe(false);
  expect(pool.entries().some((entry) => entry.id === id)).toBe(false);
});

test('[W6] nor one in whose folder a job left something without our mark', async () => {
  await openAll();
  const id = await ready();
  await pool.take(want);
  await work(id, 'Leave something\n@run env -i setsid sleep 3 </dev/null >/dev/null 2>&1 &');
  expect(await pool.keeps(id)).toBe(false);
});

test('[W3] [W7] a changed persona replaces the one that stands ready', async () => {
  await openAll();
  const id = await ready();
  version = 'v2';
  pool.look();
  await vi.waitFor(() => expect(sessions.get(id)?.exit).not.toBeNull(), patience);
  expect(await ready()).not.toBe(id);
  expect(news.filter((type) => type === 'pool.retired')).toHaveLength(1);
});

test('[W8] after a restart the pool finds its own again, and starts none beside it', async () => {
  await openAll();
  const id = await ready();
  await pool.close();
  await sessions.close('keep');
  await openAll();
  expect(pool.entries().map((entry) => [entry.id, entry.phase])).toEqual([[id, 'taken']]);
  const conversation = sessions.get(id)?.resumeId;
  await pool.recover(id);
  expect(await ready()).toBe(id);
  expect(sessions.get(id)?.resumeId).toBe(conversation);
  expect(sessions.list().filter((session) => session.exit === null)).toHaveLength(1);
});

test('[W6] [W8] after a restart in the middle of a job the agent itself is nothing that the job left', async () => {
  await openAll();
  const id = await ready();
  await pool.take(want);
  await work(id, 'Do the first thing');
  await pool.close();
  await sessions.close('keep');
  await openAll();
  expect(await pool.keeps(id)).toBe(true);
  await sessions.noteOwn(id, []);
  expect(await pool.keeps(id)).toBe(false);
});

test('[W9] what a person prompts while it stands ready is theirs: no job gets it, also after a restart', async () => {
  await openAll();
  const id = await ready();
  await work(id, 'A question of mine');
  expect(await pool.take(want)).toBeUndefined();
  expect(pool.entries().find((entry) => entry.id === id)?.phase).toBe('personal');
  expect(await ready()).not.toBe(id);
  const conversation = sessions.get(id)?.resumeId;
  await pool.close();
  await sessions.close('keep');
  await openAll({ warm: {} });
  await pool.recover(id);
  expect(pool.entries().find((entry) => entry.id === id)?.phase).toBe('personal');
  expect(sessions.get(id)).toMatchObject({ exit: null, resumeId: conversation });
});

test("[W9] a person's prompt on its way makes it theirs before the turn begins", async () => {
  await openAll();
  const id = await ready();
  const record = join(home.sessions, id, 'session.json');
  const sent = sessions.deliver(id, { inputId: 'mine', text: 'A question of mine', readyMs: 0 });
  await vi.waitFor(() => expect(readFileSync(record, 'utf8')).toContain('"begun"'), { timeout: 5000, interval: 1 });
  expect(sessions.get(id)?.turns).toBe(0);
  expect(await pool.take(want)).toBeUndefined();
  expect(await sent).toMatchObject({ kind: 'accepted' });
});

test('[W9] one that was taken and is put back is theirs if a person has used it meanwhile', async () => {
  await openAll();
  const id = await ready();
  await pool.take(want);
  await work(id, 'A question of mine');
  pool.putBack(id);
  await vi.waitFor(() => expect(pool.entries().find((entry) => entry.id === id)?.phase).not.toBe('taken'), patience);
  expect(await pool.take(want)).toBeUndefined();
  expect(pool.entries().find((entry) => entry.id === id)?.phase).toBe('personal');
});

test('[W9] one into which a person types is not ended for want of memory, before any look', async () => {
  await openAll();
  const id = await ready();
  const terminal = await sessions.openTerminal(id, { onMessage: () => undefined, onOutput: () => undefined });
  await terminal?.input('half a thou');
  expect(pool.entries().find((entry) => entry.id === id)?.phase).toBe('personal');
  expect(await pool.retire(id, 'memory is short')).toBe(false);
  expect(sessions.get(id)?.exit).toBeNull();
  terminal?.close();
});

/** The record of a session can't be written until the answer is called. */
function block(id: SessionId): () => void {
  const record = join(home.sessions, id, 'session.json');
  renameSync(record, `${record}.aside`);
  mkdirSync(record);
  return () => {
    rmSync(record, { recursive: true });
    renameSync(`${record}.aside`, record);
  };
}

test('[W9] one that could not be taken stands ready as before: what a person prompts then is theirs', async () => {
  await openAll();
  const id = await ready();
  const unblock = block(id);
  await expect(pool.take(want)).rejects.toThrow(/EISDIR/);
  unblock();
  await work(id, 'A question of mine');
  expect(await pool.take(want)).toBeUndefined();
  expect(pool.entries().find((entry) => entry.id === id)?.phase).toBe('personal');
});

test('[W11] one that could not be put back, for want of disk, is put back by a later look', async () => {
  await openAll();
  const id = await ready();
  await pool.take(want);
  const unblock = block(id);
  pool.putBack(id);
  // In line behind the write that fails.
  await expect(sessions.noteOwn(id, [])).rejects.toThrow(/EISDIR/);
  unblock();
  expect(pool.entries().map(({ phase }) => phase)).toEqual(['taken']);
  await vi.waitFor(() => {
    pool.look();
    expect(pool.entries().map(({ phase }) => phase)).toEqual(['ready']);
  }, patience);
});

test('[W11] nor does one that could not be made ready stay so', async () => {
  await openAll();
  const id = await ready();
  await pool.close();
  await sessions.close('keep');
  await openAll();
  const unblock = block(id);
  await expect(pool.recover(id)).rejects.toThrow(/EISDIR/);
  unblock();
  expect(pool.entries().map(({ phase }) => phase)).toEqual(['resetting']);
  pool.look();
  expect(await ready()).toBe(id);
});

test('[W7] a start that throws is a start that failed', async () => {
  await openAll({}, { launch: () => Promise.reject(new Error('no disk left')) });
  await vi.waitFor(() => expect(news).toContain('pool.failed'), patience);
  await vi.waitFor(() => expect(pool.entries()).toEqual([]), patience);
});

test('[W7] a start that fails is tried again after a while, and leaves nothing', async () => {
  await openAll({}, { launch: async () => ({ kind: 'failed', reason: 'no such program' }) });
  await vi.waitFor(() => expect(news).toContain('pool.failed'), patience);
  await vi.waitFor(() => expect(pool.entries()).toEqual([]), patience);
  pool.look();
  expect(news.filter((type) => type === 'pool.failed')).toHaveLength(1);
  expect((await Promise.all(sessions.pooled().map((session) => findByMark(session.instance)))).flat()).toEqual([]);
});
