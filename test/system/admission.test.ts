/**
 * Admission against a limit that the kernel enforces: daemon, host and agents in one control group that holds far fewer agents than there
 * are jobs. The full size is `node bench/admission.ts`.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { groupMemory } from '../../src/platform/cgroup.ts';
import { type MemoryGroup, openMemoryGroup } from '../peers/memory-group.ts';
import { eventually, openStage, type Stage } from './stage.ts';

const megabyte = 1024 * 1024;
const limitBytes = 1024 * megabyte;
const probe = openMemoryGroup(limitBytes);
if (probe.kind === 'opened') probe.group.remove();
else console.log(`skipped: a limit on memory needs a control group of our own (${probe.reason})`);

describe.runIf(probe.kind === 'opened')('eight agents of 200 MB in 1 GB', () => {
  let group: MemoryGroup;
  let stage: Stage;
  beforeAll(async () => {
    const opened = openMemoryGroup(limitBytes);
    if (opened.kind === 'none') throw new Error(opened.reason);
    group = opened.group;
    stage = openStage({
      controlGroup: group.path,
      config: { limits: { sessions: 8, reserveMegabytes: 200 } },
      agent: { memoryMegabytes: 280 },
    });
    await stage.up();
  });
  afterAll(async () => {
    await stage.close();
    await eventually('the control group is empty', async () => {
      try {
        group.remove();
        return true;
      } catch {
        return undefined; // EBUSY: the last process is on its way out
      }
    });
  });

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

    const ends = await Promise.all(jobs.map((job) => stage.ended(job.id)));
    expect(ends.map(({ state }) => state)).toEqual(jobs.map(() => 'done'));
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
