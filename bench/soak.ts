/**
 * The long haul: `node bench/soak.ts [--minutes 2] [--agents 60] [--turn 60] [--cycles 2000]`.
 *
 * First 60 scripted agents at work all the time, through the real daemon and host: as soon as a job ends the next is submitted. Each agent
 * prints numbered lines and says at its end how many bytes it printed; every turn, exit and byte is then accounted for: in the events, in
 * the host's offsets and in the recordings. Memory, descriptors and processor time of daemon and host are read all along.
 * Then 2,000 sessions are spawned and end, on a host of their own: no descriptor and no process may be left.
 * Each figure stands beside its goal; the exit code is 1 if one that is exact is missed.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { delay } from '../src/base/wait.ts';
import { homeAt } from '../src/platform/home.ts';
import { residentBytes } from '../src/platform/machine.ts';
import { openMemoryScan } from '../src/platform/process-memory.ts';
import { findMarked } from '../src/platform/processes.ts';
import type { JobView, LedgerEvent } from '../src/protocol/job.ts';
import { connectHost, startHost } from '../src/sessions/host-launch.ts';
import { eventually, openStage, type Stage } from '../test/system/stage.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    agents: { type: 'string', default: '60' },
    /** Seconds of one turn. */
    turn: { type: 'string', default: '60' },
    cycles: { type: 'string', default: '2000' },
  },
});
const agents = Number(values.agents);
const runMs = Number(values.minutes) * 60_000;
const cycles = Number(values.cycles);

/** Four lines a second. With turns of a minute one of sixty agents ends and another starts every second. */
const turn = { lines: 4 * Number(values.turn), everyMs: 250 };
const sampleMs = 5000;
/** Caches fill and code is compiled in the first part; growth is measured behind it. */
const settleShare = 0.4;
const megabyte = 1024 * 1024;
/** Jobs that did not end well and are named. */
const namedMax = 10;
/** Of the bench itself, kept alive by its HTTP client. */
const connectionsMax = 8;
const hourMs = 3_600_000;

// --- figures

const rows: string[][] = [];
let missed = 0;
const figure = (what: string, value: string, goal = '', kept?: boolean): void => {
  if (kept === false) missed += 1;
  rows.push([what, value, goal, kept === undefined ? '' : kept ? 'kept' : 'MISSED']);
};

function printFigures(): void {
  const width = (index: number): number => Math.max(...rows.map((row) => (row[index] ?? '').length));
  for (const row of rows)
    console.log(
      row
        .map((cell, index) => cell.padEnd(width(index)))
        .join('   ')
        .trimEnd(),
    );
}

// --- what a process uses

interface Use {
  readonly at: number;
  readonly rssBytes: number;
  readonly descriptors: number;
  readonly cpuMs: number;
}

const tickMs = 10;

async function useOf(pid: number): Promise<Use> {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    at: performance.now(),
    rssBytes: (await residentBytes(pid)) ?? Number.NaN,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    cpuMs: (Number(fields[11]) + Number(fields[12])) * tickMs,
  };
}

/** Least squares over the settled part, in MB per hour. */
function growthPerHour(uses: readonly Use[]): number {
  const settled = uses.slice(Math.floor(uses.length * settleShare));
  const mean = (of: (use: Use) => number): number => settled.reduce((sum, use) => sum + of(use), 0) / settled.length;
  const [meanAt, meanRss] = [mean(({ at }) => at), mean(({ rssBytes }) => rssBytes)];
  const covariance = mean((use) => (use.at - meanAt) * (use.rssBytes - meanRss));
  return ((covariance / mean((use) => (use.at - meanAt) ** 2)) * hourMs) / megabyte;
}

// --- sixty at work

interface Total {
  readonly session: string;
  readonly pid: number;
  readonly bytes: number;
  readonly lines: number;
}

const readRows = <T>(path: string): T[] =>
  existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as T)
    : [];

async function allEvents(stage: Stage): Promise<LedgerEvent[]> {
  const all: LedgerEvent[] = [];
  for (let after = 0; ; ) {
    const { events, next } = await stage.client().call('listEvents', { query: { limit: 1000, after } });
    all.push(...events);
    if (next === null) return all;
    after = next;
  }
}

/** Tells of each job that has ended, by one look at the new events a second: sixty that ask for themselves would be the load. */
async function watchEnds(stage: Stage, signal: AbortSignal): Promise<{ ended: (id: string) => Promise<void> }> {
  const waiting = new Map<string, () => void>();
  const settled = new Set<string>();
  let after = (await stage.client().call('status')).lastEvent;
  const look = async (): Promise<void> => {
    const { events } = await stage.client().call('listEvents', { query: { limit: 1000, after } });
    after = events.at(-1)?.seq ?? after;
    for (const { type, jobId } of events) {
      if (jobId === null || type !== 'attempt.settled') continue;
      settled.add(jobId);
      waiting.get(jobId)?.();
    }
  };
  void (async () => {
    while (!signal.aborted) {
      await look();
      await delay(1000);
    }
  })();
  return {
    ended: (id) => (settled.has(id) ? Promise.resolve() : new Promise((resolve) => waiting.set(id, resolve))),
  };
}

/** Keeps `agents` jobs open until the time is over; answers with all of them, ended. */
async function keepBusy(stage: Stage, until: number): Promise<JobView[]> {
  const over = new AbortController();
  const ends = await watchEnds(stage, over.signal);
  const ids: string[] = [];
  const one = async (delayMs: number): Promise<void> => {
    await delay(delayMs);
    while (performance.now() < until) {
      const text = `Print some lines please, number ${ids.length}\n@lines ${turn.lines} ${turn.everyMs}`;
      const { id } = await stage.submit(text, { allowEmpty: true });
      ids.push(id);
      await ends.ended(id);
    }
  };
  // Spread over one turn, so that starts and ends go on all the time and not in waves.
  const stepMs = Math.min(turn.lines * turn.everyMs, runMs / 4) / agents;
  await Promise.all(Array.from({ length: agents }, (_, index) => one(index * stepMs)));
  over.abort();
  // One after the other: a hundred connections of ours, kept alive, would look like a leak of the daemon's.
  const jobs: JobView[] = [];
  for (const id of ids) jobs.push(await stage.job(id));
  return jobs;
}

/** The numbers of the lines in a recording's output, and how many bytes it holds. */
function recordedOf(stage: Stage, session: string): { numbers: number[]; bytes: number } {
  const lines = readFileSync(join(stage.home.sessions, session, 'session.cast'), 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1);
  const output = lines
    .map((line) => JSON.parse(line) as [number, string, string])
    .filter(([, kind]) => kind === 'o')
    .map(([, , text]) => text)
    .join('');
  return {
    numbers: [...output.matchAll(/line (\d+) of \d+/g)].map((match) => Number(match[1])),
    bytes: Buffer.byteLength(output),
  };
}

const isWhole = (numbers: readonly number[], count: number): boolean =>
  numbers.length === count && numbers.every((number, index) => number === index + 1);

function account(
  stage: Stage,
  jobs: readonly JobView[],
  events: readonly LedgerEvent[],
  totals: readonly Total[],
): void {
  const perJob = (type: string, id: string): LedgerEvent[] =>
    events.filter((event) => event.type === type && event.jobId === id);
  const done = jobs.filter(({ state }) => state === 'done');
  const turns = jobs.filter(
    ({ id }) => perJob('prompt.accepted', id).length === 1 && perJob('turn.ended', id).length === 1,
  );
  const typed = stage.prompts().length;
  const exits = jobs.filter(({ id }) => perJob('session.ended', id).length === 1);
  figure('jobs done', `${done.length} of ${jobs.length}`, 'all', done.length === jobs.length);
  for (const { id, outcome } of jobs.filter(({ state }) => state !== 'done').slice(0, namedMax))
    figure(`  ${id}`, JSON.stringify(outcome).slice(0, 300));
  figure(
    'turns accounted for',
    `${turns.length} of ${jobs.length}, ${typed} prompts received`,
    '100 %',
    turns.length === jobs.length && typed === jobs.length,
  );
  figure('exits accounted for', `${exits.length} of ${jobs.length}`, 'all', exits.length === jobs.length);
  const bySession = new Map(totals.map((total) => [total.session, total]));
  let [bytes, offsets, recorded, lines] = [0, 0, 0, 0];
  for (const { sessionId } of jobs) {
    const total = bySession.get(sessionId ?? '');
    if (!total || sessionId === null) continue;
    const { offset } = JSON.parse(readFileSync(join(stage.home.sessions, sessionId, 'last-screen.json'), 'utf8')) as {
      offset: number;
    };
    const recording = recordedOf(stage, sessionId);
    bytes += total.bytes;
    offsets += offset === total.bytes ? 1 : 0;
    recorded += recording.bytes === total.bytes ? 1 : 0;
    lines += isWhole(recording.numbers, turn.lines) ? 1 : 0;
  }
  const all = jobs.length;
  figure(
    'bytes printed',
    `${(bytes / megabyte).toFixed(1)} MB by ${totals.length} agents`,
    `${all} agents`,
    totals.length === all,
  );
  figure("host's offset is what was printed", `${offsets} of ${all} sessions`, 'all', offsets === all);
  figure('recording holds every byte', `${recorded} of ${all} sessions`, 'all', recorded === all);
  figure('numbered lines whole and in order', `${lines} of ${all} sessions`, 'all', lines === all);
}

function resources(name: string, uses: readonly Use[], rssGoal: number, cpuGoal: string): void {
  const [first, last] = [uses[0], uses.at(-1)];
  const settled = uses.slice(Math.floor(uses.length * settleShare));
  const [from, to] = [settled[0], settled.at(-1)];
  if (!first || !last || !from || !to) return;
  const growth = growthPerHour(uses);
  const most = Math.max(...uses.map(({ rssBytes }) => rssBytes));
  const mb = (bytes: number): string => (bytes / megabyte).toFixed(0);
  figure(
    `${name}: resident, start / end / most`,
    `${mb(first.rssBytes)} / ${mb(last.rssBytes)} / ${mb(most)} MB`,
    rssGoal > 0 ? `< ${rssGoal} MB` : '',
  );
  figure(
    `${name}: growth`,
    `${growth.toFixed(1)} MB/h over ${((to.at - from.at) / 60_000).toFixed(1)} min`,
    '< 5 MB/h over an hour',
  );
  figure(
    `${name}: processor`,
    `${(((to.cpuMs - from.cpuMs) / (to.at - from.at)) * 100).toFixed(1)} % of a core`,
    cpuGoal,
  );
  figure(
    `${name}: descriptors, idle before / idle after`,
    `${first.descriptors} / ${last.descriptors}`,
    'no more but open connections',
    last.descriptors <= first.descriptors + connectionsMax,
  );
}

async function soak(): Promise<void> {
  const totalsFile = join(mkdtempSync(join(tmpdir(), 'muster-soak-')), 'totals.ndjson');
  const stage = openStage({
    config: { limits: { sessions: agents, recordingMegabytes: 16 } },
    agent: { memoryMegabytes: 100 },
    agentEnv: { SCRIPTED_AGENT_TOTALS: totalsFile },
  });
  const uses: { daemon: Use[]; host: Use[] } = { daemon: [], host: [] };
  const scan = openMemoryScan();
  const looks: number[] = [];
  try {
    await stage.up();
    const { daemon, host } = await stage.client().call('status');
    const sample = async (): Promise<void> => {
      uses.daemon.push(await useOf(daemon.pid));
      uses.host.push(await useOf(host.pid ?? daemon.pid));
    };
    await sample();
    const [idle, idleHost] = [uses.daemon.pop(), uses.host.pop()];
    const sampling = setInterval(() => void sample(), sampleMs);
    const looking = setInterval(() => {
      const begin = process.cpuUsage();
      void scan.look().then(() => {
        const { user, system } = process.cpuUsage(begin);
        looks.push((user + system) / 1000);
      });
    }, sampleMs);
    const jobs = await keepBusy(stage, performance.now() + runMs);
    clearInterval(sampling);
    clearInterval(looking);
    await eventually('the sessions are gone', async () =>
      (await stage.client().call('listSessions')).sessions.every(({ exit }) => exit !== null) ? true : undefined,
    );
    await delay(2000);
    await sample();
    account(stage, jobs, await allEvents(stage), readRows<Total>(totalsFile));
    resources('daemon', [...(idle ? [idle] : []), ...uses.daemon], 200, '< 10 %');
    resources('host', [...(idleHost ? [idleHost] : []), ...uses.host], 0, '');
    const perLook = looks.slice(1).reduce((sum, ms) => sum + ms, 0) / Math.max(1, looks.length - 1);
    figure(
      `memory of ${agents} sessions, every 5 s`,
      `${perLook.toFixed(1)} ms of processor a look: ${((perLook / sampleMs) * 100).toFixed(2)} % of a core`,
      '< 1 %',
      perLook / sampleMs < 0.01,
    );
    const marked = (await findMarked()).filter(({ command }) => command.includes(stage.dir));
    figure('processes left', String(marked.length), '0', marked.length === 0);
  } finally {
    await stage.close();
    rmSync(join(totalsFile, '..'), { recursive: true, force: true });
  }
}

// --- two thousand that come and go

const atOnce = 8;

async function comeAndGo(): Promise<void> {
  const home = homeAt(mkdtempSync(join(tmpdir(), 'muster-cycles-')));
  const { pid } = await startHost(home);
  const waiting = new Map<string, (code: number | null) => void>();
  const client = await connectHost(home, {
    onNotice: (notice) => {
      if (notice.notice === 'exited') waiting.get(notice.sessionId)?.(notice.exit.code);
    },
    onClose: () => undefined,
  });
  await client.call('watch', {});
  let right = 0;
  const one = async (number: number): Promise<void> => {
    const sessionId = `s-cycle-${number}`;
    const exited = new Promise<number | null>((resolve) => waiting.set(sessionId, resolve));
    await client.call('spawn', {
      sessionId,
      instance: `soak-${process.pid}-${number}`,
      file: '/bin/sh',
      args: ['-c', `echo hello ${number}; exit ${number % 100}`],
      cwd: '/',
      env: { PATH: process.env.PATH ?? '' },
      cols: 80,
      rows: 24,
      dir: join(home.sessions, sessionId),
      recordingBytesMax: 100_000,
      title: 'soak',
    });
    const code = await exited;
    const { lines } = await client.call('tail', { sessionId, lines: 1000 });
    if (code === number % 100 && lines.join('').trim() === `hello ${number}`) right += 1;
    waiting.delete(sessionId);
    await client.call('acknowledge', { sessionId });
    rmSync(join(home.sessions, sessionId), { recursive: true, force: true });
  };
  const run = async (from: number, to: number): Promise<void> => {
    let next = from;
    const some = async (): Promise<void> => {
      while (next < to) await one(next++);
    };
    await Promise.all(Array.from({ length: atOnce }, some));
  };
  // What is loaded and opened once is no leak.
  const warm = Math.min(50, cycles);
  await run(0, warm);
  const before = await useOf(pid);
  const begin = performance.now();
  await run(warm, cycles);
  const seconds = (performance.now() - begin) / 1000;
  const after = await useOf(pid);
  const left = (await findMarked()).filter(({ instance }) => instance.startsWith(`soak-${process.pid}-`));
  figure(`${cycles} spawned and ended, exit and words right`, String(right), String(cycles), right === cycles);
  figure('  a second', ((cycles - warm) / seconds).toFixed(0));
  const same = after.descriptors <= before.descriptors;
  figure('  descriptors before / after', `${before.descriptors} / ${after.descriptors}`, 'no more', same);
  const mb = (bytes: number): string => (bytes / megabyte).toFixed(0);
  figure('  resident before / after', `${mb(before.rssBytes)} / ${mb(after.rssBytes)} MB`);
  figure('  processes left', String(left.length), '0', left.length === 0);
  await client.call('shutdown', { sessions: 'end' });
  rmSync(home.dir, { recursive: true, force: true });
}

await soak();
await comeAndGo();
printFigures();
process.exitCode = missed > 0 ? 1 : 0;
