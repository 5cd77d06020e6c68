import { expect, test } from 'vitest';
import type { LedgerEvent } from '../../../src/protocol/job.ts';
import { aSession, totalsOf } from '../../../test/peers/web-world.ts';
import { eventsKept, initialState, jobSeqKept, type LiveAction, type LiveState, reduce } from './state.ts';

const totals = totalsOf([]);
const event = (seq: number, given: Partial<LedgerEvent> = {}): LedgerEvent => ({
  seq,
  at: 1_000 + seq,
  type: 'job.claimed',
  jobId: null,
  attemptId: null,
  sessionId: null,
  data: {},
  ...given,
});
const told = (seq: number, given: Partial<LedgerEvent> = {}): LiveAction => ({
  kind: 'message',
  message: { type: 'event', event: event(seq, given), totals },
  at: 5_000,
});
const hello = (lastEvent: number, ids: readonly string[] = []): LiveAction => ({
  kind: 'message',
  message: { type: 'hello', version: '1', lastEvent, totals, sessions: ids.map((id) => aSession({ id })) },
  at: 4_000,
});
const status = (lastEvent: number, home = '/home'): LiveAction => ({
  kind: 'status',
  status: {
    version: '1',
    home,
    url: '',
    daemon: { pid: 1, startedAt: 0, rssBytes: 0, node: '' },
    host: { connected: true, pid: null, startedAt: null, rssBytes: null },
    jobs: totals,
    waiting: null,
    sessions: [],
    lastEvent,
  },
  at: 3_000,
});
const lost = (at: number): LiveAction => ({ kind: 'lost', at, retryAt: at + 100, attempt: 0 });
const after = (...actions: readonly LiveAction[]): LiveState => actions.reduce(reduce, initialState);

test('a status alone does not make the page live, hello does', () => {
  expect(after(status(7)).connection).toEqual({ kind: 'connecting' });
  expect(after(status(7), hello(7)).connection).toEqual({ kind: 'live', since: 4_000 });
});

test('an event that was seen already changes nothing', () => {
  const once = after(status(0), hello(0), told(1), told(2));
  expect(reduce(once, told(2))).toEqual({ ...once, heardAt: 5_000 });
  expect(once.events.map(({ seq }) => seq)).toEqual([1, 2]);
});

test('after a loss the feed goes on behind the last event, and no event counts twice', () => {
  const state = after(status(0), hello(0), told(1), lost(9_000), status(3), hello(3), told(2), told(3));
  expect({ seqs: state.events.map(({ seq }) => seq), last: state.lastSeq, missed: state.missed }).toEqual({
    seqs: [1, 2, 3],
    last: 3,
    missed: 0,
  });
});

test('a jump in the numbers is counted and makes earlier answers old', () => {
  const before = after(status(0), hello(0), told(1));
  const jumped = reduce(before, told(5));
  expect({ missed: jumped.missed, epochs: jumped.epoch - before.epoch, last: jumped.lastSeq }).toEqual({
    missed: 3,
    epochs: 1,
    last: 5,
  });
});

test('another ledger behind the same address begins anew instead of ignoring its smaller numbers', () => {
  const other = after(status(50), hello(50), told(51), lost(1), status(2), hello(2), told(3));
  expect({ seqs: other.events.map(({ seq }) => seq), last: other.lastSeq }).toEqual({ seqs: [3], last: 3 });
  const elsewhere = after(status(50), hello(50), told(51), lost(1), status(90, '/other'), hello(90), told(91));
  expect({ seqs: elsewhere.events.map(({ seq }) => seq), missed: elsewhere.missed }).toEqual({ seqs: [91], missed: 0 });
});

test('a loss is dated by its first failed attempt and keeps what was last heard', () => {
  const state = after(status(0), hello(0, ['s-1']), lost(8_000), lost(9_000));
  expect(state.connection).toEqual({ kind: 'lost', since: 8_000, retryAt: 9_100, attempt: 0 });
  expect({ heardAt: state.heardAt, sessions: [...state.sessions.keys()] }).toEqual({
    heardAt: 4_000,
    sessions: ['s-1'],
  });
});

test('hello replaces the sessions: one that is gone does not stay on the wall', () => {
  expect([
    ...after(status(0), hello(0, ['s-1', 's-2']), lost(1), status(0), hello(0, ['s-2'])).sessions.keys(),
  ]).toEqual(['s-2']);
});

test('the newest event of a job is known, so that only its page asks again', () => {
  const state = after(status(0), hello(0), told(1, { jobId: 'j1' }), told(2, { jobId: 'j2' }), told(3));
  expect({ any: state.jobsSeq, each: [...state.jobSeq] }).toEqual({
    any: 2,
    each: [
      ['j1', 1],
      ['j2', 2],
    ],
  });
});

test('what is remembered is bounded', () => {
  let state = after(status(0), hello(0));
  for (let seq = 1; seq <= jobSeqKept + 10; seq += 1) state = reduce(state, told(seq, { jobId: `j${seq}` }));
  expect({ events: state.events.length, jobs: state.jobSeq.size, oldest: [...state.jobSeq.keys()][0] }).toEqual({
    events: eventsKept,
    jobs: jobSeqKept,
    oldest: 'j11',
  });
});

test('the loss of the terminals’ host is told by its events', () => {
  const gone = after(status(0), hello(0), told(1, { type: 'host.lost' }));
  expect([gone.hostConnected, reduce(gone, told(2, { type: 'host.connected' })).hostConnected]).toEqual([false, true]);
});
