/** cmux by its command line only, against a scripted one with the faults that were seen in the field. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type CmuxPeer, openCmuxPeer, type PeerFault, type PeerState, peerSurface } from '../../../test/peers/cmux.ts';
import { agents } from '../../agents/index.ts';
import { systemClock } from '../../base/clock.ts';
import type { SessionId } from '../../base/ids.ts';
import { silentLog } from '../../base/log.ts';
import { openCmux } from '../../platform/cmux.ts';
import { homeAt } from '../../platform/home.ts';
import type { Receipt } from '../../protocol/session.ts';
import { type Adopted, openAdopted } from './adopted.ts';

const patience = { timeout: 20_000, interval: 100 };
/** A program in Node needs half a second to start on a busy machine. */
const limitMs = 3000;

let dir: string;
let peer: CmuxPeer;
let open: Adopted[];
const openOne = async (given: Partial<{ cmux: string }> = {}): Promise<Adopted> => {
  const adopted = await openAdopted({
    home: homeAt(join(dir, 'home')),
    agents,
    clock: systemClock,
    log: silentLog,
    env: { PATH: process.env.PATH, HOME: dir, TMUX_TMPDIR: dir, ...peer.env },
    tmux: undefined,
    cmux: given.cmux ?? peer.program,
    cmuxLimitMs: limitMs,
    onChange: () => undefined,
  });
  open.push(adopted);
  return adopted;
};
const inState = (adopted: Adopted, id: SessionId, state: string): Promise<void> =>
  vi.waitFor(() => expect(adopted.get(id)).toMatchObject({ state }), patience);
const adoptFirst = async (adopted: Adopted, agent?: string): Promise<SessionId> => {
  const { session } = await adopted.adopt({ target: 'cmux:surface:1', agent, role: undefined });
  await inState(adopted, session.id as SessionId, 'idle');
  return session.id as SessionId;
};
const send = (adopted: Adopted, id: SessionId, text: string, inputId = `i-${Math.random()}`): Promise<Receipt> =>
  adopted.deliver(id, { inputId, text, readyMs: 0 });
const fault = (verb: string, kind: PeerFault): void => peer.change((state) => void state.faults.push({ verb, kind }));
const first = (state: PeerState) => state.surfaces[0] ?? peerSurface(1);

beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-cmux-')));
  mkdirSync(join(dir, 'home'), { mode: 0o700 });
  peer = openCmuxPeer(dir, [peerSurface(1), peerSurface(2), peerSurface(3, { type: 'browser', title: 'docs' })]);
  open = [];
});
afterEach(async () => {
  for (const one of open) await one.close();
  rmSync(dir, { recursive: true, force: true });
});

test('[A12] every way in which cmux can fail to answer is told apart', async () => {
  const ask = (env: NodeJS.ProcessEnv = {}, program = peer.program) =>
    openCmux({ program, env: { PATH: process.env.PATH, ...peer.env, ...env }, limitMs: 1500 }).ping();
  const kinds: Record<string, string> = {};
  for (const mode of ['open', 'denied', 'broken-pipe', 'password', 'down', 'stalled'] as const) {
    peer.change((state) => void (state.mode = mode));
    kinds[mode] = (await ask()).kind;
  }
  peer.change((state) => void (state.mode = 'password'));
  kinds['with password'] = (await ask({ CMUX_SOCKET_PASSWORD: 'secret' })).kind;
  kinds['no program'] = (await ask({}, join(dir, 'nowhere'))).kind;
  expect(kinds).toEqual({
    open: 'answered',
    denied: 'denied',
    'broken-pipe': 'denied',
    password: 'unauthorized',
    down: 'down',
    stalled: 'slow',
    'with password': 'answered',
    'no program': 'absent',
  });
  expect(peer.read().calls.join('\n')).not.toContain('secret');
});

describe('watching', () => {
  test('[A12] a surface is kept by its UUID when refs are renumbered, and the tree shows its role', async () => {
    const adopted = await openOne();
    const id = await adoptFirst(adopted);
    expect(adopted.get(id)).toMatchObject({
      kind: 'cmux',
      agent: 'claude',
      role: 'Claude Code 1',
      place: `cmux:${peerSurface(1).id}`,
    });
    peer.change(({ surfaces }) => {
      for (const surface of surfaces) surface.ref = surface.ref === 'surface:1' ? 'surface:2' : 'surface:1';
    });
    const { cmux } = await adopted.tree();
    const surfaces = cmux.windows[0]?.workspaces[0]?.surfaces ?? [];
    expect(surfaces.map((surface) => [surface.ref, surface.adopted?.role ?? null])).toEqual([
      ['surface:2', 'Claude Code 1'],
      ['surface:1', null],
      ['surface:1', null],
    ]);
    expect(await send(adopted, id, 'To the first one')).toMatchObject({ kind: 'accepted' });
    expect(peer.read().surfaces.map(({ log }) => log.length)).toEqual([2, 1, 1]);
  });

  test('[A3] [A12] a husk, a cmux under load and one that is down are unknown, never idle, and nothing is typed', async () => {
    const adopted = await openOne();
    const id = await adoptFirst(adopted);
    peer.change((state) => void (state.mode = 'down'));
    await inState(adopted, id, 'unknown');
    expect(adopted.get(id)?.reason).toContain('Connection refused');
    expect(await send(adopted, id, 'into nothing')).toMatchObject({ kind: 'refused' });
    peer.change((state) => {
      state.mode = 'open';
      first(state).kind = 'shell';
    });
    expect(await send(adopted, id, 'into a husk')).toMatchObject({ kind: 'refused' });
    expect(adopted.get(id)).toMatchObject({ state: 'unknown' });
    peer.change((state) => void (state.mode = 'stalled'));
    expect(await send(adopted, id, 'into the load')).toMatchObject({ kind: 'refused' });
    peer.change((state) => {
      state.mode = 'open';
      first(state).kind = 'agent';
    });
    expect(await send(adopted, id, 'still unknown, but seen again')).toMatchObject({
      kind: expect.any(String) as string,
    });
    await inState(adopted, id, 'idle');
    peer.change((state) => void state.surfaces.shift());
    await send(adopted, id, 'it is gone');
    expect(adopted.get(id)).toMatchObject({ state: 'exited', exit: { code: null } });
  });

  test('[A1] what is no terminal, or nobody knows, is not adopted', async () => {
    const adopted = await openOne();
    const why = (target: string) =>
      adopted.adopt({ target, agent: undefined, role: undefined }).catch((error: { code?: string }) => error.code);
    peer.change((state) => void (first(state).kind = 'shell'));
    expect([await why('cmux:surface:3'), await why('cmux:surface:9'), await why('cmux:surface:1')]).toEqual([
      'WRONG_STATE',
      'NOT_FOUND',
      'WRONG_STATE',
    ]);
    peer.change((state) => void (state.mode = 'denied'));
    expect(await why('cmux:surface:2')).toBe('TERMINAL_UNREACHABLE');
  });
});

describe('sending', () => {
  const texts = ['-p print "a\\nb" and stop', 'two\nlines, 한글 입력'];

  test('[A5] [A12] a text with a backslash and n, a dash, lines or Hangul arrives whole and once', async () => {
    const adopted = await openOne();
    const id = await adoptFirst(adopted);
    for (const text of texts) {
      peer.change((state) => void (first(state).busyUntil = 0));
      await inState(adopted, id, 'idle');
      expect(await send(adopted, id, text)).toMatchObject({ kind: 'accepted' });
    }
    expect(peer.read().prompts).toEqual(texts);
  }, 60_000);

  test('[A5] [A12] an older build that would take \\n for Enter is given one harmless sentence that names a file', async () => {
    peer.change((state) => {
      state.hasPaste = false;
      state.hasInputState = false;
    });
    const adopted = await openOne();
    const id = await adoptFirst(adopted, 'claude');
    expect(await send(adopted, id, texts[0] ?? '')).toMatchObject({ kind: 'accepted' });
    const [prompt = ''] = peer.read().prompts;
    expect(prompt).toMatch(/^Please read the file \S+\.md and do what it says$/);
    expect(readFileSync(/file (\S+\.md)/.exec(prompt)?.[1] ?? '', 'utf8')).toBe(`${texts[0] ?? ''}\n`);
  });

  test('[A6] [A12] a paste and an Enter that timed out but were delivered are seen on the screen, and not repeated', async () => {
    const adopted = await openOne();
    const id = await adoptFirst(adopted);
    fault('paste', 'stall-delivered');
    fault('send-key', 'stall-delivered');
    expect(await send(adopted, id, 'Only once\n@wait 9000')).toMatchObject({ kind: 'accepted' });
    expect(peer.read().prompts).toEqual(['Only once\n@wait 9000']);
    expect(peer.read().calls.filter((call) => /^(paste|send-key)/.test(call))).toHaveLength(2);
  }, 60_000);

  test('[A6] [A12] OK without effect is no receipt: Enter is not pressed on nothing, and once more on what still stands', async () => {
    const adopted = await openOne();
    const id = await adoptFirst(adopted);
    fault('paste', 'ok-without-effect');
    expect(await send(adopted, id, 'never arrives')).toMatchObject({
      kind: 'unknown',
      tried: expect.stringContaining('nothing of it') as string,
    });
    expect(peer.read().calls.filter((call) => call.startsWith('send-key'))).toEqual([]);
    fault('send-key', 'ok-without-effect');
    expect(await send(adopted, id, 'Arrives late')).toMatchObject({ kind: 'accepted' });
    expect(peer.read().prompts).toEqual(['Arrives late']);
  }, 60_000);

  test('[A4] [A12] denied is refused; a draft and a dialog that cmux or the screen tells of are not typed into', async () => {
    const adopted = await openOne();
    const id = await adoptFirst(adopted);
    fault('paste', 'denied');
    fault('paste', 'denied');
    fault('paste', 'denied');
    expect(await send(adopted, id, 'denied')).toMatchObject({ kind: 'refused' });
    peer.change((state) => void (first(state).typed = 'half a thought'));
    expect(await send(adopted, id, 'over it')).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('draft') as string,
    });
    peer.change((state) => {
      state.hasInputState = false;
    });
    expect(await send(adopted, id, 'over it')).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('half a thought') as string,
    });
    peer.change((state) => {
      first(state).typed = '';
      first(state).dialog = true;
    });
    expect(await send(adopted, id, 'into a dialog')).toMatchObject({ kind: 'refused' });
    await inState(adopted, id, 'permission');
    expect((await adopted.answer(id, { decision: 'allow', permissionId: undefined })).receipt).toMatchObject({
      kind: 'accepted',
    });
    expect(peer.read().prompts).toEqual([]);
  }, 60_000);
});
