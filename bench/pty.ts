/**
 * How fast a session's bytes go through our terminal and through the whole host, against the plainest C reader of a PTY in the same run.
 *
 *   node bench/pty.ts [repeats]
 *
 * The candidates are interleaved and their order is turned around in every other repeat; medians and ratios are printed, because the
 * absolute numbers of a shared machine mean little. Needs `cc` for the C reader.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { homeAt } from '../src/platform/home.ts';
import { spawnPty } from '../src/platform/pty.ts';
import type { HostClient } from '../src/sessions/host-client.ts';
import { connectHost, startHost } from '../src/sessions/host-launch.ts';

const megabytes = 50;
const line = String.raw`\033[31mhello\033[0m world, this is a line of text with \033[1;32msome colour\033[0m`;
const flood = `yes "$(printf '${line}')" | head -c ${megabytes}000000`;
const echoes = 500;
const env = { PATH: process.env.PATH ?? '' };

const scratch = mkdtempSync(join(tmpdir(), 'muster-bench-'));
const reader = join(scratch, 'reader');
const compiled = spawnSync('cc', [
  '-O2',
  '-o',
  reader,
  fileURLToPath(new URL('./pty-reader.c', import.meta.url)),
  '-lutil',
]);
if (compiled.status !== 0) throw new Error(`the C reader could not be compiled: ${String(compiled.stderr)}`);
const home = homeAt(join(scratch, 'home'));
await startHost(home);
const ends = new Map<string, () => void>();
const client = await connectHost(home, {
  onNotice: (notice) => notice.notice === 'exited' && ends.get(notice.sessionId)?.(),
  onClose: () => undefined,
});
await client.call('watch', {});

let sessions = 0;
const results = new Map<string, number[]>();
const note = (name: string, value: number): void => void results.set(name, [...(results.get(name) ?? []), value]);
const candidates: (() => void | Promise<void>)[] = [
  throughputOfC,
  throughputOfTerminal,
  throughputOfHost,
  echoOfC,
  echoOfTerminal,
  echoOfHost,
];
const repeats = Number(process.argv[2] ?? 5);
for (let repeat = 0; repeat < repeats; repeat++) {
  for (const candidate of repeat % 2 === 0 ? candidates : candidates.toReversed()) await Promise.resolve(candidate());
}
await spawnMany(100);
report();
await client.call('shutdown', { sessions: 'end' });
rmSync(scratch, { recursive: true, force: true });

function throughputOfC(): void {
  const [bytes, seconds] = execFileSync(reader, ['throughput', flood], { encoding: 'utf8' }).split(' ').map(Number);
  note('throughput C, MB/s', (bytes ?? 0) / 1e6 / (seconds ?? 1));
}

async function throughputOfTerminal(): Promise<void> {
  const begun = performance.now();
  let bytes = 0;
  await new Promise<void>((resolve) => {
    const onOutput = (piece: Buffer): void => void (bytes += piece.length);
    spawnPty({ file: 'sh', args: ['-c', flood], cwd: '/', env, cols: 80, rows: 24, onOutput, onExit: () => resolve() });
  });
  note('throughput terminal, MB/s', bytes / 1e3 / (performance.now() - begun));
}

async function startSession(script: string): Promise<{ id: string; ended: Promise<void> }> {
  const id = `bench-${++sessions}`;
  const ended = new Promise<void>((resolve) => ends.set(id, resolve));
  const dir = join(home.sessions, id);
  const terminal = { cwd: '/', env, cols: 110, rows: 36, recordingBytesMax: 0, title: '' };
  await client.call('spawn', {
    sessionId: id,
    instance: `bench-${process.pid}-${id}`,
    file: 'sh',
    args: ['-c', script],
    dir,
    ...terminal,
  });
  return { id, ended };
}

/** With the screen model, and every byte received here. */
async function throughputOfHost(): Promise<void> {
  const begun = performance.now();
  const { id, ended } = await startSession(flood);
  const { subscription } = await client.call('subscribe', { sessionId: id, from: 0, creditBytes: 1e9 });
  let bytes = 0;
  client.onOutput(subscription, (piece) => void (bytes += piece.bytes.length));
  await ended;
  const { sessions: all } = await client.call('list', {});
  const printed = all.find((one) => one.sessionId === id)?.offset ?? 0;
  note('throughput host, MB/s', printed / 1e3 / (performance.now() - begun));
  note('host output skipped for a reader, %', (100 * (printed - bytes)) / printed);
  await client.call('acknowledge', { sessionId: id });
}

function echoOfC(): void {
  const [p50, p99] = execFileSync(reader, ['echo', String(echoes)], { encoding: 'utf8' })
    .split(' ')
    .map(Number);
  note('echo C p50, us', p50 ?? 0);
  note('echo C p99, us', p99 ?? 0);
}

async function echoOfTerminal(): Promise<void> {
  let heard: () => void = () => undefined;
  const spawned = spawnPty({
    file: 'sh',
    args: ['-c', 'stty raw -echo; printf R; exec cat'],
    cwd: '/',
    env,
    cols: 80,
    rows: 24,
    onOutput: () => heard(),
    onExit: () => undefined,
  });
  if (spawned.kind === 'refused') throw new Error(spawned.reason);
  await new Promise<void>((resolve) => (heard = resolve));
  await echo('echo terminal', (next) => {
    heard = next;
    void spawned.pty.write(Buffer.from('x'));
  });
  spawned.pty.signal('SIGKILL');
}

async function echoOfHost(): Promise<void> {
  const { id } = await startSession('stty raw -echo; printf R; exec cat');
  const { subscription } = await client.call('subscribe', { sessionId: id, from: 0, creditBytes: 1e9 });
  let heard: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => (heard = resolve));
  client.onOutput(subscription, () => heard());
  await ready;
  let inputs = 0;
  await echo('echo host', (next) => {
    heard = next;
    void client.call('write', { sessionId: id, inputId: `i${++inputs}`, data: 'x' });
  });
  await end(client, id);
}

async function echo(name: string, send: (next: () => void) => void): Promise<void> {
  const times: number[] = [];
  for (let index = 0; index < echoes; index++) {
    const begun = performance.now();
    await new Promise<void>(send);
    times.push((performance.now() - begun) * 1000);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  times.sort((a, b) => a - b);
  note(`${name} p50, us`, times[Math.floor(echoes / 2)] ?? 0);
  note(`${name} p99, us`, times[Math.floor(echoes * 0.99)] ?? 0);
}

/** Time until the last of `count` sessions that were asked for at once runs, and what they cost. */
async function spawnMany(count: number): Promise<void> {
  const before = (await client.call('list', {})).rssBytes;
  const begun = performance.now();
  const all = await Promise.all(Array.from({ length: count }, () => startSession('sleep 1000')));
  note(`${count} sessions at once, ms`, performance.now() - begun);
  note('host memory for each idle session, KB', ((await client.call('list', {})).rssBytes - before) / 1000 / count);
  await Promise.all(all.map(({ id }) => end(client, id)));
}

async function end(on: HostClient, sessionId: string): Promise<void> {
  await on.call('end', { sessionId, signal: 'SIGKILL', graceMs: 1000 });
  await on.call('acknowledge', { sessionId });
}

function report(): void {
  const median = (name: string): number => {
    const values = (results.get(name) ?? [0]).toSorted((a, b) => a - b);
    return values[Math.floor(values.length / 2)] ?? 0;
  };
  for (const name of results.keys()) {
    const base = name.replace(/terminal|host/, 'C');
    const ratio = base !== name && results.has(base) ? `  ${(median(name) / median(base)).toFixed(2)} x C` : '';
    console.log(`${name.padEnd(42)} ${median(name).toFixed(1).padStart(10)}${ratio}`);
  }
}
