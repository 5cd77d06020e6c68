/** The real host process changes its version, again and again, under real programs. One host for each test. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { randomToken } from '../../base/ids.ts';
import { delay } from '../../base/wait.ts';
import { type Home, homeAt } from '../../platform/home.ts';
import { type OwnCommand, ownCommand } from '../../platform/own-node.ts';
import { findOwnProcesses } from '../../platform/own-processes.ts';
import { findByMark, identify, isAlive } from '../../platform/processes.ts';
import type { HostNotice } from '../../protocol/host.ts';
import type { HostClient } from '../host-client.ts';
import { connectHost, describeHost, startHost, upgradeHost } from '../host-launch.ts';
import { openHostLink } from '../host-link.ts';

interface Stage {
  readonly home: Home;
  readonly pid: number;
  readonly connect: () => Promise<HostClient>;
  readonly notices: HostNotice[];
  readonly start: (script: string, id?: string) => Promise<{ id: string; instance: string }>;
}

async function openStage(): Promise<Stage> {
  const home = homeAt(mkdtempSync(join(tmpdir(), 'muster-upgrade-')));
  const { pid } = await startHost(home);
  const host = identify(pid);
  const notices: HostNotice[] = [];
  const marks: string[] = [];
  const connect = (): Promise<HostClient> =>
    connectHost(home, { onNotice: (notice) => notices.push(notice), onClose: () => undefined });
  onTestFinished(async () => {
    const client = await connect();
    await client.call('shutdown', { sessions: 'end' });
    await vi.waitFor(() => expect(host && isAlive(host)).toBe(false), { timeout: 5000 });
    for (const mark of marks) expect(await findByMark(mark)).toEqual([]);
    rmSync(home.dir, { recursive: true });
  });
  const start = async (script: string, id = `s-${randomToken(8)}`): Promise<{ id: string; instance: string }> => {
    const instance = `mark-${randomToken(16)}`;
    marks.push(instance);
    const client = await connect();
    await client.call('spawn', {
      sessionId: id,
      instance,
      file: 'bash',
      args: ['-c', script],
      cwd: '/',
      env: { PATH: process.env.PATH ?? '' },
      cols: 80,
      rows: 24,
      dir: join(home.sessions, id),
      recordingBytesMax: 50_000_000,
      title: 'test 1.0',
    });
    client.close();
    return { id, instance };
  };
  return { home, pid, connect, notices, start };
}

/** Follows a session over all breaks of the connection, each time from the offset at which it stood. */
function follow(stage: Stage, sessionId: string): { readonly text: () => string; readonly stop: () => void } {
  const chunks: Buffer[] = [];
  let at = 0;
  let client: HostClient | undefined;
  let stopped = false;
  const loop = async (): Promise<void> => {
    while (!stopped) {
      const gone = Promise.withResolvers<void>();
      try {
        client = await connectHost(stage.home, { onNotice: () => undefined, onClose: () => gone.resolve() });
        const { subscription, from } = await client.call('subscribe', {
          sessionId,
          from: at,
          creditBytes: 100_000_000,
        });
        if (from !== at) chunks.push(Buffer.from(`GAP ${at} ${from}\n`));
        client.onOutput(subscription, ({ offset, bytes }) => {
          if (offset !== at) chunks.push(Buffer.from(`JUMP ${at} ${offset}\n`));
          at = offset + bytes.length;
          chunks.push(bytes);
        });
        await gone.promise;
      } catch {
        // Between two connections.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  };
  void loop();
  return {
    text: () => Buffer.concat(chunks).toString(),
    stop: () => {
      stopped = true;
      client?.close();
    },
  };
}

const recordedText = (home: Home, id: string, code: string): string =>
  readFileSync(join(home.sessions, id, 'session.cast'), 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as [number, string, string])
    .filter((row) => row[1] === code)
    .map((row) => row[2])
    .join('');

const numbered = (lines: number): string =>
  Array.from({ length: lines }, (_, index) => `${index + 1} 한글 ✅\n`).join('');

it('[H21] ten sessions under numbered output and twenty upgrades: every byte once and in order, exits as they were', async () => {
  const stage = await openStage();
  const lines = 10_000;
  const script = (code: number): string =>
    `stty -onlcr; i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo "$i 한글 ✅"; [ $((i%100)) = 0 ] && sleep 0.0${1 + (code % 5)}; done; exit ${code}`;
  const codes = Array.from({ length: 10 }, (_, index) => 20 + index);
  await Promise.all(codes.map((code) => stage.start(script(code), `n-${code}`)));
  const followed = codes.map((code) => follow(stage, `n-${code}`));
  for (let upgrade = 1; upgrade <= 20; upgrade++) {
    const { pid, upgrades } = await upgradeHost(stage.home);
    expect({ pid, upgrades }).toEqual({ pid: stage.pid, upgrades: upgrade });
  }
  const expected = numbered(lines);
  await vi.waitFor(() => expect(followed.map((one) => one.text().length)).toEqual(codes.map(() => expected.length)), {
    timeout: 60_000,
    interval: 50,
  });
  const client = await stage.connect();
  const ended = async (): Promise<unknown> =>
    Object.fromEntries((await client.call('list', {})).sessions.map(({ sessionId, exit }) => [sessionId, exit?.code]));
  await vi.waitFor(
    async () => expect(await ended()).toEqual(Object.fromEntries(codes.map((code) => [`n-${code}`, code]))),
    {
      timeout: 10_000,
    },
  );
  for (const [index, code] of codes.entries()) {
    expect(followed[index]?.text() === expected, `n-${code} at its reader`).toBe(true);
    expect(recordedText(stage.home, `n-${code}`, 'o') === expected, `n-${code} recorded`).toBe(true);
    const { lines: tail } = await client.call('tail', { sessionId: `n-${code}`, lines: 2 });
    expect(tail.map((line) => line.trim())).toEqual([`${lines - 1} 한글 ✅`, `${lines} 한글 ✅`]);
  }
  for (const one of followed) one.stop();
  expect(readdirSync(stage.home.run).filter((name) => name.includes('upgrade'))).toEqual([]);
}, 120_000);

it('[H21] what a program has not read yet reaches it whole, an input is applied once, and a wait for the end goes on', async () => {
  const stage = await openStage();
  const reader = await stage.start('stty raw -echo; echo ready; sleep 1; head -c 300000 | md5sum; exit 4');
  const stubborn = await stage.start("trap '' TERM; echo ready; while :; do sleep 0.1; done");
  const before = await stage.connect();
  const one = follow(stage, reader.id);
  await vi.waitFor(() => expect(one.text()).toContain('ready'), { timeout: 5000 });
  const data = 'abcdefghij'.repeat(30_000);
  const asked = before.call('write', { sessionId: reader.id, inputId: 'big', data }).catch(() => undefined);
  const ending = before
    .call('end', { sessionId: stubborn.id, signal: 'SIGTERM', graceMs: 1500 })
    .catch(() => undefined);
  await upgradeHost(stage.home);
  await Promise.all([asked, ending]);
  const after = await stage.connect();
  const again = await after.call('write', { sessionId: reader.id, inputId: 'big', data });
  expect(again.applied).toBe('before');
  const exits = async (): Promise<unknown> =>
    Object.fromEntries(
      (await after.call('list', {})).sessions.map(({ sessionId, exit }) => [
        sessionId,
        exit && [exit.code, exit.signal],
      ]),
    );
  await vi.waitFor(
    async () => expect(await exits()).toEqual({ [reader.id]: [4, null], [stubborn.id]: [null, 'SIGKILL'] }),
    { timeout: 8000 },
  );
  expect(one.text()).toContain(createHash('md5').update(data).digest('hex'));
  expect(recordedText(stage.home, reader.id, 'i').length).toBeLessThanOrEqual(data.length);
  one.stop();
});

it('[H3] [H21] the rest of an input that had begun is not refused after upgrades, however long nobody reads', async () => {
  const stage = await openStage();
  const session = await stage.start('stty raw -echo; echo ready; sleep 13; head -c 300000 | md5sum; exit 4');
  const followed = follow(stage, session.id);
  await vi.waitFor(() => expect(followed.text()).toContain('ready'), { timeout: 5000 });
  const data = 'abcdefghij'.repeat(30_000);
  const before = await stage.connect();
  const asked = before.call('write', { sessionId: session.id, inputId: 'big', data }).catch(() => undefined);
  await upgradeHost(stage.home);
  await upgradeHost(stage.home);
  await asked;
  const after = await stage.connect();
  const again = await after.call('write', { sessionId: session.id, inputId: 'big', data });
  expect(again.applied).toBe('before');
  await vi.waitFor(() => expect(followed.text()).toContain(createHash('md5').update(data).digest('hex')), {
    timeout: 5000,
  });
  followed.stop();
}, 30_000);

it('[H22] a successor that can not be started, does not load, or fails in its takeover leaves everything as it was', async () => {
  const stage = await openStage();
  const session = await stage.start('i=0; while :; do i=$((i+1)); echo "line $i."; sleep 0.01; done');
  const followed = follow(stage, session.id);
  let versions = 0;
  const next = (source: string): OwnCommand => {
    const scratch = join(stage.home.dir, `next-${++versions}.ts`);
    writeFileSync(scratch, source);
    return ownCommand(scratch, ['--home', stage.home.dir]);
  };
  const main = readFileSync(new URL('./main.ts', import.meta.url), 'utf8');
  const serve = new URL('./serve.ts', import.meta.url).href;
  const broken: readonly [OwnCommand, RegExp][] = [
    [{ file: '/nowhere/node', args: [], env: {} }, /ENOENT/],
    [next('this is no program'), /ended with 1/],
    [next('process.exit(3)'), /ended with 3/],
  ];
  for (const [command, reason] of broken) await expect(upgradeHost(stage.home, command)).rejects.toThrow(reason);
  // It rehearses well, and then its modules are gone.
  const late = next(main.replace("import('./serve.ts')", `import(rehearse ? '${serve}' : './gone.ts')`));
  await expect(upgradeHost(stage.home, late)).rejects.toThrow(/gone\.ts/);
  // It takes the lock and every terminal, and then can't listen.
  const deaf = next(
    main
      .replace("import('./serve.ts')", `import('${serve}')`)
      .replace(
        'await serve({',
        "process.umask = () => { throw new Error('no umask'); };\n    if (rehearse) process.exit(0);\n    await serve({",
      ),
  );
  await expect(upgradeHost(stage.home, deaf)).rejects.toThrow(/no umask/);
  const { pid, upgrades } = await upgradeHost(stage.home);
  expect({ pid, more: upgrades > 0 }).toEqual({ pid: stage.pid, more: true });
  const last = (): number => Number(/line (\d+)\.\r\n$/.exec(followed.text())?.[1]);
  const seen = last();
  await vi.waitFor(() => expect(last()).toBeGreaterThan(seen + 20), { timeout: 5000 });
  followed.stop();
  const text = followed.text();
  expect(text).toBe(Array.from({ length: last() }, (_, index) => `line ${index + 1}.\r\n`).join(''));
}, 30_000);

it('[H7] whoever looks for a host during upgrades finds this one, and starts no other', async () => {
  const stage = await openStage();
  const upgrading = (async () => {
    for (let count = 0; count < 5; count++) await upgradeHost(stage.home);
  })();
  const found: number[] = [];
  let done = false;
  const looking = [1, 2].map(async () => {
    while (!done) found.push((await startHost(stage.home)).pid);
  });
  await upgrading;
  done = true;
  await Promise.all(looking);
  expect(new Set(found)).toEqual(new Set([stage.pid]));
  expect((await findOwnProcesses(stage.home)).map((one) => one.pid)).toEqual([stage.pid]);
  expect((await describeHost(stage.home)).upgrades).toBe(5);
}, 30_000);

it('[H21] a daemon that is connected hears of no loss, and its calls during the upgrade are answered', async () => {
  const stage = await openStage();
  const { id } = await stage.start('stty raw -echo; echo ready; cat');
  const losses: string[] = [];
  const opened: number[] = [];
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const link = await openHostLink({
    home: stage.home,
    log,
    onNotice: () => undefined,
    onConnected: async (client) => void (await client.call('watch', {})),
    onOpen: () => opened.push(performance.now()),
    onLost: (reason) => losses.push(reason),
  });
  const followed = follow(stage, id);
  await vi.waitFor(() => expect(followed.text()).toContain('ready'), { timeout: 5000 });
  let upgraded = false;
  const upgrades = (async () => {
    for (let count = 0; count < 4; count++) await upgradeHost(stage.home);
    upgraded = true;
  })();
  let typed = 0;
  while (!upgraded || typed < 50) {
    await link.call('write', { sessionId: id, inputId: `key-${typed}`, data: `<${typed}>` });
    typed++;
  }
  await upgrades;
  const expected = Array.from({ length: typed }, (_, index) => `<${index}>`).join('');
  await vi.waitFor(() => expect(followed.text().replace('ready\n', '')).toBe(expected), { timeout: 5000 });
  expect({ losses, opened: opened.length }).toEqual({ losses: [], opened: 5 });
  link.close();
  followed.stop();
}, 30_000);

it('[C3] a connection that is slow to be opened after an upgrade is not told as lost; one that can not be opened is', async () => {
  const stage = await openStage();
  const told: string[] = [];
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
  let connected: () => Promise<void> = async () => undefined;
  const link = await openHostLink({
    home: stage.home,
    log,
    onNotice: () => undefined,
    onConnected: async (client) => {
      await client.call('watch', {});
      await connected();
      told.push('connected');
    },
    onOpen: () => told.push('open'),
    onLost: () => told.push('lost'),
  });
  onTestFinished(link.close);
  // Longer than an announced break is kept quiet.
  connected = () => delay(3500);
  await upgradeHost(stage.home);
  await vi.waitFor(() => expect(told).toHaveLength(4), { timeout: 10_000 });
  let refused = 0;
  connected = async () => {
    if (refused++ === 0) throw new Error('not now');
  };
  await upgradeHost(stage.home);
  await vi.waitFor(() => expect(told).toHaveLength(7), { timeout: 10_000 });
  expect(told).toEqual(['connected', 'open', 'connected', 'open', 'lost', 'connected', 'open']);
}, 30_000);
