import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type CapturedCli, capturedCli, goneIdentity, writeProcessRecord } from '../../test/peers/captured-cli.ts';
import { openLedger } from '../ledger/index.ts';
import { identify } from '../platform/processes.ts';
import { down } from './down.ts';

function open(): CapturedCli {
  const cli = capturedCli({ json: true });
  onTestFinished(cli.remove);
  return cli;
}

/** A process that looks like the daemon or host of this home in the process list. */
async function start(
  cli: CapturedCli,
  name: 'daemon/main.ts' | 'sessions/host/main.ts',
  code: string,
): Promise<ChildProcess> {
  const file = join(cli.home.dir, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${code}; setInterval(() => {}, 1000); console.log('ready')`);
  const child = spawn(process.execPath, [file, '--home', cli.home.dir], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

/** A process that a session has left behind, in a session of its own. */
async function startMarked(instance: string, cwd: string): Promise<ChildProcess> {
  const code = `console.log('ready'); setInterval(() => {}, 1000)`;
  const child = spawn(process.execPath, ['-e', code], {
    cwd,
    detached: true,
    env: { ...process.env, MUSTER_INSTANCE: instance },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

const answer = (cli: CapturedCli): unknown => JSON.parse(cli.printed[0] ?? 'null');

test('nothing runs: it says so, and removes a record that was left behind', async () => {
  const cli = open();
  writeProcessRecord(cli.home.daemonFile, { identity: goneIdentity(), url: 'http://127.0.0.1:1' });
  expect(await down(cli, {})).toBe(0);
  expect(answer(cli)).toEqual({ ended: [], swept: 0, leftOpen: [], sessions: 'ended' });
  expect(existsSync(cli.home.daemonFile)).toBe(false);
});

test('a record of a recycled pid never leads to a signal', async () => {
  const cli = open();
  writeProcessRecord(cli.home.hostFile, { identity: goneIdentity() });
  expect(await down(cli, {})).toBe(0);
  expect(answer(cli)).toEqual({ ended: [], swept: 0, leftOpen: [], sessions: 'ended' });
});

test('a daemon without a record, just starting, is found and ended; so is a host that outlived its daemon', async () => {
  const cli = open();
  const daemon = await start(cli, 'daemon/main.ts', '');
  const host = await start(cli, 'sessions/host/main.ts', '');
  expect(await down(cli, {})).toBe(0);
  expect(answer(cli)).toEqual({
    ended: [
      { role: 'daemon', pid: daemon.pid, how: 'SIGTERM' },
      { role: 'host', pid: host.pid, how: 'SIGTERM' },
    ],
    swept: 0,
    leftOpen: [],
    sessions: 'ended',
  });
  expect([identify(daemon.pid ?? 0), identify(host.pid ?? 0)]).toEqual([undefined, undefined]);
});

test('with sessions kept the host is left alone', async () => {
  const cli = open();
  const daemon = await start(cli, 'daemon/main.ts', '');
  const host = await start(cli, 'sessions/host/main.ts', '');
  expect(await down(cli, { keepSessions: true })).toBe(0);
  expect(answer(cli)).toEqual({
    ended: [{ role: 'daemon', pid: daemon.pid, how: 'SIGTERM' }],
    swept: 0,
    leftOpen: [],
    sessions: 'kept',
  });
  expect(identify(host.pid ?? 0)).toBeDefined();
});

test('a daemon that ignores SIGTERM is killed', async () => {
  const cli = open();
  const daemon = await start(cli, 'daemon/main.ts', `process.on('SIGTERM', () => {})`);
  expect(await down(cli, {})).toBe(0);
  expect(answer(cli)).toEqual({
    ended: [{ role: 'daemon', pid: daemon.pid, how: 'SIGKILL' }],
    swept: 0,
    leftOpen: [],
    sessions: 'ended',
  });
});

test('the daemon and host of another home are not touched', async () => {
  const cli = open();
  const other = open();
  const daemon = await start(other, 'daemon/main.ts', '');
  expect(await down(cli, {})).toBe(0);
  expect(answer(cli)).toEqual({ ended: [], swept: 0, leftOpen: [], sessions: 'ended' });
  expect(identify(daemon.pid ?? 0)).toBeDefined();
});

test("what this home's sessions and verify commands left behind is swept; other marks are not touched", async () => {
  const cli = open();
  const dir = join(cli.home.sessions, 's-1');
  mkdirSync(dir);
  writeFileSync(join(dir, 'session.json'), JSON.stringify({ id: 's-1', instance: 'mark-of-s-1', exit: null }));
  const left = await startMarked('mark-of-s-1', '/');
  const command = await startMarked('command-xyz', cli.home.run);
  const others = [await startMarked('mark-of-another-home', '/'), await startMarked('command-abc', '/')];
  expect(await down(cli, {})).toBe(0);
  expect(answer(cli)).toEqual({ ended: [], swept: 2, leftOpen: [], sessions: 'ended' });
  const alive = [left, command, ...others].map((child) => identify(child.pid ?? 0) !== undefined);
  expect(alive).toEqual([false, false, true, true]);
});

test('[D14] a job that no daemon could settle is named, and its cancellation is in the ledger', async () => {
  const cli = open();
  const options = { file: cli.home.ledger, now: Date.now };
  const before = await openLedger(options);
  const { id: projectId } = await before.registerProject({ path: '/somewhere', name: 'somewhere' });
  const wanted = { projectId, persona: 'dev', agent: 'claude', verify: null, allowEmpty: false };
  for (const text of ['runs', 'waits'])
    await before.submit({ ...wanted, text, baseCommit: 'b'.repeat(40), baseRef: 'main', submittedBy: 'test' });
  await before.claim('j1', { owner: 'killed', sessionId: 's-1', branch: 'b', worktree: '/w' });
  await before.close();
  expect(await down(cli, {})).toBe(0);
  expect(answer(cli)).toEqual({ ended: [], swept: 0, leftOpen: ['j1'], sessions: 'ended' });
  const after = await openLedger(options);
  const jobs = [await after.job('j1'), await after.job('j2')];
  await after.close();
  expect(jobs).toMatchObject([
    { state: 'running', cancelRequested: true },
    { state: 'queued', cancelRequested: false },
  ]);
});

test('a ledger that can not be read leaves it unknown whether jobs are open', async () => {
  const cli = open();
  writeFileSync(cli.home.ledger, 'this is no ledger '.repeat(100));
  expect(await down(cli, {})).toBe(4);
  expect(answer(cli)).toEqual({ ended: [], swept: 0, leftOpen: null, sessions: 'ended' });
  expect(cli.noted[0]).toMatch(/^whether jobs are left open is unknown: /);
});
