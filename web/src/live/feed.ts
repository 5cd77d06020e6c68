/**
 * Keeps one conversation with the daemon's feed alive for as long as the page is open.
 *
 * One round: ask `status` (it tells a missing login from a missing daemon, which a failed WebSocket does not) → open the feed after the
 * last event that was seen → `hello` → events, until the socket closes or falls silent → wait → next round.
 *
 * A daemon that hangs, a closed laptop and a lost network leave the socket open and silent. After `quietMs` without a word the daemon is
 * asked for its status; without an answer within `answerMs` the connection counts as lost, and nothing is shown as current any more.
 */
import { emitter } from '../../../src/base/disposal.ts';
import { feedMessageSchema } from '../../../src/protocol/feed.ts';
import { type Api, parseJson } from './api.ts';
import { retryDelayMs } from './retry.ts';
import type { LiveAction } from './state.ts';

export interface FeedLimits {
  /** Silence after which the daemon is asked whether it is still there. */
  readonly quietMs: number;
  /** How long it may take to answer that, or to say hello. Together with `quietMs`: the longest time that something is shown as current. */
  readonly answerMs: number;
  /** Without a login only a person can help; looking again costs one refused request. */
  readonly loginMs: number;
}
export const feedLimits: FeedLimits = { quietMs: 5_000, answerMs: 4_000, loginMs: 5_000 };
/** A conversation that lasted this long was a good one; the next attempts begin anew with short waits. */
const steadyMs = 10_000;
/** The server's word for "you were too slow": come back at once with the last seq. */
const closedAsTooSlow = 4008;

export interface Feed {
  /** Tries now instead of at the next planned time: the page came back to the front, or a person asked. */
  readonly wake: () => void;
  readonly close: () => void;
}

export interface FeedOptions {
  readonly api: Api;
  readonly dispatch: (action: LiveAction) => void;
  readonly lastSeq: () => number | null;
  readonly limits?: FeedLimits;
}

type RoundEnd = 'unauthorized' | 'unreachable' | 'too-slow' | 'closed';

export function openFeed({ api, dispatch, lastSeq, limits = feedLimits }: FeedOptions): Feed {
  const stop = new AbortController();
  const wakes = emitter<void>(() => {});

  async function run(): Promise<void> {
    let attempt = 0;
    while (!stop.signal.aborted) {
      const startedAt = Date.now();
      const end = await round();
      if (stop.signal.aborted) return;
      if (Date.now() - startedAt > steadyMs || end === 'too-slow') attempt = 0;
      const waitMs = end === 'unauthorized' ? limits.loginMs : retryDelayMs(attempt, Math.random());
      dispatch(
        end === 'unauthorized'
          ? { kind: 'unauthorized' }
          : { kind: 'lost', at: Date.now(), retryAt: Date.now() + waitMs, attempt },
      );
      attempt += 1;
      await pause(waitMs);
    }
  }

  async function round(): Promise<RoundEnd> {
    const status = await api.call('status', { limitMs: limits.answerMs });
    if (stop.signal.aborted) return 'closed';
    if (status.kind === 'unauthorized') return 'unauthorized';
    if (status.kind !== 'ok') return 'unreachable';
    dispatch({ kind: 'status', status: status.value, at: Date.now() });
    return converse();
  }

  /** One WebSocket from its opening to its end. Every timer and listener of it ends with `finish`. */
  function converse(): Promise<RoundEnd> {
    const { promise, resolve } = Promise.withResolvers<RoundEnd>();
    const url = new URL(`/api/feed?after=${lastSeq() ?? 0}`, api.origin.replace(/^http/, 'ws'));
    const socket = new WebSocket(url);
    let timer = setTimeout(() => finish('closed'), limits.answerMs);
    let ended = false;
    const offWake = wakes.on(() => void probe());
    const onStop = (): void => finish('closed');
    stop.signal.addEventListener('abort', onStop);

    function finish(end: RoundEnd): void {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      offWake();
      stop.signal.removeEventListener('abort', onStop);
      socket.close();
      resolve(end);
    }
    function heard(): void {
      clearTimeout(timer);
      timer = setTimeout(() => void probe(), limits.quietMs);
    }
    async function probe(): Promise<void> {
      const status = await api.call('status', { limitMs: limits.answerMs });
      if (ended) return;
      if (status.kind !== 'ok') return finish(status.kind === 'unauthorized' ? 'unauthorized' : 'closed');
      heard();
    }
    socket.addEventListener('message', ({ data }) => {
      if (ended) return;
      const message = feedMessageSchema.safeParse(typeof data === 'string' ? parseJson(data) : undefined);
      heard();
      if (message.success) dispatch({ kind: 'message', message: message.data, at: Date.now() });
      else dispatch({ kind: 'unreadable', at: Date.now() });
    });
    socket.addEventListener('close', ({ code }) => finish(code === closedAsTooSlow ? 'too-slow' : 'closed'));
    socket.addEventListener('error', () => finish('closed'));
    return promise;
  }

  /** Ends early on `wake` and on `close`. */
  function pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const offWake = wakes.on(resolve);
    const onStop = (): void => resolve();
    stop.signal.addEventListener('abort', onStop);
    return promise.finally(() => {
      clearTimeout(timer);
      offWake();
      stop.signal.removeEventListener('abort', onStop);
    });
  }

  void run();
  return { wake: () => wakes.emit(), close: () => stop.abort() };
}
