/** Pools through the whole: jobs that find a session ready, go on in it, and leave it clean for the next. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { identify } from '../../src/platform/processes.ts';
import type { SessionView } from '../../src/protocol/session.ts';
import { eventually, openStage, type Stage } from './stage.ts';

let stage: Stage;
afterEach(() => stage.close());

async function openPooled(pool: Record<string, unknown>, agentEnv: Record<string, string> = {}): Promise<void> {
  stage = openStage({ agentEnv });
  const { readFileSync } = await import('node:fs');
  const { parse } = await import('yaml');
  const config = parse(readFileSync(stage.home.config, 'utf8')) as Record<string, unknown>;
  writeFileSync(
    stage.home.config,
    stringify({ ...config, defaults: { agent: 'claude' }, projects: { [stage.repository]: { pool } } }),
  );
  await stage.up();
}

const live = async (): Promise<SessionView[]> =>
  (await stage.client().call('listSessions')).sessions.filter((one) => one.exit === null);
const readyOnes = (count: number): Promise<SessionView[]> =>
  eventually(`${count} sessions stand ready`, async () => {
    const all = (await live()).filter((one) => one.pool !== null && ['idle', 'done'].includes(one.state));
    const told = (await stage.events()).filter((event) => event.type === 'pool.ready').length;
    return all.length >= count && told >= count ? all : undefined;
  });

test('[W1] [W5] two jobs one after the other in the same warm session, each in its own conversation, branch and clean tree', async () => {
  await openPooled({ warm: { dev: 1 } });
  const [warm] = await readyOnes(1);
  const first = await stage.submit(
    'Write the first file please\n@write first.txt one\n@run mkdir -p node_modules && echo x > node_modules/kept',
  );
  const one = await stage.ended(first.id);
  expect(one).toMatchObject({ state: 'done', sessionId: warm?.id, outcome: { kind: 'done' } });
  await eventually('it stands ready again', async () =>
    (await stage.events()).filter((event) => event.type === 'pool.ready').length >= 2 ? true : undefined,
  );
  const second = await stage.submit('Write the second file please\n@run ls > listing.txt');
  const two = await stage.ended(second.id);
  expect(two).toMatchObject({ state: 'done', sessionId: warm?.id });
  expect(stage.git('show', `${two.branch}:listing.txt`).split('\n')).not.toContain('first.txt');
  expect(stage.git('rev-parse', `${two.branch}~1`)).toBe(two.baseCommit);
  const conversations = stage.prompts().map((row) => (row as unknown as { conversation: string }).conversation);
  expect(new Set(conversations).size).toBe(2);
  expect((await live()).map((session) => session.id)).toEqual([warm?.id]);
});

test('[W6] a job that fails costs the session, and the pool makes another', async () => {
  await openPooled({ warm: { dev: 1 } });
  const [warm] = await readyOnes(1);
  const job = await stage.submit('Do nothing at all please\n@say nothing');
  expect(await stage.ended(job.id)).toMatchObject({ state: 'failed', sessionId: warm?.id });
  const [next] = await eventually('another stands ready', async () => {
    const all = (await live()).filter((one) => one.pool === 'warm' && one.state === 'idle');
    return all.length === 1 && all[0]?.id !== warm?.id ? all : undefined;
  });
  expect(next?.pool).toBe('warm');
});

test('[W6] a session that ends while it stands ready leaves its pool, and what lay in its worktree is saved', async () => {
  await openPooled({ warm: { dev: 1 } });
  const [warm] = await readyOnes(1);
  const cwd = String(warm?.cwd);
  writeFileSync(join(cwd, 'stray.txt'), 'somebody put me here\n');
  process.kill(Number(warm?.pid), 'SIGKILL');
  await eventually('its end is known', async () =>
    (await live()).some((one) => one.id === warm?.id) ? undefined : true,
  );
  const job = await stage.submit('Write it please\n@write a.txt x');
  expect(await stage.ended(job.id)).toMatchObject({ state: 'done' });
  await eventually('its worktree is removed', async () => (existsSync(cwd) ? undefined : true));
  const saved = stage.git('for-each-ref', '--format=%(refname)', 'refs/muster/saved').split('\n');
  expect(saved.some((ref) => stage.git('ls-tree', '-r', '--name-only', ref).split('\n').includes('stray.txt'))).toBe(
    true,
  );
});

test('[W8] the daemon is killed: the pool goes on with the same sessions, and no job is lost', async () => {
  await openPooled({ warm: { dev: 1 } });
  const [warm] = await readyOnes(1);
  const job = await stage.submit('Write it slowly please\n@wait 1200\n@write a.txt x');
  await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
  await stage.kill();
  await stage.up();
  expect(await stage.ended(job.id)).toMatchObject({ state: 'done', attempts: 1, sessionId: warm?.id });
  await eventually('it stands ready again', async () =>
    (await stage.events()).filter((event) => event.type === 'pool.ready').length >= 2 ? true : undefined,
  );
  await stage.kill();
  await stage.up();
  const [again] = await readyOnes(1);
  expect(again?.id).toBe(warm?.id);
  await eventually('it is known to stand ready', async () =>
    (await stage.events()).filter((event) => event.type === 'pool.ready').length >= 3 ? true : undefined,
  );
  const second = await stage.submit('Write another one please\n@write b.txt x');
  expect(await stage.ended(second.id)).toMatchObject({ state: 'done', sessionId: warm?.id });
  expect((await stage.events()).filter((event) => event.type === 'pool.retired')).toEqual([]);
});

test('[W7] what warm sessions left that ended with the daemon is removed by its next life, saved and told', async () => {
  await openPooled({ warm: { dev: 1 } });
  const [warm] = await readyOnes(1);
  const cwd = String(warm?.cwd);
  writeFileSync(join(cwd, 'stray.txt'), 'somebody put me here\n');
  const { pid } = stage.client().record;
  await stage.client().call('stopDaemon', { body: { sessions: 'end' } });
  await eventually('the daemon has ended', async () => (identify(pid) ? undefined : true));
  await stage.up();
  const told = await eventually('its removal is told', async () =>
    (await stage.events()).find((event) => event.type === 'worktree.removed'),
  );
  expect(existsSync(cwd)).toBe(false);
  expect(told.data).toMatchObject({ kind: 'removed', by: 'janitor', worktree: cwd });
  expect(stage.git('show', `${String(told.data.ref)}:stray.txt`)).toBe('somebody put me here');
  const [next] = await readyOnes(1);
  expect([next?.id === warm?.id, existsSync(String(next?.cwd))]).toEqual([false, true]);
  expect(stage.git('branch', '--format=%(refname:short)')).toBe('main');
});

test('[W10] where ignored files of the last job would be lost, the next job gets another session', async () => {
  await openPooled({ warm: { dev: 1 } });
  const [warm] = await readyOnes(1);
  const first = await stage.submit(
    'Keep notes please\n@write .gitignore notes/\n@run mkdir notes && echo mine > notes/a.txt',
  );
  expect(await stage.ended(first.id)).toMatchObject({ state: 'done', sessionId: warm?.id });
  await eventually('it stands ready again', async () =>
    (await stage.events()).filter((event) => event.type === 'pool.ready').length >= 2 ? true : undefined,
  );
  const second = await stage.submit('Write the second file please\n@write b.txt x');
  const end = await stage.ended(second.id);
  expect(end).toMatchObject({ state: 'done', outcome: { files: ['b.txt'] } });
  expect(end.sessionId).not.toBe(warm?.id);
  const retired = (await stage.events()).find((event) => event.type === 'pool.retired');
  expect(retired?.data).toMatchObject({ why: expect.stringContaining('.gitignore differs') });
});

test('a project without a pool keeps a session per job', async () => {
  stage = openStage();
  await stage.up();
  const job = await stage.submit('Write it please\n@write a.txt x');
  expect((await stage.ended(job.id)).state).toBe('done');
  expect(await live()).toEqual([]);
  const told = await eventually('the removal of its worktree is told', async () =>
    (await stage.events(job.id)).find((event) => event.type === 'worktree.removed'),
  );
  expect(told.data).toMatchObject({ kind: 'removed', by: 'job', ref: null, bytes: expect.any(Number) });
});

test('[W5] what a person left in the worktree of a kept session is saved before the next job', async () => {
  await openPooled({ warm: { dev: 1 } });
  const [warm] = await readyOnes(1);
  writeFileSync(join(String(warm?.cwd), 'stray.txt'), 'somebody put me here\n');
  mkdirSync(join(String(warm?.cwd), 'empty'), { recursive: true });
  const job = await stage.submit('Write it please\n@run ls > listing.txt');
  const end = await stage.ended(job.id);
  expect(stage.git('show', `${end.branch}:listing.txt`).split('\n')).not.toContain('stray.txt');
  const saved = stage
    .git('for-each-ref', '--format=%(refname)', 'refs/muster/saved')
    .split('\n')
    .filter((ref) => !/\.(head|branch)$/.test(ref));
  expect(
    saved.map((ref) => stage.git('ls-tree', '-r', '--name-only', ref)).some((files) => files.includes('stray.txt')),
  ).toBe(true);
  expect(existsSync(join(String(warm?.cwd), 'stray.txt'))).toBe(false);
});
