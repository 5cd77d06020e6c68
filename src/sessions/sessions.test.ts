/** The daemon's side with its real neighbours: a real host process, the scripted agent on a real PTY. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Agent } from '../agents/agent.ts';
import { agents } from '../agents/index.ts';
import { systemClock } from '../base/clock.ts';
import { newSessionId, type SessionId } from '../base/ids.ts';
import { silentLog } from '../base/log.ts';
import { delay } from '../base/wait.ts';
import { type Home, homeAt } from '../platform/home.ts';
import { findByMark, identify, isAlive } from '../platform/processes.ts';
import type { HostSession } from '../protocol/host.ts';
import type { SessionView, StateChange } from '../protocol/session.ts';
import type { HostClient } from './host-client.ts';
import { connectHost } from './host-launch.ts';
import { openSessions, type Sessions, type StartSession } from './sessions.ts';

const scriptedAgent = join(import.meta.dirname, '../../test/peers/scripted-agent.ts');
const claude = agents.get('claude') as Agent;

let dir: string;
let home: Home;
let open: Sessions[];
let changes: StateChange[];
let warnings: string[];
const openOne = async (): Promise<Sessions> => {
  const sessions = await openSessions({
    home,
    agents,
    clock: systemClock,
    log: { ...silentLog, warn: (_, message) => warnings.push(message) },
    recordingBytesMax: 1024 * 1024,
    environmentOf: () => specOf(newSessionId()).env,
    news: { onChange: ({ change }) => changes.push(change), onHost: () => undefined },
  });
  open.push(sessions);
  return sessions;
};

beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-sessions-')));
  home = homeAt(join(dir, 'home'));
  for (const each of [home.dir, home.run, home.logs, join(dir, 'agent'), join(dir, 'work')])
    mkdirSync(each, { mode: 0o700 });
  open = [];
  changes = [];
  warnings = [];
});
afterEach(async () => {
  await open.at(-1)?.close('end');
  rmSync(dir, { recursive: true, force: true });
});

const specOf = (id: SessionId, env: Record<string, string> = {}): StartSession => ({
  id,
  agent: claude,
  found: { file: process.execPath, args: [scriptedAgent], version: '2.1.328' },
  persona: 'dev',
  title: 'test',
  cwd: join(dir, 'work'),
  env: {
    PATH: process.env.PATH ?? '',
    HOME: join(dir, 'agent'),
    SCRIPTED_AGENT_LOG: join(dir, 'prompts.ndjson'),
    ...env,
  },
  permissions: 'ask',
  model: undefined,
  resumeId: undefined,
  extraArgs: [],
});

interface WrittenRecord {
  readonly instance: string;
  readonly pid: number | null;
  readonly exit: unknown;
  readonly facts: { readonly state: string; readonly turn: { readonly end: string | null } };
}

const recordFile = (id: SessionId): string => join(home.sessions, id, 'session.json');
const recordOf = (id: SessionId): WrittenRecord => JSON.parse(readFileSync(recordFile(id), 'utf8')) as never;
/** As a life that died at a certain line has left it. */
const changeRecord = (id: SessionId, part: object): void =>
  writeFileSync(recordFile(id), JSON.stringify({ ...recordOf(id), ...part }));

const tombstoneOf = (id: SessionId): string => join(home.sessions, id, 'tombstone.json');
const changeTombstone = (id: SessionId, part: object): void => {
  const tombstone = JSON.parse(readFileSync(tombstoneOf(id), 'utf8')) as object;
  writeFileSync(tombstoneOf(id), JSON.stringify({ ...tombstone, ...part }));
};

/** Nothing can be written there, whoever we are: no file takes the place of a folder. */
function block(path: string): () => void {
  rmSync(path, { force: true });
  mkdirSync(path, { recursive: true });
  return () => rmSync(path, { recursive: true, force: true });
}

async function askHost<T>(ask: (client: HostClient) => Promise<T>): Promise<T> {
  const client = await connectHost(home, { onNotice: () => undefined, onClose: () => undefined });
  try {
    return await ask(client);
  } finally {
    client.close();
  }
}
const heldByHost = async (): Promise<readonly HostSession[]> =>
  (await askHost((client) => client.call('list', {}))).sessions;

async function endHost(signal: NodeJS.Signals): Promise<void> {
  const host = identify((await askHost(async ({ hello }) => hello)).pid);
  if (!host) throw new Error('the host is not there');
  process.kill(host.pid, signal);
  await vi.waitFor(() => expect(isAlive(host)).toBe(false), { timeout: 5000 });
}

const ready = { startMs: 15_000, setupMs: 1000 };
const prompt = (text: string, inputId = 'p1') => ({ inputId, text, readyMs: 15_000 });
const recording = (id: SessionId): string[] =>
  readFileSync(join(home.sessions, id, 'session.cast'), 'utf8').split('\n');
const inputs = (id: SessionId): string[] =>
  recording(id).flatMap((line) => (line.includes(',"i",') ? [(JSON.parse(line) as [number, string, string])[2]] : []));

describe('starting', () => {
  test('[C1] [C2] the same id twice is one process, whose record was there before it, in all lives together', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    const [first, second] = await Promise.all([sessions.start(specOf(id)), sessions.start(specOf(id))]);
    expect([first.kind, second.kind]).toEqual(['started', 'started']);
    expect(await sessions.ready(id, ready)).toMatchObject({ kind: 'ready', state: 'idle' });
    const { instance, pid } = recordOf(id);
    expect((await findByMark(instance)).map((one) => one.pid)).toEqual([pid]);
    await sessions.close('keep');
    const next = await openOne();
    expect(await next.start(specOf(id))).toMatchObject({ kind: 'started', session: { pid } });
    expect((await findByMark(instance)).map((one) => one.pid)).toEqual([pid]);
  });

  test('[C1] where no record can be written no process is started', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    const unblock = block(recordFile(id));
    await expect(sessions.start(specOf(id))).rejects.toThrow(/EISDIR/);
    expect([await heldByHost(), sessions.list()]).toEqual([[], []]);
    unblock();
    expect(await sessions.start(specOf(id))).toMatchObject({ kind: 'started' });
  });

  test('a program that can not be started is a value with the reason, and leaves nothing', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    const outcome = await sessions.start({
      ...specOf(id),
      found: { file: join(dir, 'nowhere'), args: [], version: '2.1.328' },
    });
    expect(outcome.kind === 'failed' || (await sessions.ready(id, ready)).kind === 'ended').toBe(true);
    expect(await findByMark(recordOf(id).instance)).toEqual([]);
    expect(sessions.get(id)).toMatchObject({ state: 'crashed' });
  });
});

describe('ending', () => {
  test('[C5] [C7] nothing that carries the mark lives on, the exit is no crash, and the last screen stays', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.deliver(id, prompt('Do this now\n@orphan\n@say some words to remember'));
    await sessions.turnEnd(id, { limitMs: 15_000 });
    const { instance } = recordOf(id);
    expect((await findByMark(instance)).length).toBeGreaterThan(1);
    await sessions.end(id, { graceMs: 500 });
    expect(await findByMark(instance)).toEqual([]);
    expect(sessions.get(id)).toMatchObject({ state: 'exited', exit: { signal: null } });
    expect((await sessions.tail(id, 50)).join('\n')).toContain('some words to remember');
    await vi.waitFor(async () => expect(await heldByHost()).toEqual([]));
  });

  test('[C5] an exit that can not be written is told, and stays with the host until it is', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.deliver(id, prompt('Say it\n@say some words to remember'));
    await sessions.turnEnd(id, { limitMs: 15_000 });
    const unblock = [block(recordFile(id)), block(join(home.sessions, id, 'last-screen.json'))];
    await expect(sessions.markReady(id, 1)).rejects.toThrow(/EISDIR/);
    await sessions.end(id, { graceMs: 500 });
    expect(sessions.get(id)).toMatchObject({ state: 'exited' });
    expect(await heldByHost()).toMatchObject([{ sessionId: id, exit: { signal: null } }]);
    expect(existsSync(join(home.sessions, id, 'tombstone.json'))).toBe(true);
    for (const each of unblock) each();
    await vi.waitFor(async () => expect(await heldByHost()).toEqual([]), { timeout: 10_000 });
    expect(recordOf(id).exit).toEqual(sessions.get(id)?.exit);
    expect((await sessions.tail(id, 50)).join('\n')).toContain('some words to remember');
  });

  test('[C5] of a session whose folder is gone there is nothing to keep, and its exit is acknowledged', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.ready(id, ready);
    rmSync(join(home.sessions, id), { recursive: true });
    await sessions.end(id, { graceMs: 500 });
    expect(sessions.get(id)).toMatchObject({ state: 'exited' });
    await vi.waitFor(async () => expect(await heldByHost()).toEqual([]), { timeout: 5000 });
    expect(existsSync(join(home.sessions, id))).toBe(false);
  });

  test('[C5] a host that is busy when an exit is tried again is asked once more', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.ready(id, ready);
    const unblock = block(recordFile(id));
    await sessions.end(id, { graceMs: 500 });
    await vi.waitFor(() => expect(warnings.join()).toContain('could not be kept'), { timeout: 5000 });
    unblock();
    const { pid } = await askHost(async ({ hello }) => hello);
    process.kill(pid, 'SIGSTOP');
    try {
      await vi.waitFor(() => expect(warnings.join()).toContain('brought in line'), { timeout: 20_000 });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await vi.waitFor(async () => expect(await heldByHost()).toEqual([]), { timeout: 10_000 });
    expect(recordOf(id).exit).toEqual(sessions.get(id)?.exit);
  });

  test('[C7] a session that is being started is ended when it is there', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    const [started] = await Promise.all([sessions.start(specOf(id)), sessions.end(id, { graceMs: 500 })]);
    expect([started.kind, sessions.get(id)?.state]).toEqual(['started', 'exited']);
    expect(await findByMark(recordOf(id).instance)).toEqual([]);
  });

  test('[C7] an end that an earlier life has asked for is carried out by the next', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.ready(id, ready);
    await sessions.close('keep');
    changeRecord(id, { endAsked: true });
    const next = await openOne();
    await vi.waitFor(() => expect(next.get(id)).toMatchObject({ state: 'exited' }), { timeout: 10_000 });
    expect(await findByMark(recordOf(id).instance)).toEqual([]);
  });

  test('[C5] an exit that was written and not acknowledged is acknowledged by the next life', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.ready(id, ready);
    await sessions.close('keep');
    await askHost((client) => client.call('end', { sessionId: id, signal: 'SIGTERM', graceMs: 500 }));
    changeRecord(id, { exit: { code: 0, signal: null, at: Date.now() } });
    await openOne();
    await vi.waitFor(async () => expect(await heldByHost()).toEqual([]), { timeout: 5000 });
    expect(existsSync(join(home.sessions, id, 'tombstone.json'))).toBe(false);
  });

  test('[C13] a session that was told as not started is not left to run, and not started again', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.ready(id, ready);
    await sessions.close('keep');
    changeRecord(id, { pid: null, exit: { code: null, signal: null, at: Date.now() } });
    const next = await openOne();
    expect(await next.start(specOf(id))).toMatchObject({ kind: 'failed' });
    await vi.waitFor(async () => expect(await heldByHost()).toEqual([]), { timeout: 10_000 });
    expect(await findByMark(recordOf(id).instance)).toEqual([]);
  });

  test('[C12] one that ended before its host was killed is told as it ended', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.deliver(id, prompt('End soon\n@say some words to remember\n@wait 700\n@exit 0'));
    await sessions.close('keep');
    const tombstone = join(home.sessions, id, 'tombstone.json');
    await vi.waitFor(() => expect(existsSync(tombstone)).toBe(true), { timeout: 10_000 });
    await endHost('SIGKILL');
    const next = await openOne();
    expect(next.get(id)).toMatchObject({ exit: { code: 0, signal: null } });
    expect(next.get(id)?.resumes).toBeUndefined();
    expect((await next.tail(id, 50)).join('\n')).toContain('some words to remember');
    expect(existsSync(tombstone)).toBe(false);
  });

  test('[C9] [C12] one that the host ended as it left goes on in a new process', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.deliver(id, prompt('Take long\n@wait 60000'));
    await sessions.close('keep');
    await endHost('SIGTERM');
    expect(existsSync(join(home.sessions, id, 'tombstone.json'))).toBe(true);
    const next = await openOne();
    expect(next.get(id)).toMatchObject({ resumes: 1, exit: null });
  });

  test('[C9] [C12] what a host left that did not write down who asked for the end is no end by itself', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.deliver(id, prompt('Take long\n@wait 60000'));
    await sessions.close('keep');
    await endHost('SIGTERM');
    changeTombstone(id, { asked: undefined });
    const next = await openOne();
    expect(next.get(id)).toMatchObject({ resumes: 1, exit: null });
  });

  test('[C12] how the process before ended is not told of the one that goes on for it', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.deliver(id, prompt('Take long\n@wait 60000'));
    await sessions.close('keep');
    await endHost('SIGTERM');
    changeTombstone(id, { asked: false, exit: { code: 0, signal: null, at: Date.now() } });
    const ofTheFirst = readFileSync(tombstoneOf(id));
    changeTombstone(id, { asked: true });
    const second = await openOne();
    expect(second.get(id)).toMatchObject({ resumes: 1, exit: null });
    await second.close('keep');
    await endHost('SIGKILL');
    writeFileSync(tombstoneOf(id), ofTheFirst);
    const third = await openOne();
    expect(third.get(id)).toMatchObject({ state: 'crashed', exit: { code: null, signal: 'SIGHUP' } });
  });

  test('[C8] a record that can not be read at the moment ends nothing', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.ready(id, ready);
    await sessions.close('keep');
    const { instance, pid } = recordOf(id);
    const record = readFileSync(recordFile(id));
    rmSync(recordFile(id));
    // To open a socket as a file is an error, for everybody.
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(recordFile(id), resolve));
    await expect(openOne()).rejects.toMatchObject({ code: 'SESSION_UNREADABLE' });
    expect((await findByMark(instance)).map((one) => one.pid)).toEqual([pid]);
    await new Promise((resolve) => server.close(resolve));
    writeFileSync(recordFile(id), record);
    const next = await openOne();
    expect(next.get(id)).toMatchObject({ pid, state: 'idle' });
  });

  test('[C8] a session of the host without a readable record is ended', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.ready(id, ready);
    const { instance } = recordOf(id);
    await sessions.close('keep');
    writeFileSync(join(home.sessions, id, 'session.json'), 'not a record');
    const next = await openOne();
    expect(next.get(id)).toBeUndefined();
    expect(await findByMark(instance)).toEqual([]);
  });
});

describe('what is known', () => {
  test('[C11] told to end everything, the host goes, and none is started in its place', async () => {
    const sessions = await openOne();
    await sessions.close('end');
    const left = (): string[] => readdirSync(home.run).filter((name) => /^host\.(json|sock)/.test(name));
    await vi.waitFor(() => expect(left()).toEqual([]), { timeout: 5000 });
    // One that was started at the sight of the broken connection would be up by then.
    await delay(1000);
    expect(left()).toEqual([]);
  });

  test('[C6] a marker on the screen does not end a turn; the end that the agent tells does', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    const receipt = await sessions.deliver(id, prompt('Say the marker early\n@say [MUSTER:DONE]\n@wait 1200'));
    expect(receipt).toMatchObject({ kind: 'accepted' });
    const early = await sessions.turnEnd(id, { limitMs: 700 });
    expect(early.kind).toBe('late');
    expect(await sessions.turnEnd(id, { limitMs: 15_000 })).toMatchObject({
      kind: 'done',
      message: 'All done.\n[MUSTER:DONE]',
    });
    // Its session file may be seen sooner than the hook's.
    expect(changes.map((change) => change.to)).toEqual(['idle', 'working', expect.stringMatching(/^(done|idle)$/)]);
  });

  test('[C5] what a hook told is heard at once, and its file stays until that is on disk', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.deliver(id, prompt('Work a little\n@wait 2000\n@run true\n@say ok'));
    const unblock = block(recordFile(id));
    expect(await sessions.turnEnd(id, { limitMs: 15_000 })).toMatchObject({ kind: 'done', toolCalls: 1 });
    const spooled = (): string[] => readdirSync(join(home.sessions, id, 'spool')).filter((name) => /^[^.]/.test(name));
    expect(spooled()).not.toEqual([]);
    unblock();
    await vi.waitFor(() => expect(spooled()).toEqual([]), { timeout: 10_000 });
    expect(recordOf(id).facts.turn.end).toBe('ended');
    expect(sessions.get(id)).toMatchObject({ turns: 1, toolCalls: 1 });
  });

  test('views are told as they change, with the evidence', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    const views: SessionView[] = [];
    sessions.onView((view) => views.push(view));
    await sessions.start(specOf(id));
    await sessions.ready(id, ready);
    expect(views.at(-1)).toMatchObject({
      id,
      state: 'idle',
      agent: 'claude',
      agentVersion: '2.1.328',
      agentTested: true,
    });
    expect(views.at(-1)?.reason).not.toBe('');
  });
});

describe('input', () => {
  test('[I2] text is one paste without control characters, and Enter is a write of its own', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.deliver(id, prompt('One line\r\nand \u001b[201~another\u0007 line\n@say ok'));
    await sessions.turnEnd(id, { limitMs: 15_000 });
    await sessions.end(id, { graceMs: 500 });
    const typed = inputs(id).filter((data) => data.includes('One line') || data === '\r');
    expect(typed).toEqual(['\u001b[200~One line\nand [201~another line\n@say ok\u001b[201~', '\r']);
  });

  test('[I3] the same input asked for again is not typed again, also by another life', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.deliver(id, prompt('Only once please\n@say ok'));
    await sessions.turnEnd(id, { limitMs: 15_000 });
    await sessions.close('keep');
    const next = await openOne();
    expect(await next.deliver(id, prompt('Only once please\n@say ok'))).toMatchObject({ kind: 'accepted' });
    await next.end(id, { graceMs: 500 });
    expect(inputs(id).filter((data) => data.includes('Only once'))).toHaveLength(1);
  });

  test('[I4] Enter is not pressed where something came between it and the paste', async () => {
    const sessions = await openOne();
    const id = newSessionId();
    await sessions.start(specOf(id));
    await sessions.deliver(id, prompt('First of all\n@wait 200\n@ask true'));
    await sessions.ready(id, { startMs: 1, setupMs: 1 });
    const pasted = sessions.deliver(id, { ...prompt('Second thing', 'p2'), readyMs: 0 });
    expect(await pasted).toMatchObject({ kind: 'refused' });
    expect(inputs(id).filter((data) => data.includes('Second thing'))).toEqual([]);
  });
});
