/**
 * How fast a session's bytes go through the whole host (PTY, ring, screen model, socket, reader), how fast a key comes back, what a flood
 * next door costs, and how long an upgrade of the host is felt, against the plainest C reader of a PTY, node-pty alone, our terminal in
 * one process, and tmux (`pipe-pane` into a file, as one holds sessions with it), all in one run.
 *
 *   node bench/pty.ts [repeats] [megabytes]
 *
 * The candidates are interleaved and their order is turned around in every other repeat; medians and ratios are printed, because the
 * absolute numbers of a shared machine mean little. Needs `cc` for the C reader; without `tmux` its lines say so.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { homeAt } from '../src/platform/home.ts';
import { spawnPty } from '../src/platform/pty.ts';
import type { HostClient } from '../src/sessions/host-client.ts';
import { connectHost, startHost, upgradeHost } from '../src/sessions/host-launch.ts';

const repeats = Number(process.argv[2] ?? 5);
const megabytes = Number(process.argv[3] ?? 100);
const colours = String.raw`\033[31mhello\033[0m world, this is a line of text with \033[1;32msome colour\033[0m`;
/** Every line moves the cursor: no byte of it can be left out by the model. */
const repainted = String.raw`\033[5;1H\033[2Khello\033[0m world, this is a line \033[7;10Hof text \033[1;32mdrawn in places\033[0m`;
const floodOf = (line: string, size = megabytes): string => `yes "$(printf '${line}')" | head -c ${size}000000`;
const echoes = 1000;
const limitMs = 120_000;
const catScript = 'stty raw -echo; printf R; exec cat';
const env = { PATH: process.env.PATH ?? '' };

const scratch = mkdtempSync(join(tmpdir(), 'muster-bench-'));
const reader = join(scratch, 'reader');
const source = fileURLToPath(new URL('./pty-reader.c', import.meta.url));
const compiled = spawnSync('cc', ['-O2', '-o', reader, source, '-lutil']);
if (compiled.status !== 0) throw new Error(`the C reader could not be compiled: ${String(compiled.stderr)}`);
const nodePty = createRequire(import.meta.url)('node-pty') as typeof import('node-pty');
const hasTmux = spawnSync('tmux', ['-V']).status === 0;
const home = homeAt(join(scratch, 'home'));
await startHost(home);
const ends = new Map<string, () => void>();
let client = await connect();

let sessions = 0;
const results = new Map<string, number[]>();
const note = (name: string, value: number): void => void results.set(name, [...(results.get(name) ?? []), value]);
const candidates: (() => void | Promise<void>)[] = [
  throughputOfC,
  throughputOfNodePty,
  throughputOfTerminal,
  throughputOfTmux,
  () => throughputOfHost('host', colours),
  () => throughputOfHost('host, repainting', repainted),
  echoOfC,
  echoOfTerminal,
  echoOfHost,
  typingBesideFloods,
];
try {
  // The first run of anything compiles it.
  await throughputOfHost('warm-up', colours, 20);
  results.clear();
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const candidate of repeat % 2 === 0 ? candidates : candidates.toReversed()) await Promise.resolve(candidate());
  }
  await spawnMany(100);
  for (let repeat = 0; repeat < repeats; repeat++) await upgradeUnderKeys();
  report();
} finally {
  client = await connect();
  await client.call('shutdown', { sessions: 'end' });
  rmSync(scratch, { recursive: true, force: true });
}

async function connect(): Promise<HostClient> {
  const connected = await connectHost(home, {
    onNotice: (notice) => notice.notice === 'exited' && ends.get(notice.sessionId)?.(),
    onClose: () => undefined,
  });
  await connected.call('watch', {});
  return connected;
}

function throughputOfC(): void {
  const [bytes, seconds] = execFileSync(reader, ['throughput', floodOf(colours)], { encoding: 'utf8' })
    .split(' ')
    .map(Number);
  note('throughput C, MB/s', (bytes ?? 0) / 1e6 / (seconds ?? 1));
}

/** As it comes; it loses some of the last kilobytes. */
async function throughputOfNodePty(): Promise<void> {
  const begun = performance.now();
  let bytes = 0;
  const pty = nodePty.spawn('sh', ['-c', floodOf(colours)], { cols: 110, rows: 36, encoding: null, env });
  pty.onData((piece) => void (bytes += piece.length));
  await new Promise<void>((resolve) => pty.onExit(() => resolve()));
  note('throughput node-pty, MB/s', bytes / 1e3 / (performance.now() - begun));
}

async function throughputOfTerminal(): Promise<void> {
  const begun = performance.now();
  let bytes = 0;
  const place = { cwd: '/', env, cols: 110, rows: 36 };
  await new Promise<void>((resolve) => {
    const onOutput = (piece: Buffer): void => void (bytes += piece.length);
    spawnPty({ file: 'sh', args: ['-c', floodOf(colours)], ...place, onOutput, onExit: () => resolve() });
  });
  note('throughput terminal, MB/s', bytes / 1e3 / (performance.now() - begun));
}

/** A private server; a tenth of the bytes, because it is slow. */
async function throughputOfTmux(): Promise<void> {
  if (!hasTmux) return;
  const [server, piped] = [`muster-bench-${process.pid}`, join(scratch, 'tmux.out')];
  const tmux = (...args: string[]): string => execFileSync('tmux', ['-L', server, ...args], { encoding: 'utf8' });
  const script = `read go; ${floodOf(colours, megabytes / 10)}; echo; echo the-end; sleep 1000`;
  tmux('-f', '/dev/null', 'new-session', '-d', '-x', '110', '-y', '36', `sh -c '${script.replaceAll("'", `'\\''`)}'`);
  tmux('pipe-pane', `cat > ${piped}`);
  const begun = performance.now();
  tmux('send-keys', 'Enter');
  const size = (): number => statSync(piped, { throwIfNoEntry: false })?.size ?? 0;
  while (size() < megabytes * 1e5 && performance.now() - begun < limitMs) await pause(5);
  note('throughput tmux, MB/s', size() / 1e3 / (performance.now() - begun));
  tmux('kill-server');
  rmSync(piped, { force: true });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
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

/** With the screen model, until every byte was received here. */
async function throughputOfHost(name: string, line: string, size = megabytes): Promise<void> {
  const begun = performance.now();
  const { id, ended } = await startSession(floodOf(line, size));
  const { subscription } = await client.call('subscribe', { sessionId: id, from: 0, creditBytes: 1e9 });
  let [bytes, lastAt] = [0, 0];
  client.onOutput(subscription, (piece) => {
    bytes += piece.bytes.length;
    lastAt = performance.now();
  });
  await ended;
  const { sessions: all } = await client.call('list', {});
  const printed = all.find((one) => one.sessionId === id)?.offset ?? 0;
  note(`throughput ${name}, MB/s`, printed / 1e3 / (lastAt - begun));
  note(`${name}: skipped for its reader, %`, (100 * (printed - bytes)) / printed);
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
    args: ['-c', catScript],
    cwd: '/',
    env,
    cols: 80,
    rows: 24,
    onOutput: () => heard(),
    onExit: () => undefined,
  });
  if (spawned.kind === 'refused') throw new Error(spawned.reason);
  await new Promise<void>((resolve) => (heard = resolve));
  await echo('terminal', (next) => {
    heard = next;
    void spawned.pty.write(Buffer.from('x'));
  });
  spawned.pty.signal('SIGKILL');
}

async function echoOfHost(): Promise<void> {
  await typing('host', echoes);
}

/** Three sessions that flood without end, and one in which somebody types. */
async function typingBesideFloods(): Promise<void> {
  const floods = await Promise.all(
    [colours, repainted, colours].map((line) => startSession(`yes "$(printf '${line}')"`)),
  );
  await typing('host beside 3 floods', echoes / 5);
  for (const { id } of floods) await end(client, id);
}

async function typing(name: string, count: number): Promise<void> {
  const { id } = await startSession(catScript);
  const { subscription } = await client.call('subscribe', { sessionId: id, from: 0, creditBytes: 1e9 });
  let heard: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => (heard = resolve));
  client.onOutput(subscription, () => heard());
  await ready;
  let inputs = 0;
  const asked = (next: () => void): void => {
    heard = next;
    void client.call('write', { sessionId: id, inputId: `i${++inputs}`, data: 'x' });
  };
  await echo(name, asked, count);
  await end(client, id);
}

async function echo(name: string, send: (next: () => void) => void, count = echoes): Promise<void> {
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    const begun = performance.now();
    await new Promise<void>(send);
    times.push((performance.now() - begun) * 1000);
    await pause(1);
  }
  times.sort((a, b) => a - b);
  note(`echo ${name} p50, us`, times[Math.floor(count / 2)] ?? 0);
  note(`echo ${name} p99, us`, times[Math.floor(count * 0.99)] ?? 0);
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

/** Ten sessions that print, and somebody who types all the while: how long a key was not answered. */
async function upgradeUnderKeys(): Promise<void> {
  const printing = await Promise.all(
    Array.from({ length: 10 }, () => startSession('while :; do seq 1 200; sleep 0.05; done')),
  );
  const { id } = await startSession(catScript);
  let done = false;
  const upgrading = upgradeHost(home).finally(() => (done = true));
  let longest = 0;
  for (let key = 0; !done; key++) {
    const begun = performance.now();
    await press(id, `up-${key}`);
    longest = Math.max(longest, performance.now() - begun);
    await pause(5);
  }
  note('upgrade with 10 sessions: silence, ms', (await upgrading).pauseMs);
  note('upgrade with 10 sessions: longest wait for a key, ms', longest);
  for (const one of [...printing, { id }]) await end(client, one.id);
}

/** Until it is written, over a break of the connection. */
async function press(id: string, inputId: string): Promise<void> {
  for (;;) {
    try {
      return void (await client.call('write', { sessionId: id, inputId, data: 'x' }));
    } catch {
      await pause(5);
      client = await connect().catch(() => client);
    }
  }
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
    const base = name.replace(/^(throughput|echo) .*?(?=,| p\d\d)/, '$1 C');
    const ratio = base !== name && results.has(base) ? `  ${(median(name) / median(base)).toFixed(2)} x C` : '';
    console.log(`${name.padEnd(54)} ${median(name).toFixed(1).padStart(10)}${ratio}`);
  }
  if (!hasTmux) console.log('tmux is not installed: not compared');
}
