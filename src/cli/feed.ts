/**
 * The feed as one unbroken stream of messages: connects, resumes behind the last event it has seen when the connection is lost, and looks
 * up anew where the daemon is, which may have come back on another port.
 */
import { type RawData, WebSocket } from 'ws';
import { Fault, messageOf } from '../base/fault.ts';
import type { Home } from '../platform/home.ts';
import { type FeedMessage, feedMessageSchema } from '../protocol/feed.ts';
import { type Client, connect } from './client.ts';

export interface FeedOptions {
  readonly home: Home;
  /** The first event wanted is the one behind this number. */
  readonly after: number;
  /** Called in order; the next message waits for it. `stop` ends the stream. */
  readonly onMessage: (message: FeedMessage, client: Client) => Promise<'go-on' | 'stop'>;
  /** Once each time the connection is lost, and never for the end by `signal` or `stop`. */
  readonly onLost: (reason: string) => void;
  readonly signal: AbortSignal;
}

export type FeedEnd = 'stopped' | 'aborted';

/** A restart takes a second, an upgrade a minute; a daemon that is away longer is not coming back by itself. */
const patienceMs = 10 * 60_000;
const firstPauseMs = 100;
const pauseMaxMs = 2000;
/** `hello` with hundreds of sessions is below 1 MB. */
const messageBytesMax = 16 * 1024 * 1024;

/** Throws DAEMON_DOWN if nobody answered at the start, or for longer than the patience allows. */
export async function followFeed(options: FeedOptions): Promise<FeedEnd> {
  let { after } = options;
  let lostAt: number | undefined;
  let pauseMs = firstPauseMs;
  let connected = false;
  for (;;) {
    if (options.signal.aborted) return 'aborted';
    try {
      const client = await connect(options.home);
      const end = await readOnce(client, after, {
        ...options,
        onMessage: (message, from) => {
          connected = true;
          lostAt = undefined;
          pauseMs = firstPauseMs;
          if (message.type === 'event') after = message.event.seq;
          return options.onMessage(message, from);
        },
      });
      if (end.kind !== 'lost') return end.kind;
      if (!connected) throw new Fault('DAEMON_DOWN', end.reason, { hint: 'Start it with: muster up' });
      if (lostAt === undefined) options.onLost(end.reason);
    } catch (error) {
      const gone = error instanceof Fault && (error.code === 'DAEMON_DOWN' || error.code === 'TIMED_OUT');
      if (!gone || !connected) throw error;
      if (lostAt !== undefined && performance.now() - lostAt > patienceMs) throw error;
    }
    lostAt ??= performance.now();
    await pause(pauseMs, options.signal);
    pauseMs = Math.min(pauseMs * 2, pauseMaxMs);
  }
}

type ConnectionEnd = { readonly kind: FeedEnd } | { readonly kind: 'lost'; readonly reason: string };

/** One connection from its start to its end. */
async function readOnce(client: Client, after: number, options: FeedOptions): Promise<ConnectionEnd> {
  const address = new URL(`/api/feed?after=${after}`, client.url);
  address.protocol = 'ws:';
  const socket = new WebSocket(address, {
    headers: { authorization: `Bearer ${client.token}` },
    maxPayload: messageBytesMax,
    perMessageDeflate: false,
  });
  const { promise, resolve, reject } = Promise.withResolvers<ConnectionEnd>();
  const abort = () => resolve({ kind: 'aborted' });
  options.signal.addEventListener('abort', abort, { once: true });
  // While the daemon was looked up.
  if (options.signal.aborted) abort();
  let reason = 'the connection was closed';
  let queue: Promise<void> = Promise.resolve();
  socket.on('message', (raw: RawData) => {
    queue = queue.then(async () => {
      if ((await options.onMessage(parse(raw), client)) === 'stop') resolve({ kind: 'stopped' });
    });
    queue.catch(reject);
  });
  socket.on('error', (error) => {
    reason = messageOf(error);
  });
  socket.on('close', (code) => {
    queue.then(() => resolve({ kind: 'lost', reason: `${reason} (${code})` })).catch(reject);
  });
  try {
    return await promise;
  } finally {
    options.signal.removeEventListener('abort', abort);
    socket.terminate();
  }
}

function parse(raw: RawData): FeedMessage {
  const text = Array.isArray(raw) ? Buffer.concat(raw).toString('utf8') : Buffer.from(raw as Buffer).toString('utf8');
  const checked = feedMessageSchema.safeParse(JSON.parse(text));
  if (checked.success) return checked.data;
  throw new Fault(
    'INTERNAL',
    `The feed sent a message of an unexpected form: ${checked.error.issues[0]?.message ?? ''}`,
    {
      hint: 'Is the daemon another version? Restart it: muster down --keep-sessions, muster up',
    },
  );
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
  });
}

/** Aborts on the first Ctrl-C (or a polite end from outside), so that the command can say what goes on without it. */
export function interruptSignal(): { readonly signal: AbortSignal; readonly dispose: () => void } {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.once(name, abort);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const name of names) process.off(name, abort);
    },
  };
}
