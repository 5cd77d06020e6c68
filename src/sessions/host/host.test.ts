/** The real host process, its real socket, real programs on real PTYs. One host for the file; sessions of a test end with it. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { randomToken } from '../../base/ids.ts';
import { type Home, homeAt } from '../../platform/home.ts';
import { findOwnProcesses } from '../../platform/own-processes.ts';
import { findByMark, identify, isAlive } from '../../platform/processes.ts';
import { type HostNotice, keysInputPrefix, type Spawn } from '../../protocol/host.ts';
import { messageFrame } from '../frames.ts';
import { type HostClient, hostErrorOf } from '../host-client.ts';
import { connectHost, startHost } from '../host-launch.ts';
import { readTombstone } from '../tombstone.ts';

const canLimit = spawnSync('prlimit', ['--version']).status === 0;

let home: Home;
let client: HostClient;
const notices: HostNotice[] = [];

beforeAll(async () => {
  home = homeAt(mkdtempSync(join(tmpdir(), 'muster-host-')));
  await startHost(home);
  client = await connect();
  await client.call('watch', {});
});

afterAll(async () => {
  const host = identify(client.hello.pid);
  await client.call('shutdown', { sessions: 'end' });
  await vi.waitFor(() => expect(host === undefined || isAlive(host)).toBe(false), { timeout: 5000 });
  rmSync(home.dir, { recursive: true });
});

const connect = (): Promise<HostClient> =>
  connectHost(home, { onNotice: (notice) => notices.push(notice), onClose: () => undefined });

interface Started {
  readonly id: string;
  readonly spec: Spawn;
  /** All output from the first byte, while the credit lasts. */
  readonly text: () => string;
  readonly saw: (what: string) => Promise<void>;
  readonly exited: () => Promise<HostNotice & { notice: 'exited' }>;
}

async function start(script: string, changes: Partial<Spawn> = {}): Promise<Started> {
  const id = `s-${randomToken(10)}`;
  const spec: Spawn = {
    sessionId: id,
    instance: `mark-${randomToken(16)}`,
    file: 'bash',
    args: ['-c', script],
    cwd: '/',
    env: { PATH: process.env.PATH ?? '' },
    cols: 80,
    rows: 24,
    dir: join(home.sessions, id),
    recordingBytesMax: 10_000_000,
    title: 'test 1.0',
    ...changes,
  };
  await client.call('spawn', spec);
  onTestFinished(async () => {
    await client.call('end', { sessionId: id, signal: 'SIGKILL', graceMs: 0 }).catch(() => undefined);
    expect(await findByMark(spec.instance)).toEqual([]);
  });
  const chunks: Buffer[] = [];
  const { subscription } = await client.call('subscribe', { sessionId: id, from: 0, creditBytes: 100_000_000 });
  client.onOutput(subscription, ({ bytes }) => chunks.push(bytes));
  const text = (): string => Buffer.concat(chunks).toString();
  return {
    id,
    spec,
    text,
    saw: (what) => vi.waitFor(() => expect(text()).toContain(what), { timeout: 5000, interval: 5 }),
    exited: () =>
      vi.waitFor(
        () => {
          const notice = notices.find((one) => one.notice === 'exited' && one.sessionId === id);
          if (notice?.notice !== 'exited') throw new Error(`${id} has not exited`);
          return notice;
        },
        { timeout: 10_000, interval: 5 },
      ),
  };
}

/** Changes how many files a process may have open. */
function openFilesLimit(pid: number): (files: '3' | 'before') => void {
  const prlimit = (...args: string[]): string =>
    execFileSync('prlimit', ['--pid', String(pid), ...args], { encoding: 'utf8' });
  const before = prlimit('--nofile', '-o', 'SOFT', '--noheadings').trim();
  return (files) => void prlimit(`--nofile=${files === 'before' ? before : files}:`);
}

/** Pids of all processes that were started as a host of this home. */
async function hostsOf(other: Home): Promise<number[]> {
  return (await findOwnProcesses(other)).filter((one) => one.role === 'host').map((one) => one.pid);
}

/** Ends the host of another home and waits until it is gone. */
async function leave(other: Home): Promise<void> {
  const { pid } = await startHost(other);
  const host = identify(pid);
  const peer = await connectHost(other, { onNotice: () => undefined, onClose: () => undefined });
  await peer.call('shutdown', { sessions: 'end' });
  await vi.waitFor(() => expect(host !== undefined && isAlive(host)).toBe(false), { timeout: 5000 });
}

const recorded = (session: Started): [number, string, string][] =>
  readFileSync(join(session.spec.dir, 'session.cast'), 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as [number, string, string]);

const recordedText = (session: Started, code: string): string =>
  recorded(session)
    .filter((row) => row[1] === code)
    .map((row) => row[2])
    .join('');

describe('a session', () => {
  it('[H1] its output is whole in the ring, the recording and at the subscriber, and the exit comes after it', async () => {
    const session = await start('stty -onlcr; echo 한글; seq 1 20000; exit 7');
    const exited = await session.exited();
    const expected = `한글\n${Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join('')}`;
    await vi.waitFor(() => expect(session.text().length).toBe(expected.length), { timeout: 5000 });
    expect(session.text()).toBe(expected);
    expect(recordedText(session, 'o')).toBe(expected);
    expect({ ...exited, exit: { ...exited.exit, at: 0 } }).toEqual({
      notice: 'exited',
      sessionId: session.id,
      exit: { code: 7, signal: null, at: 0 },
      offset: Buffer.byteLength(expected),
      swept: 0,
    });
    expect(recordedText(session, 'x')).toBe('{"code":7,"signal":0}');
  });

  it('[H3] an input is applied once per id, also when it is asked for twice at the same time', async () => {
    const session = await start('stty raw -echo; echo ready; head -c 6; echo; echo end');
    await session.saw('ready');
    const write = (inputId: string, data: string): Promise<{ applied: string; at: number }> =>
      client.call('write', { sessionId: session.id, inputId, data });
    const both = await Promise.all([write('one', 'abc'), write('one', 'abc')]);
    const again = await write('one', 'abc');
    await write('two', 'def');
    await session.saw('end');
    expect([...both, again].map((one) => one.applied)).toEqual(['now', 'before', 'before']);
    expect(new Set([...both, again].map((one) => one.at)).size).toBe(1);
    const { at } = await client.call('inputs', { sessionId: session.id, inputIds: ['one', 'never'] });
    expect(at).toEqual({ one: again.at, never: null });
    expect(session.text()).toContain('abcdef');
    await session.exited();
    expect(recordedText(session, 'i')).toBe('abcdef');
  });

  it('[H3] a prompt is remembered however much a person types after it', async () => {
    const session = await start('stty raw -echo; echo ready; cat');
    await session.saw('ready');
    const write = (inputId: string): Promise<{ applied: string }> =>
      client.call('write', { sessionId: session.id, inputId, data: 'x' });
    await write('prompt');
    for (let batch = 0; batch < 6; batch++)
      await Promise.all(Array.from({ length: 100 }, (_, index) => write(`${keysInputPrefix}${batch}-${index}`)));
    expect((await write('prompt')).applied).toBe('before');
    expect((await write(`${keysInputPrefix}5-99`)).applied).toBe('before');
  });

  it('[H3] a megabyte arrives whole', async () => {
    const session = await start('stty raw -echo; echo ready; head -c 1000000 | md5sum');
    await session.saw('ready');
    const data = Array.from({ length: 100_000 }, (_, index) => String(index).padStart(9, '0').concat('.')).join('');
    await client.call('write', { sessionId: session.id, inputId: 'big', data });
    const { createHash } = await import('node:crypto');
    await session.saw(createHash('md5').update(data).digest('hex'));
  });

  it('[H15] asked for twice at once, one is started', async () => {
    const session = await start('echo once; sleep 100; true');
    const again = await Promise.all([client.call('spawn', session.spec), client.call('spawn', session.spec)]);
    const { sessions } = await client.call('list', {});
    const pid = sessions.find((one) => one.sessionId === session.id)?.pid;
    expect(again.map((one) => [one.already, one.session.pid])).toEqual([
      [true, pid],
      [true, pid],
    ]);
    await vi.waitFor(async () => expect(await findByMark(session.spec.instance)).toHaveLength(2));
  });

  it('[H16] gets the given environment and what its terminal stands for', async () => {
    const session = await start('env -0 | tr "\\0" "\\n"; echo end', {
      env: { PATH: process.env.PATH ?? '', LANG: 'C', ONLY: 'x' },
    });
    await session.saw('end');
    const names = session
      .text()
      .split('\r\n')
      .filter((line) => /^(LANG|TERM|COLORTERM|ONLY|MUSTER_\w+|NODE\w*)=/.test(line));
    expect(new Set(names)).toEqual(
      new Set([
        'LANG=C.UTF-8',
        'TERM=xterm-256color',
        'COLORTERM=truecolor',
        'ONLY=x',
        `MUSTER_SESSION=${session.id}`,
        `MUSTER_INSTANCE=${session.spec.instance}`,
      ]),
    );
  });

  it('[H16] no program gets what the host’s parent had left open', async ({ skip }) => {
    skip(process.platform !== 'linux', 'to see what a program has open needs /proc');
    const other = homeAt(mkdtempSync(join(tmpdir(), 'muster-host-')));
    onTestFinished(() => rmSync(other.dir, { recursive: true, force: true }));
    const script = `
      import { startHost } from ${JSON.stringify(fileURLToPath(new URL('../host-launch.ts', import.meta.url)))};
      import { homeAt } from ${JSON.stringify(fileURLToPath(new URL('../../platform/home.ts', import.meta.url)))};
      await startHost(homeAt(${JSON.stringify(other.dir)}));`;
    const parent = spawn('bash', [
      '-c',
      'exec 40</dev/null; exec "$0" --input-type=module -e "$1"',
      process.execPath,
      script,
    ]);
    await new Promise((resolve) => parent.once('exit', resolve));
    const peer = await connectHost(other, { onNotice: () => undefined, onClose: () => undefined });
    const spec = {
      cwd: '/',
      env: { PATH: process.env.PATH ?? '' },
      cols: 80,
      rows: 24,
      recordingBytesMax: 0,
      title: '',
    };
    const dir = join(other.sessions, 's-3');
    const ls = {
      ...spec,
      sessionId: 's-3',
      instance: `mark-${randomToken(16)}`,
      file: 'ls',
      args: ['/proc/self/fd'],
      dir,
    };
    await peer.call('spawn', ls);
    await vi.waitFor(async () => expect((await peer.call('list', {})).sessions[0]?.exit).not.toBeNull());
    // The fourth is the one with which ls reads the folder.
    expect((await peer.call('tail', { sessionId: 's-3', lines: 5 })).lines.join(' ').split(/\s+/)).toEqual([
      '0',
      '1',
      '2',
      '3',
    ]);
    peer.close();
    await leave(other);
  });

  it('a program that is missing is refused, and leaves nothing in the list', async () => {
    const error = await start('', { file: 'no-such-program' }).catch((caught: unknown) => caught);
    expect([hostErrorOf(error), String(error)]).toEqual([
      'spawn-failed',
      'Fault: The PTY host refused spawn (spawn-failed): the program is missing or not executable: no-such-program',
    ]);
  });

  it('is resized, its program hears of it, and the recording and the watchers too', async () => {
    const session = await start('trap "stty size" WINCH; echo ready; while :; do read -t 0.05; done');
    await session.saw('ready');
    await client.call('resize', { sessionId: session.id, cols: 100, rows: 30 });
    await session.saw('30 100');
    expect(notices).toContainEqual({ notice: 'resized', sessionId: session.id, cols: 100, rows: 30 });
    await client.call('end', { sessionId: session.id, signal: 'SIGKILL', graceMs: 0 });
    expect(recordedText(session, 'r')).toBe('100x30');
  });
});

describe('an end', () => {
  it('[H5] that ignores every signal, forks away and floods is over within the grace and two seconds', async () => {
    const session = await start(
      'trap "" TERM HUP INT; (setsid bash -c "trap \\"\\" TERM HUP; sleep 100" &); (nohup sleep 100 &); echo ready; yes',
    );
    await session.saw('ready');
    const begun = performance.now();
    const { exit, swept } = await client.call('end', { sessionId: session.id, signal: 'SIGTERM', graceMs: 300 });
    expect(performance.now() - begun).toBeLessThan(2500);
    expect({ signal: exit?.signal, left: await findByMark(session.spec.instance) }).toEqual({
      signal: 'SIGKILL',
      left: [],
    });
    expect(swept).toBeGreaterThanOrEqual(1);
  });

  it('[H5] of its own leaves no orphan, and tells how many it had left', async () => {
    const session = await start('(setsid sleep 100 &); sleep 0.1; exit 0');
    const { swept, exit } = await session.exited();
    expect({ swept, code: exit.code, left: await findByMark(session.spec.instance) }).toEqual({
      swept: 1,
      code: 0,
      left: [],
    });
  });

  it('[H5] gives what the program leaves behind the grace that was asked for', async () => {
    const session = await start(
      '(setsid bash -c \'echo up; sleep 0.5; echo saved > "$FILE"\' &); trap "exit 0" TERM; echo ready; while :; do read -t 0.05; done',
      {
        env: { PATH: process.env.PATH ?? '', FILE: join(home.dir, 'saved') },
      },
    );
    await session.saw('ready');
    await session.saw('up');
    await client.call('end', { sessionId: session.id, signal: 'SIGTERM', graceMs: 5000 });
    expect(readFileSync(join(home.dir, 'saved'), 'utf8')).toBe('saved\n');
  });

  it('[H5] [H6] is told also by a host that can open no more files, and what is left ends later', async ({ skip }) => {
    skip(!canLimit, 'to leave a host without descriptors needs prlimit');
    const session = await start('setsid sleep 100 & echo ready; exec sleep 100');
    await session.saw('ready');
    const { sessions } = await client.call('list', {});
    const own = sessions.find((one) => one.sessionId === session.id);
    const mark = join(home.run, 'held', session.id);
    const limitFiles = openFilesLimit(client.hello.pid);
    limitFiles('3');
    try {
      process.kill(own?.pid ?? 0, 'SIGKILL');
      expect((await session.exited()).exit.signal).toBe('SIGKILL');
      expect(readFileSync(mark, 'utf8')).toBe(session.spec.instance);
    } finally {
      limitFiles('before');
    }
    await vi.waitFor(() => expect(existsSync(mark)).toBe(false), { timeout: 6000 });
    expect(await findByMark(session.spec.instance)).toEqual([]);
    await client.call('acknowledge', { sessionId: session.id });
  });

  it('[H6] is on disk before it is told, stays until acknowledged, and is then forgotten', async () => {
    const session = await start('printf "\\e]0;the title\\a"; echo last words; kill -9 $$');
    const { exit, offset } = await session.exited();
    const tombstone = await readTombstone(session.spec.dir);
    const listed = (await client.call('list', {})).sessions.find((one) => one.sessionId === session.id);
    expect(tombstone).toMatchObject({
      sessionId: session.id,
      exit,
      offset,
      title: 'the title',
      tail: ['last words'],
      swept: 0,
    });
    expect([exit.code, exit.signal, listed?.exit]).toEqual([null, 'SIGKILL', exit]);
    const write = client.call('write', { sessionId: session.id, inputId: 'late', data: 'x' });
    expect(hostErrorOf(await write.catch((error: unknown) => error))).toBe('not-running');
    await client.call('acknowledge', { sessionId: session.id });
    expect(await readTombstone(session.spec.dir)).toBeUndefined();
    const gone = await client.call('snapshot', { sessionId: session.id }).catch((error: unknown) => error);
    expect(hostErrorOf(gone)).toBe('no-session');
  });
});

describe('readers', () => {
  it('[H9] one without credit does not slow the session, and is told of the gap', async () => {
    const session = await start(
      'stty raw -echo; echo ready; read; head -c 5000000 /dev/zero | tr "\\0" x; echo; echo end',
    );
    await session.saw('ready');
    const slow = await client.call('subscribe', { sessionId: session.id, from: 0, creditBytes: 5 });
    const pieces: { offset: number; length: number }[] = [];
    client.onOutput(slow.subscription, ({ offset, bytes }) => pieces.push({ offset, length: bytes.length }));
    await client.call('write', { sessionId: session.id, inputId: 'go', data: '\n' });
    await session.exited();
    expect(pieces).toEqual([{ offset: 0, length: 5 }]);
    await client.call('credit', { subscription: slow.subscription, bytes: 10 });
    await vi.waitFor(() => expect(pieces).toHaveLength(2));
    const { sessions } = await client.call('list', {});
    const ringOffset = sessions.find((one) => one.sessionId === session.id)?.ringOffset;
    expect(pieces[1]).toEqual({ offset: ringOffset, length: 10 });
    expect(notices).toContainEqual({ notice: 'gap', subscription: slow.subscription, offset: ringOffset });
  });

  it('[H9] a peer that does not read its socket is closed within its bound', async () => {
    const token = readFileSync(home.hostToken, 'utf8').trim();
    const deaf = createConnection(home.hostSocket);
    onTestFinished(() => void deaf.destroy());
    deaf.pause();
    const hello = { id: 1, method: 'hello', params: { version: 1, token } };
    deaf.write(Buffer.concat([messageFrame(hello), messageFrame({ id: 2, method: 'watch', params: {} })]));
    const script = 'while :; do printf "\\e[H"; for i in $(seq 1 399); do printf "%0399d\\r\\n" $RANDOM; done; done';
    const session = await start(script, { cols: 400, rows: 400, recordingBytesMax: 0 });
    // More notices than may wait for it: 160 KB each.
    const told = (): number => notices.filter((one) => one.notice === 'screen' && one.sessionId === session.id).length;
    await vi.waitFor(() => expect(told()).toBeGreaterThan(150), { timeout: 30_000 });
    let received = 0;
    const closed = new Promise((resolve) => deaf.once('close', resolve));
    deaf.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    deaf.resume();
    await closed;
    expect(received).toBeLessThan(20 * 1024 * 1024);
    expect((await client.call('list', {})).rssBytes).toBeLessThan(400 * 1024 * 1024);
  }, 60_000);

  it('goes on at an offset that is still in the ring', async () => {
    const session = await start('echo 0123456789; sleep 100');
    await session.saw('9');
    const { subscription, from } = await client.call('subscribe', { sessionId: session.id, from: 4, creditBytes: 100 });
    let text = '';
    client.onOutput(subscription, ({ bytes }) => {
      text += bytes.toString();
    });
    await vi.waitFor(() => expect([from, text]).toEqual([4, '456789\r\n']));
  });
});

describe('screens', () => {
  const screensOf = (id: string): string[] =>
    notices.flatMap((one) =>
      one.notice === 'screen' && one.sessionId === id ? [one.screen.rows.join('\n').trimEnd()] : [],
    );

  it('[H13] are told at most every 50 ms, and the last one always', async () => {
    const session = await start('for i in $(seq 1 3000); do printf "\\e[H%s" $i; done; read; exit 0');
    await vi.waitFor(() => expect(screensOf(session.id).at(-1)).toBe('3000'), { timeout: 5000 });
    const ats = notices.flatMap((one) => (one.notice === 'screen' && one.sessionId === session.id ? [one.at] : []));
    const gaps = ats.slice(1).map((at, index) => at - (ats[index] ?? 0));
    expect(Math.min(...gaps, 1000)).toBeGreaterThanOrEqual(45);
  });

  it('[H13] are not told from the middle of a synchronized update', async () => {
    const session = await start('printf "\\e[?2026h\\e[Hhalf"; sleep 0.3; printf " whole\\e[?2026l"; read');
    await vi.waitFor(() => expect(screensOf(session.id).at(-1)).toBe('half whole'), { timeout: 5000 });
    expect(screensOf(session.id)).not.toContain('half');
  });

  it('[H13] are told although an update never ends', async () => {
    const session = await start('printf "\\e[?2026h\\e[Hhalf"; read');
    await vi.waitFor(() => expect(screensOf(session.id).at(-1)).toBe('half'), { timeout: 5000 });
  });

  it('[H11] a program that asks gets its answers through the host', async () => {
    const session = await start(
      'stty raw -echo; printf "\\e]7501;?\\a\\e[c"; head -c 17 | od -An -c -w32; printf "\\e]7501;state=idle\\a"; read',
    );
    await session.saw('033   ]   7   5   0   1   ;   ? 033   \\ 033   [   ?   1   ;   2   c');
    await vi.waitFor(() =>
      expect(notices.filter((one) => one.notice === 'signal' && one.sessionId === session.id)).toMatchObject([
        { kind: 'osc7501', text: 'state=idle' },
      ]),
    );
    const listed = (await client.call('list', {})).sessions.find((one) => one.sessionId === session.id);
    expect(listed?.programStatus).toEqual({ '': 'state=idle' });
  });
});

describe('a recording', () => {
  it('[H14] stops at its limit with a whole line and a mark; the session goes on', async () => {
    const session = await start('seq 1 100000; echo end', { recordingBytesMax: 20_000 });
    await session.exited();
    const rows = recorded(session);
    expect(rows.slice(-2).map((row) => row.slice(1))).toEqual([
      ['m', 'recording stopped at its size limit'],
      ['x', '{"code":0,"signal":0}'],
    ]);
    expect(statSync(join(session.spec.dir, 'session.cast')).size).toBeLessThan(21_000);
    await session.saw('end');
  });

  it('[H14] on a full disk is given up; the session goes on', async () => {
    const session = await start('echo one; sleep 0.4; seq 1 1000; echo end', { dir: fullDisk() });
    expect((await session.exited()).exit.code).toBe(0);
    await session.saw('end');
  });

  it('keeps notes as evidence', async () => {
    const session = await start('read');
    await client.call('note', { sessionId: session.id, source: 'hook', payload: { hook_event_name: 'Stop' } });
    await client.call('end', { sessionId: session.id, signal: 'SIGKILL', graceMs: 0 });
    expect(recordedText(session, 'e')).toBe('{"source":"hook","payload":{"hook_event_name":"Stop"}}');
  });

  /** A folder whose recording is a device that is always full. */
  function fullDisk(): string {
    const dir = mkdtempSync(join(tmpdir(), 'muster-full-'));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    const made = spawn('ln', ['-s', '/dev/full', join(dir, 'session.cast')]);
    return made.pid === undefined ? '' : dir;
  }
});

describe('the host', () => {
  it('[H7] started five times at once is one', async () => {
    const other = homeAt(mkdtempSync(join(tmpdir(), 'muster-host-')));
    onTestFinished(() => rmSync(other.dir, { recursive: true, force: true }));
    const started = await Promise.all(Array.from({ length: 5 }, () => startHost(other)));
    expect(new Set(started.map((one) => one.pid)).size).toBe(1);
    expect((await startHost(other)).already).toBe(true);
    // Those that were slower have gone, and do not take over when the one that was faster leaves.
    expect(await hostsOf(other)).toEqual([started[0]?.pid]);
    await leave(other);
  });

  it('[H7] starts over a socket and a record that a killed one left', async () => {
    const other = homeAt(mkdtempSync(join(tmpdir(), 'muster-host-')));
    onTestFinished(() => rmSync(other.dir, { recursive: true, force: true }));
    const first = await startHost(other);
    process.kill(first.pid, 'SIGKILL');
    await vi.waitFor(() => expect(identify(first.pid)).toBeUndefined());
    expect(existsSync(other.hostSocket)).toBe(true);
    const second = await startHost(other);
    expect([second.already, second.pid === first.pid]).toEqual([false, false]);
    await leave(other);
  });

  it('[H23] ends what a killed one left behind, before it serves, and nothing else', async () => {
    const other = homeAt(mkdtempSync(join(tmpdir(), 'muster-host-')));
    const first = identify((await startHost(other)).pid);
    const peer = await connectHost(other, { onNotice: () => undefined, onClose: () => undefined });
    const marks = [1, 2, 3].map(() => `mark-${randomToken(16)}`);
    for (const [index, instance] of marks.entries()) {
      const script = "trap '' HUP; (setsid sleep 1000 &) ; sleep 1000";
      const terminal = {
        cwd: '/',
        env: { PATH: process.env.PATH ?? '' },
        cols: 80,
        rows: 24,
        recordingBytesMax: 0,
        title: '',
      };
      const place = { sessionId: `left-${index}`, dir: join(other.sessions, `left-${index}`) };
      await peer.call('spawn', { ...place, ...terminal, instance, file: 'bash', args: ['-c', script] });
    }
    const bystander = spawn('sleep', ['1000'], { env: { ...process.env, MUSTER_INSTANCE: `mark-${randomToken(16)}` } });
    const left = async (): Promise<number[]> => (await Promise.all(marks.map(findByMark))).map((all) => all.length);
    await vi.waitFor(async () => expect(Math.min(...(await left()))).toBeGreaterThan(1), { timeout: 5000 });
    process.kill(first?.pid ?? 0, 'SIGKILL');
    await vi.waitFor(() => expect(first && isAlive(first)).toBe(false));
    await startHost(other);
    expect(await left()).toEqual([0, 0, 0]);
    expect(bystander.exitCode).toBeNull();
    expect(readdirSync(join(other.run, 'held'))).toEqual([]);
    bystander.kill('SIGKILL');
    await leave(other);
    rmSync(other.dir, { recursive: true });
  });

  it('[H8] keeps its sessions when the process that started it and was connected is killed', async () => {
    const other = homeAt(mkdtempSync(join(tmpdir(), 'muster-host-')));
    onTestFinished(() => rmSync(other.dir, { recursive: true, force: true }));
    const script = `
      import { startHost, connectHost } from ${JSON.stringify(fileURLToPath(new URL('../host-launch.ts', import.meta.url)))};
      import { homeAt } from ${JSON.stringify(fileURLToPath(new URL('../../platform/home.ts', import.meta.url)))};
      const home = homeAt(${JSON.stringify(other.dir)});
      await startHost(home);
      const client = await connectHost(home, { onNotice() {}, onClose() {} });
      await client.call('spawn', { sessionId: 's-1', instance: 'mark-survivor-${randomToken(8)}', file: 'bash', args: ['-c', 'while :; do echo tick; sleep 0.05; done'],
        cwd: '/', env: { PATH: process.env.PATH }, cols: 80, rows: 24, dir: home.sessions + '/s-1', recordingBytesMax: 0, title: '' });
      console.log('spawned');
      setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => parent.stdout.once('data', resolve));
    parent.kill('SIGKILL');
    await new Promise((resolve) => parent.once('exit', resolve));
    const next = await connectHost(other, { onNotice: () => undefined, onClose: () => undefined });
    const before = (await next.call('list', {})).sessions[0];
    await vi.waitFor(async () => {
      const now = (await next.call('list', {})).sessions[0];
      expect([now?.exit, (now?.offset ?? 0) > (before?.offset ?? 0)]).toEqual([null, true]);
    });
    next.close();
    await leave(other);
  });

  it('[H17] told to leave by SIGTERM leaves no process, no socket and no record', async () => {
    const other = homeAt(mkdtempSync(join(tmpdir(), 'muster-host-')));
    onTestFinished(() => rmSync(other.dir, { recursive: true, force: true }));
    const { pid } = await startHost(other);
    const peer = await connectHost(other, { onNotice: () => undefined, onClose: () => undefined });
    const instance = `mark-${randomToken(16)}`;
    await peer.call('spawn', {
      sessionId: 's-2',
      instance,
      file: 'bash',
      args: ['-c', 'trap "" TERM; (setsid sleep 100 &); sleep 100; sleep 100'],
      cwd: '/',
      env: { PATH: process.env.PATH ?? '' },
      cols: 80,
      rows: 24,
      dir: join(other.sessions, 's-2'),
      recordingBytesMax: 0,
      title: '',
    });
    const host = identify(pid);
    process.kill(pid, 'SIGHUP');
    process.kill(pid, 'SIGTERM');
    await vi.waitFor(() => expect(host !== undefined && isAlive(host)).toBe(false), { timeout: 10_000 });
    expect({
      left: await findByMark(instance),
      run: readdirSync(other.run).toSorted((a, b) => a.localeCompare(b)),
    }).toEqual({ left: [], run: ['host.lock', 'host.token'] });
    peer.close();
  });

  it('[H10] answers nobody without the token, and is the user’s alone', async () => {
    const answer = (bytes: Buffer): Promise<string> =>
      new Promise((resolve) => {
        const socket = createConnection(home.hostSocket);
        let text = '';
        socket.on('data', (chunk: Buffer) => {
          text += chunk.toString('utf8', 5);
        });
        socket.on('error', () => undefined);
        socket.on('close', () => resolve(text));
        socket.write(bytes);
      });
    const hello = { id: 1, method: 'hello', params: { version: 1, token: 'guess' } };
    expect(await answer(messageFrame({ id: 1, method: 'list', params: {} }))).toBe('');
    expect(await answer(messageFrame(hello))).toBe(
      '{"id":1,"error":{"code":"unauthorized","message":"the token is not the one of this host"}}',
    );
    const token = readFileSync(home.hostToken, 'utf8').trim();
    expect(await answer(messageFrame({ ...hello, params: { version: 99, token } }))).toContain('"code":"version"');
    expect(await answer(Buffer.from('GET / HTTP/1.1\r\n\r\n'))).toBe('');
    const session = await start('exit 0');
    await session.exited();
    const modes = [
      home.hostSocket,
      home.hostToken,
      home.run,
      join(session.spec.dir, 'session.cast'),
      join(session.spec.dir, 'tombstone.json'),
    ];
    expect(modes.map((path) => (statSync(path).mode & 0o777).toString(8))).toEqual(['600', '600', '700', '600', '600']);
  });

  it('refuses requests it does not know or that have a wrong shape, and goes on', async () => {
    const loose = client as unknown as { call: (method: string, params: unknown) => Promise<unknown> };
    const error = await loose
      .call('resize', { sessionId: 'x', cols: 0, rows: 1, more: 1 })
      .catch((caught: unknown) => caught);
    expect([hostErrorOf(error), String(error)]).toEqual(['bad-request', expect.stringContaining('cols')]);
    expect((await client.call('list', {})).rssBytes).toBeGreaterThan(0);
  });

  it('[H18] outlives a flood of 100 MB and random bytes, while others are answered quickly', async () => {
    const flood = await start(
      'head -c 3000000 /dev/urandom; yes "\u001b[31m한글 flood" | head -c 100000000; echo; echo end',
    );
    const times: number[] = [];
    while (!notices.some((one) => one.notice === 'exited' && one.sessionId === flood.id)) {
      const begun = performance.now();
      await client.call('list', {});
      times.push(performance.now() - begun);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    times.sort((a, b) => a - b);
    expect((await flood.exited()).exit.code).toBe(0);
    expect(times[Math.floor(times.length / 2)]).toBeLessThan(100);
  }, 60_000);
});

// Where a home lies so deep that its path is too long for a socket.
it('works in a home with a path of 200 characters', async () => {
  const deep = homeAt(join(mkdtempSync(join(tmpdir(), 'muster-deep-')), 'x'.repeat(200)));
  writeFileSync(join(deep.dir, '..', 'there'), '');
  const { pid } = await startHost(deep);
  const host = identify(pid);
  const peer = await connectHost(deep, { onNotice: () => undefined, onClose: () => undefined });
  await peer.call('shutdown', { sessions: 'end' });
  await vi.waitFor(() => expect(host !== undefined && isAlive(host)).toBe(false), { timeout: 5000 });
  rmSync(join(deep.dir, '..'), { recursive: true });
});
