/**
 * A hostile child beside a well-behaved one, in one host: `node bench/hostile.ts [megabytes]`. It ignores TERM, forks away, prints every
 * escape sequence and floods 500 MB (test/peers/hostile-child.ts). What must hold is exact and decides the exit code: every byte counted,
 * the neighbour answered and its screen right, the host the same process, all of it gone within two seconds of its end.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { delay } from '../src/base/wait.ts';
import { homeAt } from '../src/platform/home.ts';
import { residentBytes } from '../src/platform/machine.ts';
import { findByMark, identify, isAlive } from '../src/platform/processes.ts';
import type { HostNotice } from '../src/protocol/host.ts';
import { connectHost, startHost } from '../src/sessions/host-launch.ts';

const megabytes = Number(process.argv[2] ?? 500);
const child = fileURLToPath(new URL('../test/peers/hostile-child.ts', import.meta.url));
const [graceMs, sweepMs] = [300, 2000];
const patienceMs = 180_000;

const rows: string[] = [];
let missed = 0;
function figure(what: string, value: string, kept?: boolean): void {
  if (kept === false) missed += 1;
  rows.push(`${what.padEnd(56)} ${value}${kept === undefined ? '' : kept ? '   kept' : '   MISSED'}`);
}

const home = homeAt(mkdtempSync(join(tmpdir(), 'muster-hostile-')));
const { pid } = await startHost(home);
const host = identify(pid);
const notices: HostNotice[] = [];
const client = await connectHost(home, { onNotice: (notice) => notices.push(notice), onClose: () => undefined });
await client.call('watch', {});

async function start(name: string, file: string, args: readonly string[]): Promise<void> {
  await client.call('spawn', {
    sessionId: name,
    instance: `hostile-${process.pid}-${name}`,
    file,
    args: [...args],
    cwd: '/',
    env: { PATH: process.env.PATH ?? '', HOME: home.dir },
    cols: 100,
    rows: 30,
    dir: join(home.sessions, name),
    recordingBytesMax: 16 * 1024 * 1024,
    title: name,
  });
}

const megabytesOf = async (): Promise<number> => ((await residentBytes(pid)) ?? Number.NaN) / 1024 / 1024;
const offsetOf = async (name: string): Promise<number> =>
  (await client.call('list', {})).sessions.find(({ sessionId }) => sessionId === name)?.offset ?? Number.NaN;

try {
  await start('neighbour', 'sh', ['-c', 'stty raw -echo; exec cat']);
  const { subscription } = await client.call('subscribe', { sessionId: 'neighbour', from: 0, creditBytes: 1e9 });
  let heard: () => void = () => undefined;
  client.onOutput(subscription, () => heard());
  await delay(500);
  const before = await megabytesOf();

  const totals = join(home.dir, 'totals');
  const begun = performance.now();
  await start('hostile', 'sh', [
    '-c',
    `stty raw -echo; exec '${process.execPath}' '${child}' ${megabytes} '${totals}'`,
  ]);
  const keys: number[] = [];
  let [most, total] = [before, ''];
  while (total === '' && performance.now() - begun < patienceMs) {
    const at = performance.now();
    const answer = new Promise<void>((resolve) => (heard = resolve));
    await client.call('write', { sessionId: 'neighbour', inputId: `k${keys.length}`, data: 'x' });
    await Promise.race([answer, delay(10_000)]);
    keys.push(performance.now() - at);
    most = Math.max(most, await megabytesOf());
    await delay(20);
    try {
      total = readFileSync(totals, 'utf8');
    } catch {
      // It is not through yet.
    }
  }
  const seconds = (performance.now() - begun) / 1000;
  figure('flood', `${(Number(total) / 1e6).toFixed(0)} MB in ${seconds.toFixed(0)} s`, total !== '');
  keys.sort((a, b) => a - b);
  const share = (part: number): string => (keys[Math.floor((keys.length - 1) * part)] ?? Number.NaN).toFixed(1);
  figure(`a neighbour's key, p50 / p99 / longest of ${keys.length}`, `${share(0.5)} / ${share(0.99)} / ${share(1)} ms`);
  figure('host, resident before / most', `${before.toFixed(0)} / ${most.toFixed(0)} MB`);

  const counted = await offsetOf('hostile');
  figure('bytes that the host counted', `${counted} of ${total} and what came after`, counted >= Number(total));
  const { screen } = await client.call('snapshot', { sessionId: 'hostile' });
  figure(
    'its screen after the last reset',
    JSON.stringify(screen.rows[0]),
    screen.rows[0]?.startsWith('the flood is over') === true,
  );

  const ended = performance.now();
  const { exit, swept } = await client.call('end', { sessionId: 'hostile', signal: 'SIGTERM', graceMs });
  const took = performance.now() - ended;
  const left = await findByMark(`hostile-${process.pid}-hostile`);
  figure('ended, and everything it had forked away', `${took.toFixed(0)} ms, ${swept} swept`, left.length === 0);
  figure('  by', String(exit?.signal), took < graceMs + sweepMs && exit?.signal === 'SIGKILL');

  await client.call('write', { sessionId: 'neighbour', inputId: 'last', data: 'the neighbour lives' });
  await delay(300);
  const { lines } = await client.call('tail', { sessionId: 'neighbour', lines: 40 });
  const shown = lines.join('');
  figure(
    "the neighbour's screen",
    `${shown.length} characters`,
    shown === `${'x'.repeat(keys.length)}the neighbour lives`,
  );
  figure('the host is the same process', String(pid), host !== undefined && isAlive(host));
  await client.call('acknowledge', { sessionId: 'hostile' });
  await delay(1000);
  figure('host, resident after', `${(await megabytesOf()).toFixed(0)} MB`);
} finally {
  await client.call('shutdown', { sessions: 'end' });
  await delay(500);
  rmSync(home.dir, { recursive: true, force: true });
}
for (const row of rows) console.log(row);
process.exitCode = missed > 0 ? 1 : 0;
