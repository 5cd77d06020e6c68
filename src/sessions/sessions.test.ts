/** The daemon's side with its real neighbours: a real host process, the scripted agent on a real PTY. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
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
import { findByMark } from '../platform/processes.ts';
import type { SessionView, StateChange } from '../protocol/session.ts';
import { connectHost } from './host-launch.ts';
import { openSessions, type Sessions, type StartSession } from './sessions.ts';

const scriptedAgent = join(import.meta.dirname, '../../test/peers/scripted-agent.ts');
const claude = agents.get('claude') as Agent;

let dir: string;
let home: Home;
let open: Sessions[];
let changes: StateChange[];
const openOne = async (): Promise<Sessions> => {
  const sessions = await openSessions({
    home,
    agents,
    clock: systemClock,
    log: silentLog,
    recordingBytesMax: 1024 * 1024,
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

const recordOf = (id: SessionId): { instance: string; pid: number | null; facts: { state: string } } =>
  JSON.parse(readFileSync(join(home.sessions, id, 'session.json'), 'utf8')) as never;
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
    const client = await connectHost(home, { onNotice: () => undefined, onClose: () => undefined });
    await vi.waitFor(async () => expect((await client.call('list', {})).sessions).toEqual([]));
    client.close();
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
    expect(changes.map((change) => change.to)).toEqual(['idle', 'working', 'done']);
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
