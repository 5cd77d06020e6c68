/** The one live store of the page: state, feed and API, handed to every component by context. */
import { createContext, type ReactNode, useContext, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { type Api, apiAt, type Failure, type Reply } from './api.ts';
import { type Feed, openFeed } from './feed.ts';
import { initialState, type LiveAction, type LiveState, reduce } from './state.ts';

export interface LiveStore {
  readonly api: Api;
  readonly feed: Feed;
  readonly get: () => LiveState;
  readonly subscribe: (listener: () => void) => () => void;
  readonly close: () => void;
}

export function openLiveStore(origin: string): LiveStore {
  const api = apiAt(origin);
  const listeners = new Set<() => void>();
  let state = initialState;
  const dispatch = (action: LiveAction): void => {
    state = reduce(state, action);
    for (const listener of listeners) listener();
  };
  const feed = openFeed({ api, dispatch, lastSeq: () => state.lastSeq });
  return {
    api,
    feed,
    get: () => state,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: feed.close,
  };
}

const LiveContext = createContext<LiveStore | null>(null);

export function LiveProvider({ store, children }: { readonly store: LiveStore; readonly children: ReactNode }) {
  return <LiveContext value={store}>{children}</LiveContext>;
}

export function useStore(): LiveStore {
  const store = useContext(LiveContext);
  if (store === null) throw new Error('useStore outside of LiveProvider');
  return store;
}

export const useApi = (): Api => useStore().api;

/** `select` must give the same object for the same state: pick, don't build. */
export function useLive<T>(select: (state: LiveState) => T): T {
  const store = useStore();
  return useSyncExternalStore(store.subscribe, () => select(store.get()));
}

/** True when what is on the page may no longer be so; every state is then shown as unknown. */
export const useStale = (): boolean => useLive((state) => state.connection.kind !== 'live');

export interface Query<T> {
  /** The last good answer, also while the next one is under way or has failed. */
  readonly value: T | null;
  readonly failure: Failure | null;
  readonly loading: boolean;
  readonly refresh: () => void;
}

/** Changes that come closer together than this are answered by one request. */
const refreshEveryMs = 300;

/**
 * Asks once for each `key`, and again when `revision` changes (an event number, the epoch). An answer that is overtaken by a later one, or
 * belongs to another key, is dropped.
 */
export function useQuery<T>(key: string, revision: string | number, ask: (api: Api) => Promise<Reply<T>>): Query<T> {
  const api = useApi();
  const epoch = useLive((state) => state.epoch);
  const [nudge, setNudge] = useState(0);
  const [held, setHeld] = useState<Held<T> | null>(null);
  const newest = useRef({ key, ask, serial: 0, askedAt: 0 });
  if (newest.current.key !== key) newest.current.askedAt = 0;
  newest.current.key = key;
  newest.current.ask = ask;

  useEffect(() => {
    const waitMs = Math.max(0, refreshEveryMs - (Date.now() - newest.current.askedAt));
    const timer = setTimeout(() => {
      newest.current.askedAt = Date.now();
      newest.current.serial += 1;
      const serial = newest.current.serial;
      void newest.current.ask(api).then((reply) => {
        if (newest.current.key === key) setHeld((before) => keep(before, { key, serial, reply }));
      });
    }, waitMs);
    return () => clearTimeout(timer);
    // What makes an answer old: `revision`, `epoch` and `nudge`.
  }, [api, key, revision, epoch, nudge]);

  const own = held?.key === key ? held : null;
  return {
    value: own?.value ?? null,
    failure: own?.failure ?? null,
    loading: own === null,
    refresh: () => setNudge((before) => before + 1),
  };
}

interface Held<T> {
  readonly key: string;
  readonly serial: number;
  readonly value: T | null;
  readonly failure: Failure | null;
}

function keep<T>(before: Held<T> | null, answer: { key: string; serial: number; reply: Reply<T> }): Held<T> {
  const { key, serial, reply } = answer;
  const earlier = before?.key === key ? before : null;
  if (earlier !== null && earlier.serial > serial) return earlier;
  return reply.kind === 'ok'
    ? { key, serial, value: reply.value, failure: null }
    : { key, serial, value: earlier?.value ?? null, failure: reply };
}
