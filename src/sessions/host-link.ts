/**
 * Keeps the daemon connected to the PTY host of its home: starts the host if there is none, comes back when the connection breaks.
 * An upgrade of the host is announced: then the break is nobody's business unless it lasts, and calls that may be made twice are made
 * again. Each time a connection stands, `onConnected` runs before anybody else may call, so that what is known is brought in line first.
 */
import { Fault, messageOf } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { delay } from '../base/wait.ts';
import type { Home } from '../platform/home.ts';
import type { HostMethod, HostNotice, HostParams, HostResult } from '../protocol/host.ts';
import type { HostClient, OutputPiece } from './host-client.ts';
import { connectHost, startHost } from './host-launch.ts';

/** First and longest wait between tries to come back. */
const retryFirstMs = 50;
const retryMaxMs = 2000;
/** How long a caller waits for a connection that is being made again, before it is told that the host is down. */
const callerPatienceMs = 3000;

/** The host waits so long for a quiet moment after it has announced its upgrade, and a little. */
const upgradeBeginsMs = 12_000;
/** An announced break of this length is not told. */
const upgradePatienceMs = 3000;
/** Asked again after an upgrade without harm: inputs have ids, starts too, the rest says how things are to be. */
const repeatable: readonly HostMethod[] = [
  'spawn',
  'list',
  'write',
  'inputs',
  'resize',
  'end',
  'snapshot',
  'tail',
  'note',
  'acknowledge',
];
/** Their numbers mean something else on the next connection. */
const ofOneConnection: readonly HostMethod[] = ['credit', 'unsubscribe'];

export interface HostLink {
  /** Waits a moment for a broken connection; then HOST_DOWN. */
  readonly call: <M extends HostMethod>(method: M, params: HostParams<M>) => Promise<HostResult<M>>;
  readonly onOutput: (subscription: number, listener: (piece: OutputPiece) => void) => () => void;
  readonly state: () => { connected: boolean; pid: number | null; startedAt: number | null };
  /** Ends the host and what runs in it, and starts none in its place. A host that is on its way is waited for, and ended too. */
  readonly end: () => Promise<void>;
  /** Leaves the host running. */
  readonly close: () => void;
}

export interface HostLinkOptions {
  readonly home: Home;
  readonly log: Log;
  readonly onNotice: (notice: HostNotice) => void;
  /** `pid` differs from before if it is another host: what the old one held is gone. */
  readonly onConnected: (client: HostClient) => Promise<void>;
  readonly onLost: (reason: string) => void;
  /** The connection is open to callers, again. */
  readonly onOpen: () => void;
}

/** Resolves with the first connection. */
export async function openHostLink(options: HostLinkOptions): Promise<HostLink> {
  let client: HostClient | undefined;
  let closed = false;
  /** Until then a break is the announced one. */
  let upgradingUntil = 0;
  /** Why an announced break came that has not been told, and the timer that tells it if it lasts. */
  let untold: string | undefined;
  let late: NodeJS.Timeout | undefined;
  let coming: Promise<void> | undefined;
  let waiting: PromiseWithResolvers<HostClient> = Promise.withResolvers();
  waiting.promise.catch(() => undefined);

  const connect = async (): Promise<void> => {
    await startHost(options.home);
    let gone: string | undefined;
    const next: HostClient = await connectHost(options.home, {
      onNotice: (notice) => {
        if (notice.notice === 'upgrading') upgradingUntil = performance.now() + upgradeBeginsMs;
        else options.onNotice(notice);
      },
      onClose: (reason) => {
        gone = reason;
        if (client === next) lost(reason);
      },
    });
    // From here on a loss that is told would be taken for that of the new connection.
    clearTimeout(late);
    try {
      await options.onConnected(next);
    } catch (error) {
      if (gone === undefined) tellLost();
      else noteGone(gone);
      next.close();
      throw error;
    }
    if (gone !== undefined) {
      noteGone(gone);
      throw new Fault('HOST_DOWN', `The PTY host went away: ${gone}`);
    }
    client = next;
    upgradingUntil = 0;
    untold = undefined;
    waiting.resolve(next);
    options.onOpen();
  };
  const tellLost = (): void => {
    const reason = untold;
    untold = undefined;
    if (reason !== undefined && !closed) options.onLost(reason);
  };
  /** An announced break is told only if it lasts. */
  const tellSoon = (): void => {
    if (performance.now() < upgradingUntil) late = setTimeout(tellLost, upgradePatienceMs);
    else tellLost();
  };
  /** Also while what is known is brought in line: one upgrade can follow the other. */
  const noteGone = (reason: string): void => {
    untold = reason;
    tellSoon();
  };
  const lost = (reason: string): void => {
    if (closed || client === undefined) return;
    client = undefined;
    waiting = Promise.withResolvers();
    waiting.promise.catch(() => undefined);
    noteGone(reason);
    coming = comeBack();
  };
  const comeBack = async (): Promise<void> => {
    for (let waitMs = retryFirstMs; !closed && client === undefined; waitMs = Math.min(waitMs * 2, retryMaxMs)) {
      await connect().catch((error: unknown) =>
        options.log.warn({ cause: messageOf(error) }, 'the PTY host could not be reached; trying again'),
      );
      if (client === undefined) await delay(waitMs);
    }
  };

  const close = (): void => {
    closed = true;
    clearTimeout(late);
    client?.close();
    waiting.reject(new Fault('HOST_DOWN', 'The control plane is closing'));
  };

  await firstConnection(connect, options.log);
  return {
    call: async (method, params) => {
      if (client === undefined && ofOneConnection.includes(method))
        throw new Fault('HOST_DOWN', `The connection that ${method} is about is gone`);
      const connected = client ?? (await patiently(waiting.promise));
      try {
        return await connected.call(method, params);
      } catch (error) {
        const announced = performance.now() < upgradingUntil && error instanceof Fault && error.code === 'HOST_DOWN';
        if (!announced || !repeatable.includes(method)) throw error;
        const next = client ?? (await patiently(waiting.promise));
        // Another host knows nothing of what the one before was asked.
        if (next.hello.pid !== connected.hello.pid || next.hello.startedAt !== connected.hello.startedAt) throw error;
        return next.call(method, params);
      }
    },
    onOutput: (subscription, listener) => client?.onOutput(subscription, listener) ?? (() => undefined),
    state: () => ({
      connected: client !== undefined,
      pid: client?.hello.pid ?? null,
      startedAt: client?.hello.startedAt ?? null,
    }),
    end: async () => {
      // First: a host that leaves because it was told to is not lost.
      closed = true;
      await coming;
      await client
        ?.call('shutdown', { sessions: 'end' })
        .catch((error: unknown) => options.log.info({ cause: messageOf(error) }, 'the PTY host left'));
      close();
    },
    close,
  };
}

/** A host that goes while one connects to it is rare; one that does so again and again is a fault to be told. */
const firstTries = 3;

async function firstConnection(connect: () => Promise<void>, log: Log): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await connect();
    } catch (error) {
      if (tried === firstTries) throw error;
      log.warn({ cause: messageOf(error) }, 'the PTY host could not be connected to; trying again');
      await delay(retryFirstMs * 2 ** tried);
    }
  }
}

async function patiently(connection: Promise<HostClient>): Promise<HostClient> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(new Fault('HOST_DOWN', 'The PTY host does not answer', { hint: '`muster doctor` says what is wrong.' })),
      callerPatienceMs,
    );
  });
  try {
    return await Promise.race([connection, late]);
  } finally {
    clearTimeout(timer);
  }
}
