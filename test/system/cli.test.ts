/** The command line as a process, against the daemon, host and agent as processes. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { spawn as spawnOnTerminal } from 'node-pty';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Answer } from '../../src/cli/client.ts';
import { findOwnProcesses } from '../../src/platform/own-processes.ts';
import type { LedgerEvent } from '../../src/protocol/job.ts';
import { eventually, openStage, type Stage } from './stage.ts';

const launcher = join(import.meta.dirname, '../../bin/muster.mjs');

interface Ended {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

let stage: Stage;
beforeEach(() => {
  stage = openStage();
});
afterEach(async () => {
  await muster('down');
  await stage.close();
});

const environment = (): NodeJS.ProcessEnv => ({ ...process.env, MUSTER_HOME: stage.home.dir, NO_COLOR: '1' });

function muster(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { cwd: stage.repository, env: environment(), timeout: 60_000 };
    const child = execFile(process.execPath, [launcher, ...args], options, (_, out, err) =>
      resolve({ exit: child.exitCode ?? -1, out, err }),
    );
  });
}

async function json<T>(...args: readonly string[]): Promise<T> {
  const { out, err, exit } = await muster(...args, '--json');
  if (out === '') throw new Error(`muster ${args.join(' ')} ended with ${exit}: ${err}`);
  return JSON.parse(out) as T;
}

const faultOf = ({ err }: Ended): unknown => (JSON.parse(err) as { error: { code: unknown } }).error.code;

interface Up {
  readonly state: string;
  readonly already: boolean;
  readonly pid: number;
}

const sessionOf = async (job: string): Promise<string> => {
  const { job: view } = await json<Answer<'showJob'>>('job', 'show', job);
  return view.sessionId ?? '';
};

const sessionIn = (job: string, state: string): Promise<string> =>
  eventually(`${job}'s session is ${state}`, async () => {
    const id = await sessionOf(job);
    const { sessions } = await json<Answer<'listSessions'>>('session', 'list');
    return sessions.find((session) => session.id === id && session.state === state)?.id;
  });

async function submit(text: string): Promise<string> {
  return (await json<Answer<'submitJob'>>('run', text, '--agent', 'claude')).job.id;
}

describe('up and down', () => {
  test('up twice is one daemon; down leaves no process, record or socket, and says so when asked again', async () => {
    const first = await json<Up>('up', '--wait');
    const second = await json<Up>('up');
    expect([first, second]).toMatchObject([
      { state: 'running', already: false },
      { state: 'running', already: true, pid: first.pid },
    ]);
    expect((await json<Answer<'status'>>('status')).daemon.pid).toBe(first.pid);
    const down = await muster('down');
    expect(down.exit).toBe(0);
    expect(await findOwnProcesses(stage.home)).toEqual([]);
    const left = [stage.home.daemonFile, stage.home.hostFile, stage.home.hostSocket].filter(existsSync);
    expect(left).toEqual([]);
    expect((await muster('down')).out).toBe('nothing was running\n');
  });

  test('several ups at once end with the same daemon', async () => {
    const ups = await Promise.all([1, 2, 3].map(() => json<Up>('up', '--wait')));
    expect(new Set(ups.map(({ pid }) => pid)).size).toBe(1);
    // The candidates that came too late are still leaving.
    await vi.waitFor(
      async () =>
        expect((await findOwnProcesses(stage.home)).map(({ role }) => role).toSorted()).toEqual(['daemon', 'host']),
      { timeout: 10_000 },
    );
  });

  test('a command right behind an up that could not wait finds the daemon', async () => {
    await muster('up');
    expect((await muster('status')).exit).toBe(0);
  });

  test('down with sessions kept leaves the host; the next up finds the session again', async () => {
    await muster('up', '--wait');
    const job = await submit('Wait for a while please\n@wait 60000');
    const session = await sessionIn(job, 'working');
    expect(await json('down', '--keep-sessions')).toMatchObject({
      ended: [{ role: 'daemon', how: 'asked' }],
      sessions: 'kept',
    });
    expect((await findOwnProcesses(stage.home)).map(({ role }) => role)).toEqual(['host']);
    await muster('up', '--wait');
    const { sessions } = await json<Answer<'listSessions'>>('session', 'list');
    expect(sessions.map(({ id, exit }) => ({ id, exit }))).toEqual([{ id: session, exit: null }]);
  });

  test('a port that another program holds is told with who holds it', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const address = holder.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const ended = await muster('up', '--wait', '--port', String(port), '--json');
    holder.close();
    expect([ended.exit, faultOf(ended)]).toEqual([4, 'PORT_TAKEN']);
    expect(ended.err).toContain(String(process.pid));
  });

  test('a configuration that can not be used stops up with the key, and down and doctor still work', async () => {
    writeFileSync(stage.home.config, 'port: seven\n');
    const up = await muster('up', '--wait', '--json');
    expect([up.exit, faultOf(up)]).toEqual([2, 'CONFIG_INVALID']);
    expect(up.err).toContain('port');
    expect((await muster('down')).exit).toBe(0);
    const { checks } = await json<{ checks: { id: string; verdict: string }[] }>('doctor');
    expect(checks.find(({ id }) => id === 'config')?.verdict).toBe('fail');
  });
});

test('a daemon that hangs is told as such by doctor, and down ends it', async () => {
  const { pid } = await json<Up>('up', '--wait');
  process.kill(pid, 'SIGSTOP');
  const { checks } = await json<{ checks: { id: string; verdict: string; found: string }[] }>('doctor');
  expect(checks.find(({ id }) => id === 'daemon')).toMatchObject({
    verdict: 'fail',
    found: expect.stringContaining(`pid ${pid} does not answer`),
  });
  expect(await json('down')).toMatchObject({ ended: [{ role: 'daemon', pid, how: 'SIGKILL' }, { role: 'host' }] });
}, 40_000);

describe('without a daemon', () => {
  test('every command that needs one ends with 3 and DAEMON_DOWN', async () => {
    const commands = [
      ['status'],
      ['run', 'a text that is long enough'],
      ['job', 'list'],
      ['job', 'show', 'j1'],
      ['session', 'list'],
      ['session', 'tail', 's-0'],
      ['session', 'send', 's-0', 'x'],
      ['why', 'j1'],
      ['open'],
      ['events'],
    ];
    const ends = await Promise.all(commands.map((command) => muster(...command, '--json')));
    expect(ends.map((end) => [end.exit, faultOf(end), end.out])).toEqual(commands.map(() => [3, 'DAEMON_DOWN', '']));
  });

  test('config show and doctor answer', async () => {
    expect(await json('config', 'show')).toMatchObject({ exists: true, config: { port: 0 } });
    const { checks } = await json<{ checks: { id: string; verdict: string }[] }>('doctor');
    expect(checks.filter(({ verdict }) => verdict === 'fail')).toEqual([]);
    expect(checks.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['node', 'git', 'agents', 'disk', 'memory', 'port', 'daemon', 'host', 'locks', 'orphans']),
    );
  });

  test('replay prints each change of state, and a file that is no recording does not keep the others from it', async () => {
    const good = join(stage.dir, 'good.cast');
    const bad = join(stage.dir, 'bad.cast');
    writeFileSync(bad, '{"version": 1}\n');
    const rows = [
      { version: 2, width: 80, height: 24, timestamp: 0, title: 'claude 2.1.328 j1' },
      [1, 'e', JSON.stringify({ source: 'process', payload: { code: 3, signal: null } })],
      [1, 'x', { code: 3, signal: null }],
    ];
    writeFileSync(good, rows.map((row) => JSON.stringify(row)).join('\n'));
    const ended = await muster('replay', bad, good, '--json');
    expect([ended.exit, faultOf(ended)]).toEqual([2, 'RECORDING_INVALID']);
    expect(ended.err).toContain(bad);
    const changes = ended.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(changes.map(({ file, t, state }) => ({ file, t, state }))).toEqual([
      { file: good, t: 0, state: 'starting' },
      { file: good, t: 1, state: 'crashed' },
    ]);
  });

  test('wrong use ends with 2 and names the option', async () => {
    const ends = await Promise.all([
      muster('jbo', '--json'),
      muster('job', 'list', '--limit', '0', '--json'),
      muster('job', 'list', '--state', 'dne', '--json'),
      muster('status', '--jsn', '--json'),
    ]);
    expect(ends.map((end) => [end.exit, faultOf(end)])).toEqual(ends.map(() => [2, 'BAD_REQUEST']));
    expect(ends[1]?.err).toContain('--limit');
  });
});

describe('a job', () => {
  test('run --follow shows its path and ends with 0 when it is done, with 1 when it is not', async () => {
    await muster('up', '--wait');
    const good = await muster(
      'run',
      'Write a file please\n@write a.txt hello',
      '--agent',
      'claude',
      '--verify',
      'test -f a.txt',
      '--follow',
    );
    expect([good.exit, good.out]).toEqual([
      0,
      expect.stringMatching(/job\.submitted[\s\S]*prompt\.accepted[\s\S]*j1 done: commit/),
    ]);
    const bad = await muster(
      'run',
      'Write a file please\n@write b.txt hello',
      '--agent',
      'claude',
      '--verify',
      'test -f c.txt',
      '--follow',
    );
    expect([bad.exit, bad.out]).toEqual([1, expect.stringContaining('j2 failed: VERIFY_FAILED')]);
    expect((await muster('why', 'j2')).out).toContain('VERIFY_FAILED');
    const again = await muster('job', 'follow', 'j1');
    expect([again.exit, again.out]).toEqual([0, expect.stringContaining('j1 done: commit')]);
    const page = await json<Answer<'listJobs'>>('job', 'list');
    expect(page.jobs.map(({ id, state }) => [id, state])).toEqual([
      ['j2', 'failed'],
      ['j1', 'done'],
    ]);
  });

  test('refused at the door: no repository, an unknown agent, a text that is too short, an id that nothing has', async () => {
    await muster('up', '--wait');
    const empty = join(stage.dir, 'empty');
    mkdirSync(empty);
    const ends = await Promise.all([
      muster('run', 'a text that is long enough', '--project', empty, '--json'),
      muster('run', 'a text that is long enough', '--agent', 'nobody', '--json'),
      muster('run', 'x', '--json'),
      muster('job', 'show', 'j99', '--json'),
      muster('why', 'j99', '--json'),
      muster('why', 'nonsense', '--json'),
    ]);
    expect(ends.map((end) => [end.exit, faultOf(end)])).toEqual([
      [2, 'PROJECT_NOT_A_REPOSITORY'],
      [2, 'AGENT_UNKNOWN'],
      [2, 'WORK_TEXT_TOO_SHORT'],
      [1, 'NOT_FOUND'],
      [1, 'NOT_FOUND'],
      [1, 'NOT_FOUND'],
    ]);
    expect((await json<Answer<'listJobs'>>('job', 'list')).totals.total).toBe(0);
  });

  test('who follows sees every event once, also when the daemon is killed and comes back on another port', async () => {
    await muster('up', '--wait');
    const job = await submit('Work for a while please\n@wait 4000\n@write a.txt hello');
    await sessionIn(job, 'working');
    const follower = follow('job', 'follow', job, '--json');
    await follower.until((text) => text.includes('prompt.accepted'));
    const { daemon } = await json<Answer<'status'>>('status');
    process.kill(daemon.pid, 'SIGKILL');
    await follower.untilNoted((text) => text.includes('the daemon is away'));
    await muster('up', '--wait');
    const exit = await follower.ended;
    const rows = follower
      .out()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as LedgerEvent & Answer<'showJob'>);
    const { events } = await json<Answer<'jobEvents'>>('events', '--job', job);
    const shown = rows.slice(0, -1).map(({ seq }) => seq);
    expect(shown).toEqual(events.filter(({ seq }) => seq <= (shown.at(-1) ?? 0)).map(({ seq }) => seq));
    expect([exit, rows.at(-1)?.job.state]).toEqual([0, 'done']);
  });

  test('Ctrl-C leaves the job running and says so', async () => {
    await muster('up', '--wait');
    const job = await submit('Work for a while please\n@wait 60000');
    await sessionIn(job, 'working');
    const follower = follow('job', 'follow', job);
    await follower.until((text) => text.includes('prompt.accepted'));
    follower.child.kill('SIGINT');
    expect([await follower.ended, follower.err()]).toEqual([130, expect.stringContaining(`left ${job}; it goes on`)]);
    expect((await json<Answer<'showJob'>>('job', 'show', job)).job.state).toBe('running');
    expect((await muster('job', 'cancel', job)).exit).toBe(0);
  });
});

describe('a session', () => {
  test('a permission is shown, approved with a receipt, and a second approval is refused', async () => {
    await muster('up', '--wait');
    const job = await submit('Ask before you run please\n@ask echo hi > asked.txt\n@wait 60000');
    const session = await sessionIn(job, 'permission');
    expect((await muster('session', 'show', session)).out).toContain('echo hi > asked.txt');
    expect((await muster('session', 'tail', session)).out).toContain('Do you want to proceed?');
    const approved = await muster('session', 'approve', session, '--json');
    expect([approved.exit, JSON.parse(approved.out)]).toMatchObject([0, { receipt: { kind: 'accepted' } }]);
    await sessionIn(job, 'working');
    const again = await muster('session', 'approve', session, '--json');
    expect([again.exit, again.out + again.err]).toEqual([1, expect.stringMatching(/refused|WRONG_STATE/)]);
    expect((await muster('session', 'stop', session, '--grace', '100')).exit).toBe(0);
  });

  test('attach shows the screen, sends the size, and leaves the terminal as it was', async () => {
    await muster('up', '--wait');
    const job = await submit('Wait for a while please\n@wait 60000');
    const session = await sessionIn(job, 'working');
    const terminal = onTerminal('session', 'attach', session);
    await terminal.until((text) => text.includes('esc to interrupt'));
    await eventually('the session has our size', async () => {
      const { sessions } = await json<Answer<'listSessions'>>('session', 'list');
      return sessions.find(({ id, cols, rows }) => id === session && cols === 90 && rows === 25);
    });
    terminal.type('\u001d');
    expect(await terminal.ended).toBe(0);
    const text = terminal.text();
    expect(text.indexOf('\u001b[?1049h')).toBeGreaterThanOrEqual(0);
    expect(text.indexOf('\u001b[?1049l')).toBeGreaterThan(text.lastIndexOf('\u001b[?1049h'));
    expect(text.trim().endsWith(`Come back: muster session attach ${session}`)).toBe(true);
    expect((await json<Answer<'showSession'>>('session', 'show', session)).session.exit).toBe(null);
  });

  test('when the daemon is killed, attach restores the terminal and ends with 3', async () => {
    await muster('up', '--wait');
    const job = await submit('Wait for a while please\n@wait 60000');
    const terminal = onTerminal('session', 'attach', await sessionIn(job, 'working'));
    await terminal.until((text) => text.includes('esc to interrupt'));
    const { pid } = JSON.parse(readFileSync(stage.home.daemonFile, 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
    expect(await terminal.ended).toBe(3);
    expect(terminal.text()).toMatch(/\u001b\[\?1049l[\s\S]*The daemon went away[\s\S]*muster session attach/);
  });

  test('attach without a terminal is refused as wrong use', async () => {
    await muster('up', '--wait');
    const job = await submit('Wait for a while please\n@wait 60000');
    const ended = await muster('session', 'attach', await sessionIn(job, 'working'));
    expect([ended.exit, ended.err]).toEqual([2, expect.stringContaining('attach needs a terminal')]);
  });
});

/** A command that goes on: what it prints is collected, and can be waited for. */
function follow(...args: readonly string[]) {
  const child: ChildProcess = spawn(process.execPath, [launcher, ...args], {
    cwd: stage.repository,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const ended = new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? -1)));
  return {
    child,
    ended,
    out: () => out,
    err: () => err,
    until: (is: (text: string) => boolean) =>
      eventually(
        'it prints',
        async () => (is(out) ? true : undefined),
        async () => [out, err],
      ),
    untilNoted: (is: (text: string) => boolean) =>
      eventually(
        'it says',
        async () => (is(err) ? true : undefined),
        async () => [out, err],
      ),
  };
}

/** The same on a real terminal of 90 columns and 25 rows. */
function onTerminal(...args: readonly string[]) {
  const env = Object.fromEntries(
    Object.entries(environment()).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  const terminal = spawnOnTerminal(process.execPath, [launcher, ...args], {
    cols: 90,
    rows: 25,
    cwd: stage.repository,
    env,
  });
  let text = '';
  terminal.onData((chunk) => (text += chunk));
  const ended = new Promise<number>((resolve) => terminal.onExit(({ exitCode }) => resolve(exitCode)));
  return {
    ended,
    text: () => text,
    type: (keys: string) => terminal.write(keys),
    until: (is: (text: string) => boolean) =>
      eventually(
        'the terminal shows it',
        async () => (is(text) ? true : undefined),
        async () => text,
      ),
  };
}
