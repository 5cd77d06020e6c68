/**
 * What the page knows, as one value and one pure function: `reduce(state, action)`.
 *
 * Invariants
 * - `lastSeq` only grows while the ledger is the same; an event that was seen already changes nothing, so a resumed feed can't count twice.
 * - A jump in `seq` is counted in `missed` and raises `epoch`: whoever shows an answer to a query asks again.
 * - Sessions are what the daemon last said. Whether that is still so is `connection`: only `live` may be shown as current.
 *
 * Transitions of `connection`: connecting → live | lost | unauthorized · live → lost | unauthorized · lost → live | unauthorized ·
 * unauthorized → live | lost.
 */
import { unreachable } from '../../../src/base/assert.ts';
import type { Status } from '../../../src/protocol/api.ts';
import type { FeedMessage } from '../../../src/protocol/feed.ts';
import type { LedgerEvent, Totals } from '../../../src/protocol/job.ts';
import type { SessionView } from '../../../src/protocol/session.ts';

export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live'; readonly since: number }
  | { readonly kind: 'lost'; readonly since: number; readonly retryAt: number; readonly attempt: number }
  | { readonly kind: 'unauthorized' };

export interface LiveState {
  readonly connection: Connection;
  /** When the daemon last said anything; null before the first word. */
  readonly heardAt: number | null;
  readonly lastSeq: number | null;
  readonly home: string | null;
  readonly version: string | null;
  readonly hostConnected: boolean;
  readonly totals: Totals | null;
  readonly sessions: ReadonlyMap<string, SessionView>;
  /** Newest last, at most `eventsKept`. */
  readonly events: readonly LedgerEvent[];
  /** Sequence number of the newest event about any job, and about each job. */
  readonly jobsSeq: number;
  readonly jobSeq: ReadonlyMap<string, number>;
  /** Grows when answers to earlier queries may be out of date for another reason than an event: reconnected, or events were missed. */
  readonly epoch: number;
  readonly missed: number;
  /** Messages that did not match the protocol. */
  readonly unreadable: number;
}

export type LiveAction =
  | { readonly kind: 'status'; readonly status: Status; readonly at: number }
  | { readonly kind: 'message'; readonly message: FeedMessage; readonly at: number }
  | { readonly kind: 'unreadable'; readonly at: number }
  | { readonly kind: 'lost'; readonly at: number; readonly retryAt: number; readonly attempt: number }
  | { readonly kind: 'unauthorized' };

/** Enough for the newest lines on the page; older events are asked for by query. */
export const eventsKept = 300;
/** Jobs whose newest event number is remembered; beyond it the oldest is dropped (its page then asks again on the next `epoch`). */
export const jobSeqKept = 2_000;

export const initialState: LiveState = {
  connection: { kind: 'connecting' },
  heardAt: null,
  lastSeq: null,
  home: null,
  version: null,
  hostConnected: true,
  totals: null,
  sessions: new Map(),
  events: [],
  jobsSeq: 0,
  jobSeq: new Map(),
  epoch: 0,
  missed: 0,
  unreadable: 0,
};

export function reduce(state: LiveState, action: LiveAction): LiveState {
  switch (action.kind) {
    case 'status':
      return applyStatus(state, action.status, action.at);
    case 'message':
      return applyMessage({ ...state, heardAt: action.at }, action.message, action.at);
    case 'unreadable':
      return { ...state, heardAt: action.at, unreadable: state.unreadable + 1 };
    case 'lost':
      return { ...state, connection: lostFrom(state.connection, action) };
    case 'unauthorized':
      return { ...state, connection: { kind: 'unauthorized' } };
    default:
      return unreachable(action);
  }
}

/** The time of the loss stays that of the first failed attempt. */
function lostFrom(before: Connection, loss: { at: number; retryAt: number; attempt: number }): Connection {
  const since = before.kind === 'lost' ? before.since : loss.at;
  return { kind: 'lost', since, retryAt: loss.retryAt, attempt: loss.attempt };
}

function applyStatus(state: LiveState, status: Status, at: number): LiveState {
  const sameLedger = state.lastSeq !== null && status.lastEvent >= state.lastSeq && sameHome(state, status);
  const base = sameLedger || state.lastSeq === null ? state : { ...initialState, epoch: state.epoch + 1 };
  return {
    ...base,
    heardAt: at,
    connection: state.connection,
    home: status.home,
    version: status.version,
    hostConnected: status.host.connected,
    totals: status.jobs,
    sessions: byId(status.sessions),
    lastSeq: base.lastSeq ?? status.lastEvent,
  };
}

const sameHome = (state: LiveState, status: Status): boolean => state.home === null || state.home === status.home;

function applyMessage(state: LiveState, message: FeedMessage, at: number): LiveState {
  switch (message.type) {
    case 'hello':
      return {
        ...state,
        connection: { kind: 'live', since: at },
        version: message.version,
        totals: message.totals,
        sessions: byId(message.sessions),
        lastSeq: state.lastSeq ?? message.lastEvent,
        epoch: state.epoch + 1,
      };
    case 'event':
      return applyEvent(state, message.event, message.totals);
    case 'session':
      return { ...state, sessions: new Map(state.sessions).set(message.session.id, message.session) };
    case 'session-gone':
      return { ...state, sessions: without(state.sessions, message.sessionId) };
    default:
      return unreachable(message);
  }
}

function applyEvent(state: LiveState, event: LedgerEvent, totals: Totals): LiveState {
  const last = state.lastSeq ?? event.seq - 1;
  if (event.seq <= last) return state;
  const missed = event.seq - last - 1;
  return {
    ...state,
    totals,
    lastSeq: event.seq,
    events: [...state.events, event].slice(-eventsKept),
    jobsSeq: event.jobId === null ? state.jobsSeq : event.seq,
    jobSeq: event.jobId === null ? state.jobSeq : rememberJob(state.jobSeq, event.jobId, event.seq),
    hostConnected: hostAfter(event, state.hostConnected),
    missed: state.missed + missed,
    epoch: missed > 0 ? state.epoch + 1 : state.epoch,
  };
}

function rememberJob(known: ReadonlyMap<string, number>, job: string, seq: number): ReadonlyMap<string, number> {
  const next = new Map(known);
  next.delete(job);
  next.set(job, seq);
  const oldest = next.keys().next();
  if (next.size > jobSeqKept && !oldest.done) next.delete(oldest.value);
  return next;
}

function hostAfter(event: LedgerEvent, before: boolean): boolean {
  if (event.type === 'host.connected') return true;
  return event.type === 'host.lost' ? false : before;
}

const without = (sessions: ReadonlyMap<string, SessionView>, id: string): ReadonlyMap<string, SessionView> =>
  new Map([...sessions].filter(([key]) => key !== id));

const byId = (sessions: readonly SessionView[]): ReadonlyMap<string, SessionView> =>
  new Map(sessions.map((session) => [session.id, session]));
