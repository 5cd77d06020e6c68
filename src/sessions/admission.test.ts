/** Decisions carried out on real sessions: a real host, the scripted agent on a real PTY. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Agent } from '../agents/agent.ts';
import { agents } from '../agents/index.ts';
import { systemClock } from '../base/clock.ts';
import { newSessionId, type SessionId } from '../base/ids.ts';
import { silentLog } from '../base/log.ts';
import { homeAt } from '../platform/home.ts';
import { sessionMemory } from '../platform/machine.ts';
import { type Admission, type AdmissionOptions, openAdmission, type Retired } from './admission.ts';
import { openSessions, type Sessions } from './sessions.ts';

const scriptedAgent = join(import.meta.dirname, '../../test/peers/scripted-agent.ts');
const megabyte = 1024 * 1024;

let dir: string;
let sessions: Sessions;
let admission: Admission | undefined;
let retired: Retired[];

beforeEach(async () => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-admission-')));
  const home = homeAt(join(dir, 'home'));
  for (const each of [home.dir, home.run, home.logs, join(dir, 'agent')]) mkdirSync(each, { mode: 0o700 });
  retired = [];
  sessions = await openSessions({
    home,
    agents,
    clock: systemClock,
    log: silentLog,
    recordingBytesMax: 0,
    news: { onChange: () => undefined, onHost: () => undefined },
  });
});
afterEach(async () => {
  await admission?.close();
  await sessions.close('end');
  rmSync(dir, { recursive: true, force: true });
});

const open = (given: Partial<AdmissionOptions>): Admission => {
  admission = openAdmission({
    sessions,
    clock: systemClock,
    log: silentLog,
    reserveBytes: 1,
    pressurePercent: 100,
    configuredBytes: () => megabyte,
    inUse: () => [],
    isWarm: () => false,
    onRetired: (news) => retired.push(news),
    ...given,
  });
  return admission;
};

async function start(): Promise<SessionId> {
  const id = newSessionId();
  await sessions.start({
    id,
    agent: agents.get('claude') as Agent,
    found: { file: process.execPath, args: [scriptedAgent], version: '2.1.328' },
    persona: 'dev',
    title: 'test',
    cwd: dir,
    env: { PATH: process.env.PATH ?? '', HOME: join(dir, 'agent') },
    permissions: 'ask',
    model: undefined,
    resumeId: undefined,
    extraArgs: [],
  });
  await sessions.ready(id, { startMs: 15_000, setupMs: 1000 });
  return id;
}

test('[M1] with memory to spare a session is admitted; with less than the reserve it waits', async () => {
  const { totalBytes } = await sessionMemory(['self']);
  expect(await open({}).ask({ agent: 'claude', purpose: 'job', inUse: () => [] })).toEqual({ kind: 'admit' });
  await admission?.close();
  expect(
    await open({ reserveBytes: totalBytes }).ask({ agent: 'claude', purpose: 'job', inUse: () => [] }),
  ).toMatchObject({
    kind: 'wait',
    shortage: 'memory',
    reason: expect.stringContaining('a session takes about 1 MB'),
  });
});

test('[M2] what is about to start has its memory already', async () => {
  const { availableBytes } = await sessionMemory(['self']);
  const coming = () => [{ sessionId: 's-coming', agent: 'codex' }];
  const question = { agent: 'claude', purpose: 'job', inUse: coming } as const;
  const gate = open({ configuredBytes: (agent) => (agent === 'codex' ? availableBytes : megabyte) });
  expect(await gate.ask(question)).toMatchObject({ kind: 'wait', reason: expect.stringContaining('still grow') });
  expect(await gate.ask({ ...question, inUse: () => [] })).toEqual({ kind: 'admit' });
});

test('[M3] [M7] [M8] when memory is short the idle one goes, told before it is ended; the one in use stays', async () => {
  const [idle, used] = [await start(), await start()];
  await sessions.measure(0);
  expect(sessions.get(idle)?.memoryBytes).toBeGreaterThan(10 * megabyte);
  const { availableBytes } = await sessionMemory(['self']);
  const inUse = [{ sessionId: used, agent: 'claude' }];
  let stateWhenTold: string | undefined;
  open({
    // Far below the half of it, far above the eighth.
    reserveBytes: availableBytes * 4,
    inUse: () => inUse,
    onRetired: (news) => {
      stateWhenTold = sessions.get(news.session.id as SessionId)?.state;
      retired.push(news);
    },
  });
  await expect.poll(() => sessions.get(idle)?.state, { timeout: 20_000 }).toBe('exited');
  expect(stateWhenTold).toBe('idle');
  expect(retired.map(({ session, shortage, idleForMs }) => [session.id, shortage, (idleForMs ?? 0) > 0])).toEqual([
    [idle, 'memory', true],
  ]);
  expect([sessions.get(used)?.state, sessions.get(idle)?.memoryBytes]).toEqual(['idle', null]);
});
