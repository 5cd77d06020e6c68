import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { capturedCli, goneIdentity, writeProcessRecord } from '../../test/peers/captured-cli.ts';
import type { FeedMessage } from '../protocol/feed.ts';
import { followFeed } from './feed.ts';

const totals = { total: 1, queued: 0, running: 1, done: 0, failed: 0, unknown: 0, cancelled: 0 };
const hello: FeedMessage = { type: 'hello', version: '0.1.0', lastEvent: 3, totals, sessions: [] };
const event = (seq: number): FeedMessage => ({
  type: 'event',
  totals,
  event: { seq, at: 0, type: 'job.claimed', jobId: 'j1', attemptId: null, sessionId: null, data: {} },
});

/** A feed that says what it is told and remembers who asked for what. */
async function serveFeed(onConnection: (socket: WebSocket, address: string | undefined) => void) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const close = () => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  };
  onTestFinished(close);
  server.on('connection', (socket, request) => onConnection(socket, request.url));
  const address = server.address();
  return { close, url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}` };
}

test('after a restart of the daemon on another port the feed goes on behind the last event, without a gap or a repetition', async () => {
  const cli = capturedCli();
  onTestFinished(cli.remove);
  const asked: (string | undefined)[] = [];
  const second = await serveFeed((socket, address) => {
    asked.push(address);
    for (const message of [hello, event(13), event(14)]) socket.send(JSON.stringify(message));
  });
  const first = await serveFeed((socket, address) => {
    asked.push(address);
    for (const message of [hello, event(11), event(12)]) socket.send(JSON.stringify(message));
    writeProcessRecord(cli.home.daemonFile, { url: second.url });
    socket.close();
  });
  writeProcessRecord(cli.home.daemonFile, { url: first.url });
  const seen: number[] = [];
  let lost = 0;
  const end = await followFeed({
    home: cli.home,
    after: 10,
    signal: AbortSignal.timeout(10_000),
    onLost: () => {
      lost += 1;
    },
    onMessage: async (message) => {
      if (message.type === 'event') seen.push(message.event.seq);
      return seen.includes(14) ? 'stop' : 'go-on';
    },
  });
  expect({ end, seen, asked, lost }).toEqual({
    end: 'stopped',
    seen: [11, 12, 13, 14],
    asked: ['/api/feed?after=10', '/api/feed?after=12'],
    lost: 1,
  });
});

test('nobody there at the start is told at once, not waited for', async () => {
  const cli = capturedCli();
  onTestFinished(cli.remove);
  writeProcessRecord(cli.home.daemonFile, { identity: goneIdentity(), url: 'http://127.0.0.1:1' });
  const following = followFeed({
    home: cli.home,
    after: 0,
    signal: AbortSignal.timeout(10_000),
    onLost: () => {},
    onMessage: async () => 'go-on',
  });
  await expect(following).rejects.toMatchObject({ code: 'DAEMON_DOWN' });
});

test('an abort ends it while it waits for a daemon that went away', async () => {
  const cli = capturedCli();
  onTestFinished(cli.remove);
  const controller = new AbortController();
  const feed = await serveFeed((socket) => {
    socket.send(JSON.stringify(hello));
    feed.close();
  });
  writeProcessRecord(cli.home.daemonFile, { url: feed.url });
  const end = await followFeed({
    home: cli.home,
    after: 0,
    signal: controller.signal,
    onLost: () => controller.abort(),
    onMessage: async () => 'go-on',
  });
  expect(end).toBe('aborted');
});

test('left while the daemon is looked up it ends, and waits for no message', async () => {
  const cli = capturedCli();
  onTestFinished(cli.remove);
  const silent = await serveFeed(() => undefined);
  writeProcessRecord(cli.home.daemonFile, { url: silent.url });
  const leave = new AbortController();
  const following = followFeed({
    home: cli.home,
    after: 0,
    signal: leave.signal,
    onLost: () => {},
    onMessage: async () => 'go-on',
  });
  leave.abort();
  expect(await following).toBe('aborted');
});
