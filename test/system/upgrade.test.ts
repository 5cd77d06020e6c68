/** The host changes its version under a daemon that works and a viewer that looks. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import WebSocket from 'ws';
import { delay } from '../../src/base/wait.ts';
import { eventually, openStage, type Stage } from './stage.ts';

const launcher = join(import.meta.dirname, '../../bin/muster.mjs');

let stage: Stage;
beforeEach(async () => {
  stage = openStage();
  await stage.up();
});
afterEach(() => stage.close());

/** What one viewer of a session is sent: kinds of messages, and the bytes of the output. */
function look(sessionId: string): {
  readonly kinds: string[];
  readonly text: () => string;
  readonly close: () => void;
} {
  const client = stage.client();
  const address = new URL(`/api/sessions/${sessionId}/terminal?mode=control`, client.url.replace('http', 'ws'));
  const socket = new WebSocket(address, { headers: { authorization: `Bearer ${client.token}` } });
  const kinds: string[] = [];
  const chunks: Buffer[] = [];
  socket.on('message', (raw: Buffer, isBinary: boolean) => {
    if (isBinary) {
      chunks.push(raw);
      socket.send(JSON.stringify({ type: 'ack', bytes: raw.length }));
    } else {
      const message = JSON.parse(raw.toString()) as { type: string; data?: string };
      kinds.push(message.type);
      if (message.type === 'snapshot') chunks.push(Buffer.from(message.data ?? ''));
    }
  });
  return { kinds, text: () => Buffer.concat(chunks).toString(), close: () => socket.terminate() };
}

test('[H21] a job goes on through four upgrades, its session is never lost sight of, and a viewer sees every line once', async () => {
  const enough = join(stage.dir, 'enough');
  const job = await stage.submit(`Print a lot please\n@lines 100000 10 ${enough}\n@write a.txt x`);
  const running = await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
  const id = String(running.sessionId);
  const viewer = look(id);
  await eventually('the viewer has its screen', async () => (viewer.kinds.length > 0 ? true : undefined));
  const { host: before } = await stage.client().call('showHost');
  for (let count = 1; count <= 4; count++) {
    const { host } = await stage.client().call('upgradeHost', { body: {}, timeoutMs: 60_000 });
    expect(host).toEqual({ ...before, upgrades: count });
    await delay(200);
  }
  writeFileSync(enough, '');
  expect(await stage.ended(job.id)).toMatchObject({ state: 'done', attempts: 1 });
  expect(stage.prompts()).toHaveLength(1);
  const { changes } = await stage.client().call('whySession', { params: { id } });
  expect(changes.map((change) => change.to)).not.toContain('unknown');
  expect((await stage.events()).filter(({ type }) => type === 'host.lost')).toEqual([]);
  const printed = await eventually(
    'the viewer sees the turn to its end',
    async () => /printed (\d+) lines/.exec(viewer.text())?.[1],
  );
  expect(viewer.kinds.filter((kind) => kind === 'snapshot' || kind === 'gap')).toEqual(['snapshot']);
  const seen = [...viewer.text().matchAll(/line (\d+)\b/g)].map((match) => Number(match[1]));
  const first = seen[0] ?? 0;
  expect(seen).toEqual(Array.from({ length: Number(printed) - first + 1 }, (_, index) => first + index));
  viewer.close();
}, 60_000);

test('[H21] `muster host` shows what runs, and `up --upgrade-host` leaves a host alone that is what is installed', async () => {
  const muster = (...args: string[]): string =>
    execFileSync(process.execPath, [launcher, ...args, '--home', stage.home.dir], { encoding: 'utf8' });
  const shown = JSON.parse(muster('host', 'show', '--json')) as {
    host: { upgrades: number; code: string; installed: string };
  };
  expect(shown.host).toMatchObject({ upgrades: 0, code: shown.host.installed, sessions: 0 });
  expect(muster('host', 'upgrade')).toMatch(/^the host runs \S+ now; its 0 sessions paused for \d+ ms$/m);
  muster('up', '--upgrade-host');
  expect(muster('host', 'show')).toContain('upgraded in place 1 times');
}, 60_000);
