import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Pty, type PtyOptions, spawnPty } from './pty.ts';
import type { PtyExit } from './pty-native.ts';

interface Run {
  readonly pty: Pty;
  readonly chunks: Buffer[];
  readonly exit: Promise<PtyExit>;
  /** Bytes that came after the exit was told. */
  readonly late: () => number;
}

const running = new Set<Pty>();
const env = { PATH: process.env.PATH ?? '' };

function run(script: string, options: Partial<PtyOptions> = {}): Run {
  const chunks: Buffer[] = [];
  let ended = false;
  let late = 0;
  let tell: (exit: PtyExit) => void = () => undefined;
  const exit = new Promise<PtyExit>((resolve) => {
    tell = resolve;
  });
  const onOutput = (bytes: Buffer): void => {
    if (ended) late += bytes.length;
    chunks.push(bytes);
  };
  const onExit = (end: PtyExit): void => {
    ended = true;
    if (spawned.kind === 'spawned') running.delete(spawned.pty);
    tell(end);
  };
  const all = { file: 'bash', args: ['-c', script], cwd: '/', env, cols: 80, rows: 24, onOutput, onExit, ...options };
  const spawned = spawnPty(all);
  if (spawned.kind === 'refused') throw new Error(spawned.reason);
  running.add(spawned.pty);
  return { pty: spawned.pty, chunks, exit, late: () => late };
}

const exitedWell: PtyExit = { code: 0, signal: null };
const text = (of: Run): string => Buffer.concat(of.chunks).toString();
const saw = (of: Run, what: string): Promise<void> =>
  vi.waitFor(() => expect(text(of)).toContain(what), { timeout: 5000, interval: 5 });
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

afterEach(async () => {
  for (const pty of running) pty.signal('SIGKILL');
  await vi.waitFor(() => expect(running.size).toBe(0));
});

describe('a terminal', () => {
  for (const [bytes, runs] of [
    [200, 100],
    [8 * 1024, 100],
    [64 * 1024, 100],
    [1024 * 1024, 20],
  ] as const) {
    it(`[H1] loses none of ${bytes} bytes printed before the exit, ${runs} times, and tells the exit after the last`, async () => {
      const lost: unknown[] = [];
      for (let index = 0; index < runs; index++) {
        const one = run(`stty -onlcr; head -c ${bytes} /dev/zero | tr '\\0' x`);
        const exit = await one.exit;
        const total = Buffer.concat(one.chunks).length;
        if (total !== bytes || exit.code !== 0 || one.late() > 0) lost.push({ total, exit, late: one.late() });
      }
      expect(lost).toEqual([]);
    });
  }

  it('[H1] loses nothing while the event loop stands still at the exit', async () => {
    const lost: number[] = [];
    for (let index = 0; index < 20; index++) {
      const one = run(`stty -onlcr; echo ready; head -c 65536 /dev/zero | tr '\\0' x`);
      await saw(one, 'ready');
      const until = performance.now() + 30;
      while (performance.now() < until);
      await one.exit;
      const total = Buffer.concat(one.chunks).length - 'ready\n'.length;
      if (total !== 65536) lost.push(total);
    }
    expect(lost).toEqual([]);
  });

  it('[H1] keeps what was printed during a pause, and delays the exit until it is resumed', async () => {
    const one = run('stty -onlcr; echo begin; read go; head -c 3000 /dev/zero | tr "\\0" x; exit 3');
    await saw(one, 'begin');
    one.pty.pause();
    await one.pty.write(Buffer.from('go\r'));
    await vi.waitFor(() => expect(one.pty.ended).toBe(true));
    const seen = Buffer.concat(one.chunks).length;
    one.pty.resume();
    expect(await one.exit).toEqual({ code: 3, signal: null });
    expect({ before: seen, x: text(one).split('x').length - 1 }).toEqual({ before: 'begin\n'.length, x: 3000 });
  });

  it('[H16] gives the program exactly the given variables, its folder and its size', async () => {
    const one = run('pwd; stty size; env -0 | tr "\\0" "\\n"', { cwd: '/usr', env: { ...env, ONLY: 'this' } });
    expect(await one.exit).toEqual(exitedWell);
    const lines = text(one).split('\r\n').filter(Boolean);
    expect(lines.slice(0, 2)).toEqual(['/usr', '24 80']);
    const names = lines.slice(2).map((line) => line.split('=')[0]);
    // The last three are the shell's own.
    expect(new Set(names)).toEqual(new Set(['ONLY', 'PATH', 'PWD', 'SHLVL', '_']));
  });

  it('[H16] no program inherits the terminal of another, also where numbers are free between them', async ({
    skip,
  }) => {
    skip(process.platform !== 'linux', 'to see what a program has open needs /proc');
    const others = Array.from({ length: 30 }, () => run('sleep 100'));
    const gone = others.filter((_, index) => index % 3 === 1);
    for (const one of gone) one.pty.signal('SIGKILL');
    await Promise.all(gone.map((one) => one.exit));
    for (let round = 0; round < 3; round++) {
      const one = run('', { file: 'ls', args: ['-l', '/proc/self/fd'] });
      expect(await one.exit).toEqual(exitedWell);
      expect(
        text(one)
          .match(/\d+ -> \/dev\/(ptmx|pts\/\d+)/g)
          ?.map((line) => line.split(' ')[0]),
      ).toEqual(['0', '1', '2']);
    }
  });

  it('[H5] a signal in the moment of the start reaches the program, which is no leader of a group yet', async () => {
    const all = Array.from({ length: 20 }, () => {
      const one = run('sleep 100');
      expect(one.pty.signal('SIGKILL')).toBe(true);
      return one.exit;
    });
    expect(await Promise.all(all)).toEqual(all.map(() => ({ code: null, signal: 'SIGKILL' })));
  });

  it('tells the signal that ended the program', async () => {
    const one = run('kill -9 $$');
    expect(await one.exit).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('refuses a program, a folder or an argument that can not be used, with the reason', () => {
    const tell = (options: Partial<PtyOptions>): unknown =>
      spawnPty({
        file: 'bash',
        args: [],
        cwd: '/',
        env,
        cols: 80,
        rows: 24,
        onOutput: () => 0,
        onExit: () => 0,
        ...options,
      });
    expect([tell({ file: 'no-such-program' }), tell({ cwd: '/no/such' }), tell({ args: ['a\0b'] })]).toEqual([
      { kind: 'refused', reason: 'the program is missing or not executable: no-such-program' },
      { kind: 'refused', reason: 'the working folder is missing: /no/such' },
      { kind: 'refused', reason: 'an argument or a variable holds a NUL character' },
    ]);
  });
});

describe('input', () => {
  it('[H3] of one megabyte reaches a slow raw reader whole and in order', async () => {
    const bytes = Buffer.from(Array.from({ length: 1024 * 1024 }, (_, index) => 32 + (index % 90)));
    const one = run(`stty raw -echo; echo ready; head -c ${bytes.length} | sha256sum`);
    await saw(one, 'ready');
    const ends = await Promise.all([one.pty.write(bytes.subarray(0, 300_000)), one.pty.write(bytes.subarray(300_000))]);
    await one.exit;
    expect({ ends, seen: text(one).match(/[0-9a-f]{64}/)?.[0] }).toEqual({
      ends: ['written', 'written'],
      seen: sha(bytes),
    });
  });

  it('[H2] that a killed program left unread never reaches the next one, which gets the same descriptor', async () => {
    for (let index = 0; index < 30; index++) {
      const dead = run('stty raw -echo; echo ready; sleep 100');
      await saw(dead, 'ready');
      const pending = dead.pty.write(Buffer.alloc(200_000, 'A'));
      dead.pty.signal('SIGKILL');
      await dead.exit;
      expect(await pending).toBe('closed');
      const next = run('stty raw -echo; echo ready; head -c 5');
      await saw(next, 'ready');
      await next.pty.write(Buffer.from('hello'));
      await next.exit;
      expect(text(next).replace('ready\r\n', '').replace('ready\n', '')).toBe('hello');
    }
  });

  it('[H4] for programs that do not read costs no CPU and is refused beyond its limit', async () => {
    const stuck = Array.from({ length: 5 }, () => run('stty raw -echo; echo ready; sleep 100'));
    await Promise.all(stuck.map((one) => saw(one, 'ready')));
    for (const one of stuck) void one.pty.write(Buffer.alloc(256 * 1024, 'x'));
    // The second is what is measured, not a wait for something.
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const used = process.cpuUsage(before);
    const first = stuck[0]?.pty;
    const ends = [await first?.write(Buffer.alloc(8 * 1024 * 1024)), await first?.write(Buffer.from('y'), 50)];
    expect(ends).toEqual(['full', 'full']);
    expect(first?.pendingInputBytes).toBeLessThanOrEqual(256 * 1024);
    expect((used.user + used.system) / 1000).toBeLessThan(150);
  });
});
