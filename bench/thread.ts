/**
 * One job's thread through the whole house, beside the physical limits of its parts in the same run: `node bench/thread.ts`.
 *
 * - resident memory of daemon and host, idle, beside an empty Node
 * - from submitted to typed, without the agent's own start, beside `git worktree add` of the same repository
 * - how long after an agent changed its state Muster says so: the agent's own clock against the event's time
 * Uses the scripted agent, because a model's or an interpreter's slowness is not ours to measure; the demo's numbers are in docs/demo.md.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { residentBytes } from '../src/platform/machine.ts';
import { openStage, type Stage } from '../test/system/stage.ts';

const jobs = 12;
const megabytes = (bytes: number | undefined): number => Math.round((bytes ?? 0) / 1024 / 1024);
const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);
const percentile = (values: readonly number[], part: number): number =>
  sorted(values)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? Number.NaN;
const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

function emptyNodeBytes(): number {
  const { stdout } = spawnSync(process.execPath, ['-e', 'process.stdout.write(String(process.memoryUsage.rss()))'], {
    encoding: 'utf8',
  });
  return Number(stdout);
}

function worktreeAddMs(stage: Stage): number {
  const took = Array.from({ length: 5 }, (_, index) => {
    const begin = performance.now();
    stage.git('worktree', 'add', '-q', '-b', `bench-${index}`, join(stage.dir, `bench-${index}`));
    return performance.now() - begin;
  });
  return percentile(took, 0.5);
}

interface Row {
  readonly typedMs: number;
  readonly detectMs: readonly number[];
}

/** The scripted agent writes the time at which it takes a prompt; its `@stamp` writes the time just before its turn ends. */
async function oneJob(stage: Stage, number: number): Promise<Row> {
  const job = await stage.submit(
    `Bench number ${number} please\n@write n.txt ${number}\n@wait 200\n@run date +%s%3N > "${join(stage.dir, `stamp-${number}`)}"`,
  );
  const end = await stage.ended(job.id);
  const events = await stage.events(job.id);
  const at = (type: string): number => events.find((event) => event.type === type)?.at ?? Number.NaN;
  const changed = (to: string): number =>
    events.find((event) => event.type === 'session.changed' && event.data.to === to)?.at ?? Number.NaN;
  const accepted = stage.prompts().find(({ prompt }) => prompt.includes(`Bench number ${number} please`));
  const agentStart = changed('idle') - at('session.started');
  const stamp = Number(readFileSync(join(stage.dir, `stamp-${number}`), 'utf8'));
  if (end.state !== 'done') throw new Error(`${job.id} is ${end.state}`);
  return {
    typedMs: at('prompt.typing') - at('job.submitted') - agentStart,
    detectMs: [changed('working') - (accepted?.at ?? Number.NaN), changed('done') - stamp],
  };
}

const stage = openStage();
try {
  await stage.up();
  const idle = await stage.client().call('status');
  const bare = emptyNodeBytes();
  const rows: Row[] = [];
  for (let number = 0; number < jobs; number += 1) rows.push(await oneJob(stage, number));
  const after = await stage.client().call('status');
  const limit = worktreeAddMs(stage);
  const typed = rows.map((row) => row.typedMs);
  const detect = rows.flatMap((row) => row.detectMs);
  console.log(
    `daemon, idle            ${megabytes(idle.daemon.rssBytes)} MB   ${(idle.daemon.rssBytes / bare).toFixed(1)}x an empty Node (${megabytes(bare)} MB)`,
  );
  console.log(`daemon, after ${jobs} jobs    ${megabytes(after.daemon.rssBytes)} MB`);
  console.log(
    `host, idle              ${megabytes(idle.host.rssBytes ?? undefined)} MB   ${((idle.host.rssBytes ?? 0) / bare).toFixed(1)}x`,
  );
  console.log(
    `host, after ${jobs} jobs      ${megabytes(after.host.pid === null ? undefined : await residentBytes(after.host.pid))} MB`,
  );
  console.log(
    `submitted to typed      p50 ${ms(percentile(typed, 0.5))}   ${(percentile(typed, 0.5) / limit).toFixed(1)}x git worktree add (${ms(limit)})`,
  );
  console.log(`detect a change         p50 ${ms(percentile(detect, 0.5))}   p95 ${ms(percentile(detect, 0.95))}`);
} finally {
  await stage.close();
}
