/**
 * Prompts with every hazard to the real agents, on a PTY of the real host, against the scripted model server: each ends in a receipt, and
 * what the receipt says is what the agent received, as its own record of the conversation shows.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Agent } from '../../src/agents/agent.ts';
import { agents } from '../../src/agents/index.ts';
import { systemClock } from '../../src/base/clock.ts';
import { newSessionId, type SessionId } from '../../src/base/ids.ts';
import { silentLog } from '../../src/base/log.ts';
import { homeAt } from '../../src/platform/home.ts';
import type { AgentId, Receipt } from '../../src/protocol/session.ts';
import { openSessions, type Sessions } from '../../src/sessions/index.ts';
import { type ModelServer, openModelServer } from '../peers/model-server.ts';
import { asSent, hazards } from '../peers/receipts.ts';
import { subjects } from './subjects.ts';

/** What these agents take for a command of their own although it is pasted; measured, and refused (docs/input.md). */
const refused: Readonly<Record<string, readonly string[]>> = {
  claude: ['shell', 'command', 'commandOnSecondLine', 'white'],
  codex: ['shell', 'command', 'commandOnSecondLine', 'white'],
  qwen: ['command', 'commandOnSecondLine', 'path', 'white'],
};

describe.each(subjects.filter((subject) => subject.program !== undefined))('$name $version', (subject) => {
  let dir: string;
  let model: ModelServer;
  let sessions: Sessions;
  const id: SessionId = newSessionId();

  beforeAll(async () => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-agent-receipts-')));
    const home = homeAt(join(dir, 'home'));
    const work = join(dir, 'work');
    for (const each of [home.dir, home.run, home.logs, join(dir, 'agent'), work]) mkdirSync(each, { mode: 0o700 });
    execFileSync('git', ['init', '-q', '-b', 'main'], { cwd: work });
    writeFileSync(join(work, 'README.md'), 'read me\n');
    model = await openModelServer({});
    const env = subject.home(join(dir, 'agent'), model.port, work);
    sessions = await openSessions({
      home,
      agents,
      clock: systemClock,
      log: silentLog,
      recordingBytesMax: 64 * 1024 * 1024,
      news: { onChange: () => undefined, onHost: () => undefined },
    });
    const started = await sessions.start({
      id,
      agent: agents.get(subject.name as AgentId) as Agent,
      found: { file: String(subject.program), args: [], version: subject.version },
      persona: 'dev',
      title: 'receipts',
      cwd: work,
      env: { PATH: process.env.PATH ?? '', LANG: 'C.UTF-8', ...env },
      permissions: 'ask',
      model: undefined,
      resumeId: undefined,
      extraArgs: [],
    });
    expect(started.kind).toBe('started');
    expect(await sessions.ready(id, { startMs: 30_000, setupMs: 0 })).toMatchObject({ kind: 'ready' });
  }, 60_000);
  afterAll(async () => {
    await sessions.close('end');
    await model.close();
    rmSync(dir, { recursive: true, force: true });
  });

  let inputs = 0;
  const send = (text: string, how: { readyMs?: number; overDraft?: boolean } = {}): Promise<Receipt> => {
    inputs += 1;
    return sessions.deliver(id, { inputId: `i${inputs}`, text, readyMs: 30_000, ...how });
  };
  const keys = async (data: string): Promise<void> => {
    const terminal = await sessions.openTerminal(id, { onMessage: () => undefined, onOutput: () => undefined });
    await terminal?.input(data);
    terminal?.close();
  };
  const tail = async (): Promise<string> => (await sessions.tail(id, 40)).join('\n');

  /** The agent's own word for what it received; it may come a moment after the receipt, which rests on an earlier sign. */
  const toldAs = async (text: string): Promise<void> => {
    const wanted = squeezed(text);
    await vi.waitFor(
      () => {
        const told = sessions.why(id)?.evidence.findLast((each) => each.accepted !== undefined)?.accepted ?? '';
        // Qwen Code puts a space before an address, and the files that are named behind the text.
        const shown = squeezed(told.split('\n--- Content from referenced files')[0] ?? '').replace(
          'user @host',
          'user@host',
        );
        expect(shown).toBe(wanted);
      },
      { timeout: 10_000, interval: 50 },
    );
  };

  const sizes = (name: string): boolean => name === 'hundredKilobytes';
  test.each(Object.keys(hazards).filter((name) => !sizes(name)))(
    '[I6] [I10] %s',
    async (name) => {
      const text = hazards[name]?.(`[${name}]`) ?? '';
      const turns = sessions.get(id)?.turns ?? 0;
      const receipt = await send(text);
      if (refused[subject.name]?.includes(name)) {
        expect(receipt.kind).toBe('refused');
        await delay(300);
        expect(sessions.get(id)?.turns).toBe(turns);
        return;
      }
      expect(JSON.stringify(receipt)).toContain('"kind":"accepted"');
      if (asSent(text).length < 1500) await toldAs(asSent(text));
    },
    60_000,
  );

  test("[I7] a person's draft is kept, and goes only if that is asked for", async () => {
    expect(JSON.stringify(await send('Wait for this one first', {}))).toContain('"kind":"accepted"');
    expect(await sessions.ready(id, { startMs: 20_000, setupMs: 0 })).toMatchObject({ kind: 'ready' });
    await keys('\u001b[200~a thought of mine\n\nof three lines\u001b[201~');
    expect(await send('Not over it')).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('a thought of mine') as string,
    });
    expect(await tail()).toContain('a thought of mine');
    expect(JSON.stringify(await send('Over it', { overDraft: true }))).toContain('"kind":"accepted"');
    await toldAs('Over it');
  }, 60_000);

  test('[I1] [I12] while busy it is refused, or waits and says how long', async () => {
    expect(JSON.stringify(await send('SCRIPT:[{"delayMs":2500,"text":"slow"}]'))).toContain('"kind":"accepted"');
    expect(await send('Now?', { readyMs: 0 })).toMatchObject({ kind: 'refused' });
    const queued = await send('Then.');
    expect(JSON.stringify(queued)).toContain('"kind":"accepted"');
    expect(queued.queuedMs).toBeGreaterThan(500);
  }, 60_000);

  test('[I7] what an interrupt puts back into the box is ours, and no obstacle', async () => {
    expect(JSON.stringify(await send('SCRIPT:[{"delayMs":20000,"text":"never"}] Put me back'))).toContain(
      '"kind":"accepted"',
    );
    await delay(500);
    expect(await sessions.interrupt(id)).toMatchObject({ kind: 'accepted' });
    expect(JSON.stringify(await send('After the interrupt'))).toContain('"kind":"accepted"');
    await toldAs('After the interrupt');
  }, 60_000);

  test('[I6] 100 KB end in a receipt, also where the agent reads them for longer than anybody waits', async () => {
    const receipt = await send(hazards.hundredKilobytes?.('[big]') ?? '');
    expect(receipt.kind === 'accepted' || (subject.name === 'qwen' && receipt.kind === 'unknown')).toBe(true);
  }, 90_000);
});

/** White space at the ends and its kind are not kept by every agent; Claude Code composes accents. */
const squeezed = (text: string): string => text.normalize('NFC').replace(/\s+/g, ' ').trim();
