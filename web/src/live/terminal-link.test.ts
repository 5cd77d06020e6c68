import { afterEach, expect, test, vi } from 'vitest';
import type { TerminalFromServer } from '../../../src/protocol/feed.ts';
import { openWebPeer, type WebPeer } from '../../../test/peers/web-api.ts';
import { windowBytes } from '../../../test/peers/web-terminals.ts';
import { aSession } from '../../../test/peers/web-world.ts';
import { openTerminalLink } from './terminal-link.ts';

const open: { close: () => unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});
const soon = { timeout: 8_000, interval: 10 };

/** A reader that takes bytes in only while `drawing` is on. */
async function start(sessionId = 's-1') {
  const peer: WebPeer = await openWebPeer({ sessions: [aSession({ id: 's-1' })] });
  const messages: TerminalFromServer['type'][] = [];
  const held: (() => void)[] = [];
  const reader = { drawing: true, bytes: 0, absent: false };
  const link = openTerminalLink(
    { origin: peer.origin, sessionId, mode: 'control' },
    {
      onMessage: ({ type }) => void messages.push(type),
      onConnected: () => {},
      onAbsent: () => {
        reader.absent = true;
      },
      onOutput: (bytes, drawn) => {
        reader.bytes += bytes.length;
        if (reader.drawing) drawn();
        else held.push(drawn);
      },
    },
  );
  const draw = (): void => {
    reader.drawing = true;
    for (const drawn of held.splice(0)) drawn();
  };
  open.push(peer, link);
  return { peer, link, reader, messages, draw };
}

test('every drawn byte is acknowledged', async () => {
  const { peer, reader } = await start();
  await vi.waitFor(() => expect(peer.terminals.readers('s-1')).toBe(1), soon);
  for (let line = 0; line < 100; line += 1) peer.terminals.print('s-1', `line ${line}\r\n`.repeat(100));
  await vi.waitFor(() => expect(peer.terminals.acknowledged('s-1')).toBe(88_000 + 1_000), soon);
  expect(reader.bytes).toBe(89_000);
});

test('a reader that does not draw gets one window, then a gap and a new snapshot', async () => {
  const { peer, reader, messages, draw } = await start();
  await vi.waitFor(() => expect(messages).toEqual(['snapshot']), soon);
  reader.drawing = false;
  for (let round = 0; round < 200; round += 1) peer.terminals.print('s-1', 'x'.repeat(16 * 1024));
  await vi.waitFor(() => expect(messages).toEqual(['snapshot', 'gap']), soon);
  await vi.waitFor(() => expect(reader.bytes).toBe(windowBytes), soon);
  draw();
  await vi.waitFor(() => expect(messages).toEqual(['snapshot', 'gap', 'snapshot']), soon);
});

test('what is typed while there is no connection is not kept for later', async () => {
  const { peer, link, messages } = await start();
  await vi.waitFor(() => expect(messages).toEqual(['snapshot']), soon);
  await peer.goAway();
  await vi.waitFor(() => expect(link.send({ type: 'input', data: 'rm -rf build\r' })).toBe(false), soon);
  await peer.comeBack();
  await vi.waitFor(() => expect(messages).toEqual(['snapshot', 'snapshot']), soon);
  expect(link.send({ type: 'input', data: 'y' })).toBe(true);
  await vi.waitFor(
    () => expect(peer.terminals.received.map(({ message }) => message)).toEqual([{ type: 'input', data: 'y' }]),
    soon,
  );
});

test('a session that the daemon does not have is not asked for again', async () => {
  const { peer, reader } = await start('s-nobody');
  await vi.waitFor(() => expect(reader.absent).toBe(true), soon);
  expect(peer.terminals.readers()).toBe(0);
});
