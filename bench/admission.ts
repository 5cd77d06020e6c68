/**
 * Thirty agents of 300 MB each under a limit of 4 GB for daemon, host and agents together: `node bench/admission.ts`.
 *
 * The limit is a control group's, so the kernel enforces it. First with admission as it is by default (a reserve of a tenth, the estimate
 * from the configuration), then, as the peer, with admission that lets everything through. Printed: how many jobs are done, what the kernel
 * ended, the least memory that was free at any time, how many ran side by side, and how long it took.
 */
import { parseArgs } from 'node:util';
import { groupMemory } from '../src/platform/cgroup.ts';
import { type MemoryGroup, openMemoryGroup } from '../test/peers/memory-group.ts';
import { eventually, openStage, type Stage } from '../test/system/stage.ts';

const megabyte = 1024 * 1024;
const { values } = parseArgs({
  options: {
    agents: { type: 'string', default: '30' },
    megabytes: { type: 'string', default: '300' },
    limit: { type: 'string', default: '4096' },
    wait: { type: 'string', default: '2000' },
  },
});
const count = Number(values.agents);
const sampleMs = 50;

interface Result {
  readonly name: string;
  readonly done: number;
  readonly kernelKills: number;
  readonly leastFreeBytes: number;
  readonly sideBySide: number;
  readonly seconds: number;
}

/** How many sessions lived at the same time, from the events. */
async function mostAtOnce(stage: Stage): Promise<number> {
  let [now, most] = [0, 0];
  for (let after = 0; ; ) {
    const { events, next } = await stage.client().call('listEvents', { query: { limit: 1000, after } });
    for (const { type } of events) {
      now += type === 'session.started' ? 1 : type === 'session.ended' ? -1 : 0;
      most = Math.max(most, now);
    }
    if (next === null) return most;
    after = next;
  }
}

async function measure(name: string, group: MemoryGroup, admission: object, estimate: number): Promise<Result> {
  const stage = openStage({
    controlGroup: group.path,
    config: { limits: { sessions: count, ...admission } },
    agent: { memoryMegabytes: estimate },
  });
  try {
    await stage.up();
    const { daemon } = await stage.client().call('status');
    let leastFreeBytes = Number.POSITIVE_INFINITY;
    const sampling = setInterval(() => {
      leastFreeBytes = Math.min(leastFreeBytes, groupMemory(daemon.pid)?.availableBytes ?? leastFreeBytes);
    }, sampleMs);
    const begin = performance.now();
    const jobs = [];
    for (let number = 1; number <= count; number += 1)
      jobs.push(
        await stage.submit(
          `Take memory, number ${number}\n@eat ${values.megabytes}\n@wait ${values.wait}\n@write n${number}.txt x`,
        ),
      );
    const ends = await Promise.all(jobs.map(({ id }) => endOf(stage, id)));
    clearInterval(sampling);
    return {
      name,
      done: ends.filter((state) => state === 'done').length,
      kernelKills: group.kernelKills(),
      leastFreeBytes,
      sideBySide: await mostAtOnce(stage),
      seconds: (performance.now() - begin) / 1000,
    };
  } finally {
    await stage.close();
  }
}

/** Patience for all of them together: each waits for those before it. */
const patienceMs = 10 * 60_000;

async function endOf(stage: Stage, id: string): Promise<string> {
  const until = Date.now() + patienceMs;
  for (;;) {
    const job = await stage.job(id);
    if (job.endedAt !== null || Date.now() > until) return job.state;
    await new Promise((resume) => setTimeout(resume, 200));
  }
}

async function inGroup(name: string, admission: object, estimate: number): Promise<Result> {
  const opened = openMemoryGroup(Number(values.limit) * megabyte);
  if (opened.kind === 'none') throw new Error(`this needs a control group with a limit of its own: ${opened.reason}`);
  try {
    return await measure(name, opened.group, admission, estimate);
  } finally {
    await eventually('the control group is empty', async () => {
      try {
        opened.group.remove();
        return true;
      } catch {
        return undefined; // EBUSY: the last process is on its way out
      }
    });
  }
}

console.log(`${count} agents of ${values.megabytes} MB (and their Node), limit ${values.limit} MB`);
const results = [
  await inGroup('with admission', {}, Number(values.megabytes) + 80),
  await inGroup('letting all in', { reserveMegabytes: 0, pressurePercent: 100 }, 1),
];
console.log('                  done   kernel kills   least free   side by side   took');
for (const { name, done, kernelKills, leastFreeBytes, sideBySide, seconds } of results)
  console.log(
    `${name.padEnd(16)}  ${`${done}/${count}`.padStart(5)}  ${String(kernelKills).padStart(12)}  ${`${Math.round(leastFreeBytes / megabyte)} MB`.padStart(11)}  ${String(sideBySide).padStart(13)}  ${seconds.toFixed(0).padStart(4)} s`,
  );
process.exitCode = results[0]?.done === count && results[0].kernelKills === 0 ? 0 : 1;
