/**
 * What a pool is worth: `node bench/pool.ts`. Five jobs one after the other in a project with warm sessions (each job finds one ready),
 * on demand (a session per job), and hybrid (none warm, but sessions stay for the next job); the scripted agent takes two seconds to
 * start, as the real ones do. Times from submitted to typed, and the memory of all sessions at the end. The limit beside them is the
 * warm time: what is left when nothing is to be started.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';
import { residentBytes } from '../src/platform/machine.ts';
import { findMarked } from '../src/platform/processes.ts';
import { eventually, openStage, type Stage } from '../test/system/stage.ts';

const jobs = 5;
const agentStartMs = 2000;

interface Row {
  readonly name: string;
  readonly firstMs: number;
  readonly medianMs: number;
  readonly sessionsMegabytes: number;
}

async function measure(name: string, pool: Record<string, unknown> | undefined, warm: number): Promise<Row> {
  const stage = openStage({ agentEnv: { SCRIPTED_AGENT_START_MS: String(agentStartMs) } });
  try {
    if (pool) {
      const config = parse(readFileSync(stage.home.config, 'utf8')) as Record<string, unknown>;
      writeFileSync(
        stage.home.config,
        stringify({ ...config, defaults: { agent: 'claude' }, projects: { [stage.repository]: { pool } } }),
      );
    }
    await stage.up();
    await ready(stage, warm);
    const took: number[] = [];
    for (let number = 0; number < jobs; number += 1) {
      took.push(await submittedToTyped(stage, number));
      if (pool) await settled(stage, warm);
    }
    const sorted = took.toSorted((a, b) => a - b);
    return {
      name,
      firstMs: took[0] ?? Number.NaN,
      medianMs: sorted[Math.floor(jobs / 2)] ?? Number.NaN,
      sessionsMegabytes: await memory(stage),
    };
  } finally {
    await stage.close();
  }
}

const ready = (stage: Stage, count: number): Promise<true> =>
  eventually('the warm ones stand ready', async () =>
    (await stage.events()).filter((event) => event.type === 'pool.ready').length >= count ? true : undefined,
  );

/** The session of the last job stands ready again, or is gone. */
const settled = (stage: Stage, warm: number): Promise<true> =>
  eventually('the pool is at rest', async () => {
    const { sessions } = await stage.client().call('listSessions');
    const live = sessions.filter((session) => session.exit === null);
    const last = (await stage.events())
      .filter((event) => event.type.startsWith('pool.') || event.type === 'job.done')
      .at(-1);
    return live.length >= warm &&
      last?.type !== 'job.done' &&
      live.every((session) => ['idle', 'done'].includes(session.state))
      ? true
      : undefined;
  });

async function submittedToTyped(stage: Stage, number: number): Promise<number> {
  const job = await stage.submit(`Bench number ${number} please\n@write n${number}.txt ${number}`);
  await stage.ended(job.id);
  const events = await stage.events(job.id);
  const at = (type: string): number => events.find((event) => event.type === type)?.at ?? Number.NaN;
  return at('prompt.typing') - at('job.submitted');
}

async function memory(stage: Stage): Promise<number> {
  const marked = (await findMarked()).filter(({ command }) => command.includes('scripted-agent'));
  const { sessions } = await stage.client().call('listSessions');
  const pids = new Set(sessions.filter((session) => session.exit === null).map((session) => session.pid));
  const bytes = await Promise.all(marked.filter(({ pid }) => pids.has(pid)).map(({ pid }) => residentBytes(pid)));
  return Math.round(bytes.reduce<number>((sum, each) => sum + (each ?? 0), 0) / 1024 / 1024);
}

const rows = [
  await measure('warm', { warm: { dev: 1 } }, 1),
  await measure('on demand', undefined, 0),
  await measure('hybrid', { warm: {} }, 0),
];
const limit = rows[0]?.medianMs ?? Number.NaN;
console.log('                first job     later jobs (median)      memory of sessions that wait');
for (const { name, firstMs, medianMs, sessionsMegabytes } of rows) {
  console.log(
    `${name.padEnd(14)}${String(Math.round(firstMs)).padStart(8)} ms ${String(Math.round(medianMs)).padStart(10)} ms ${(medianMs / limit).toFixed(1).padStart(7)}x warm ${String(sessionsMegabytes).padStart(10)} MB`,
  );
}
