/** The real host process and programs that try to get away. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { randomToken } from '../../base/ids.ts';
import { placesOf, sessionLimits } from '../../platform/cgroup.ts';
import { type Home, homeAt } from '../../platform/home.ts';
import { identify, instanceVariable, isAlive } from '../../platform/processes.ts';
import type { HostClient } from '../host-client.ts';
import { connectHost, startHost } from '../host-launch.ts';

let home: Home;
let client: HostClient;
beforeAll(async () => {
  home = homeAt(mkdtempSync(join(tmpdir(), 'muster-groups-')));
  await startHost(home);
  client = await connectHost(home, { onNotice: () => undefined, onClose: () => undefined });
});
afterAll(async () => {
  const host = identify(client.hello.pid);
  await client.call('shutdown', { sessions: 'end' });
  await vi.waitFor(() => expect(host === undefined || isAlive(host)).toBe(false), { timeout: 5000 });
  rmSync(home.dir, { recursive: true });
});

const groupOf = (pid: number): string | undefined => placesOf(pid).find(({ version }) => version === 2)?.path;

test('[M13] with a limit it has a group of its own, and what lost its mark ends with it', async ({ skip }) => {
  const sessionId = `s-${randomToken(10)}`;
  const pidFile = join(home.dir, 'hidden');
  const hide = `sleep 0.2; setsid env -u ${instanceVariable} sh -c 'echo $$ > "${pidFile}"; exec sleep 601' & exec sleep 600`;
  const { session } = await client.call('spawn', {
    sessionId,
    instance: `mark-${randomToken(16)}`,
    file: 'bash',
    args: ['-c', hide],
    cwd: '/',
    env: { PATH: process.env.PATH ?? '' },
    cols: 80,
    rows: 24,
    dir: join(home.sessions, sessionId),
    recordingBytesMax: 0,
    memoryBytesMax: 512 * 1024 * 1024,
    title: 'test 1.0',
  });
  const hiddenPid = await vi.waitFor(() => {
    const text = existsSync(pidFile) ? readFileSync(pidFile, 'utf8').trim() : '';
    if (text === '') throw new Error('not hidden yet');
    return Number(text);
  });
  const hidden = identify(hiddenPid);
  const group = groupOf(session.pid);
  const limited = group !== undefined && group.endsWith(`muster-${sessionId}`);
  const seen = { inGroup: groupOf(hiddenPid) === group, alive: hidden !== undefined && isAlive(hidden) };
  const limit = limited && sessionLimits().kind === 'possible' ? readFileSync(join(group, 'memory.max'), 'utf8') : '';
  const adjusted = ['self', session.pid].map((pid) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8')));
  const { exit } = await client.call('end', { sessionId, signal: 'SIGTERM', graceMs: 500 });
  expect([exit === null, seen.alive]).toEqual([false, true]);
  if (!limited) {
    process.kill(hiddenPid, 'SIGKILL');
    return skip(`no control group can be made here: ${JSON.stringify(sessionLimits())}`);
  }
  expect(seen.inGroup).toBe(true);
  expect(['', `${512 * 1024 * 1024}\n`]).toContain(limit);
  expect(adjusted[1]).toBeGreaterThan(adjusted[0] ?? 0);
  await vi.waitFor(() => expect([hidden && isAlive(hidden), existsSync(group)]).toEqual([false, false]));
});
