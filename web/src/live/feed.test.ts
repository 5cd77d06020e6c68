import { afterEach, expect, test, vi } from 'vitest';
import { openWebPeer, type WebPeer } from '../../../test/peers/web-api.ts';
import { aSession } from '../../../test/peers/web-world.ts';
import { apiAt } from './api.ts';
import { type Feed, openFeed } from './feed.ts';
import { retryDelayMs, retryFirstMs, retryMaxMs } from './retry.ts';
import { initialState, type LiveState, reduce } from './state.ts';

const open: { close: () => unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

const limits = { quietMs: 200, answerMs: 300, loginMs: 100 };
const soon = { timeout: 8_000, interval: 10 };

async function start(cookie?: string): Promise<{ peer: WebPeer; feed: Feed; state: () => LiveState }> {
  const peer = await openWebPeer({ sessions: [aSession({ id: 's-1' })], ...(cookie === undefined ? {} : { cookie }) });
  let state = initialState;
  const feed = openFeed({
    api: apiAt(peer.origin),
    dispatch: (action) => {
      state = reduce(state, action);
    },
    lastSeq: () => state.lastSeq,
    limits,
  });
  open.push(peer, feed);
  return { peer, feed, state: () => state };
}

const kind = (state: () => LiveState) => state().connection.kind;

test('events that happen while the daemon is away are told when it is back, each once', async () => {
  const { peer, state } = await start();
  await vi.waitFor(() => expect(kind(state)).toBe('live'), soon);
  peer.addEvent({ type: 'job.submitted', jobId: 'j1' });
  await vi.waitFor(() => expect(state().lastSeq).toBe(1), soon);
  await peer.goAway();
  await vi.waitFor(() => expect(kind(state)).toBe('lost'), soon);
  peer.addEvent({ type: 'job.claimed', jobId: 'j1' });
  peer.addEvent({ type: 'job.done', jobId: 'j1' });
  await peer.comeBack();
  await vi.waitFor(() => expect(state().lastSeq).toBe(3), soon);
  const { events, missed, connection } = state();
  expect({ seqs: events.map(({ seq }) => seq), missed, kind: connection.kind }).toEqual({
    seqs: [1, 2, 3],
    missed: 0,
    kind: 'live',
  });
});

test('a daemon that hangs with its connections open counts as lost, and is live again when it answers', async () => {
  const { peer, state } = await start();
  await vi.waitFor(() => expect(kind(state)).toBe('live'), soon);
  peer.hang(true);
  await vi.waitFor(() => expect(kind(state)).toBe('lost'), soon);
  peer.hang(false);
  await vi.waitFor(() => expect(kind(state)).toBe('live'), soon);
});

test('without a cookie the page is not logged in, which is another thing than a lost connection', async () => {
  const { state } = await start('muster=secret');
  await vi.waitFor(() => expect(kind(state)).toBe('unauthorized'), soon);
});

test('a closed feed leaves no connection behind', async () => {
  const { peer, feed, state } = await start();
  await vi.waitFor(() => expect(kind(state)).toBe('live'), soon);
  expect(peer.feedReaders()).toBe(1);
  feed.close();
  await vi.waitFor(() => expect(peer.feedReaders()).toBe(0), soon);
});

test('waits double up to a limit and are spread', () => {
  const longest = [0, 1, 2, 3, 4, 5, 50].map((attempt) => retryDelayMs(attempt, 0.999_999));
  expect(longest).toEqual([retryFirstMs, 500, 1_000, 2_000, 4_000, retryMaxMs, retryMaxMs]);
  expect(retryDelayMs(50, 0)).toBe(retryMaxMs / 2);
});
