/**
 * Admission against a limit that the kernel enforces: daemon, host and agents in one control group that holds far fewer agents than there
 * are jobs. The full size is `node bench/admission.ts`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { delay } from '../../src/base/wait.ts';
import { groupMemory } from '../../src/platform/cgroup.ts';
import type { SessionView } from '../../src/protocol/session.ts';
import { type MemoryGroup, openMemoryGroup } from '../peers/memory-group.ts';
import { orSay } from '../peers/or-say.ts';
import { eventually, openStage, type Stage } from './stage.ts';

const megabyte = 1024 * 1024;
const limitBytes = 1024 * megabyte;
const probe = openMemoryGroup(limitBytes);
if (probe.kind === 'opened') probe.group.remove();
const canLimit = orSay(
  probe.kind === 'opened',
  `a limit on memory needs a control group of our own (${probe.kind === 'none' ? probe.reason : ''})`,
);

let group: MemoryGroup;
let stage: Stage;

function openLimited(
  limits: Record<string, unknown>,
  memoryMegabytes: number,
  agentEnv: Record<string, string> = {},
): void {
  const opened = openMemoryGroup(limitBytes);
  if (opened.kind === 'none') throw new Error(opened.reason);
  group = opened.group;
  stage = openStage({ controlGroup: group.path, config: { limits }, agent: { memoryMegabytes }, agentEnv });
}

async function closeLimited(): Promise<void> {
  await stage.close();
  await eventually('the control group is empty', async () => {
    try {
      group.remove();
      return true;
    } catch {
      return undefined; // EBUSY: the last process is on its way out
    }
  });
}

describe.runIf(canLimit)('eight agents of 200 MB in 1 GB', () => {
  beforeAll(async () => {
    openLimited({ sessions: 8, reserveMegabytes: 200 }, 280);
    await stage.up();
  });
  afterAll(closeLimited);

  test('[M1] [M10] [M11] [M12] all end done, those that wait say why, and the kernel ends none', async () => {
    const free: number[] = [];
    const daemon = (await stage.client().call('status')).daemon.pid;
    const sampling = setInterval(() => free.push(groupMemory(daemon)?.availableBytes ?? 0), 50);
    const jobs = [];
    for (let number = 1; number <= 8; number += 1)
      jobs.push(
        await stage.submit(`Take a lot of memory, number ${number}\n@eat 200\n@wait 1500\n@write n${number}.txt x`),
      );
    const waiting = await eventually('a job waits for memory', async () => {
      const { jobs: queued } = await stage.client().call('listJobs', { query: { state: 'queued' } });
      return queued.find((job) => job.waiting !== null);
    });
    expect(waiting.waiting).toMatch(
      /MB of memory are free, .* stay in reserve, .* it starts when \d+ MB more are free/,
    );
    expect((await stage.client().call('status')).waiting?.reason).toMatch(/MB of memory are free/);
    const why = await stage.client().call('whyJob', { params: { id: waiting.id } });
    expect([why.steps.map((step) => step.what).join('\n'), why.conclusion]).toEqual([
      expect.stringContaining('it has to wait: '),
      expect.stringMatching(/waits to be started since .*MB of memory are free/),
    ]);
    const session = await eventually('a session has been measured at its full size', async () => {
      const { sessions } = await stage.client().call('listSessions');
      return sessions.find(({ memoryBytes }) => memoryBytes !== null && memoryBytes > 200 * megabyte);
    });
    expect(session.memoryBytes).toBeLessThan(400 * megabyte);

    const ends = [];
    for (const job of jobs) ends.push(await stage.ended(job.id));
    expect(ends.map(({ state, outcome }) => (state === 'done' ? state : outcome))).toEqual(jobs.map(() => 'done'));
    clearInterval(sampling);
    expect(group.kernelKills()).toBe(0);
    expect(Math.min(...free)).toBeGreaterThan(50 * megabyte);
    const events = await stage.events();
    const told = events.filter(({ type }) => type === 'job.waiting').map(({ jobId }) => jobId);
    expect(told).toEqual([...new Set(told)]);
    const claims = events.filter(({ type }) => type === 'job.claimed').map(({ jobId }) => jobId);
    expect(claims).toEqual(jobs.map(({ id }) => id));
    expect(events.filter(({ type }) => type === 'session.retired')).toEqual([]);
  }, 120_000);
});

describe.runIf(canLimit)('a pool that wants six warm sessions of 100 MB in 1 GB', () => {
  beforeAll(async () => {
    // Three of some 135 MB leave 550 MB: less than the 610 that a fourth needs, whoever asks.
    openLimited({ sessions: 3, reserveMegabytes: 100 }, 510, { SCRIPTED_AGENT_HOLDS_MB: '100' });
    const config = parse(readFileSync(stage.home.config, 'utf8')) as Record<string, unknown>;
    const projects = { [stage.repository]: { pool: { warm: { dev: 6 }, warmMax: 6 } } };
    writeFileSync(stage.home.config, stringify({ ...config, defaults: { agent: 'claude' }, projects }));
    await stage.up();
  });
  afterAll(closeLimited);

  const warm = async (): Promise<SessionView[]> =>
    (await stage.client().call('listSessions')).sessions.filter(({ exit, pool }) => exit === null && pool === 'warm');

  test('[M3] [M4] [M6] gets as many as there is memory for; one goes for a job of another persona, and no other comes for it', async () => {
    const count = await eventually('no more are started', async () => {
      const before = await warm();
      await delay(4000);
      const now = await warm();
      return now.length > 0 && now.length === before.length && now.every(({ state }) => state === 'idle')
        ? now.length
        : undefined;
    });
    expect(count).toBeLessThan(6);
    const { job } = await stage.client().call('submitJob', {
      body: {
        text: 'Take the place of another please\n@eat 200\n@wait 1000\n@write a.txt x',
        projectPath: stage.repository,
        persona: 'fe',
      },
    });
    expect(await stage.ended(job.id)).toMatchObject({ state: 'done', persona: 'fe' });
    const events = await stage.events();
    const retired = events.filter(({ type }) => type === 'session.retired');
    expect(retired.length).toBeGreaterThan(0);
    expect(retired.map(({ data }) => [data.shortage, data.persona, typeof data.idleForMs])).toEqual(
      retired.map(() => ['memory', 'dev', 'number']),
    );
    expect(events.filter(({ type }) => type === 'pool.failed')).toEqual([]);
    expect(group.kernelKills()).toBe(0);
  }, 120_000);
});
