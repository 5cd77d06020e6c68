/**
 * One connection to the host: hello first, then requests and replies, notices if it watches, output of its subscriptions.
 *
 * Output waits nowhere: a subscription is an offset into the session's ring and a credit. A reader that is slow falls out of the ring,
 * is told of the gap, and goes on at what is still there; the session never waits for it. Notices and replies wait in the socket up to
 * `waitingBytesMax`; a peer that lets that happen does not read, and is closed.
 */
import type { Socket } from 'node:net';
import { messageOf } from '../../base/fault.ts';
import { frameBytesMax, type HostNotice, hostRequestSchema } from '../../protocol/host.ts';
import { messageFrame, openFrameReader, outputFrameHead } from '../frames.ts';
import { HostError } from './errors.ts';
import type { HostedSession } from './session.ts';

export interface ConnectionOptions {
  /** Carries one request out; throws `HostError` for a refusal. */
  readonly dispatch: (method: string, params: unknown, connection: Connection) => Promise<unknown>;
  readonly onClose: (connection: Connection) => void;
  readonly onDefect: (error: unknown, method: string) => void;
}

/** What may wait in the socket for a peer that does not read: several of the largest frames. */
const waitingBytesMax = 16 * 1024 * 1024;
/** No more output is handed to the socket while so much waits in it. */
const outputWaitingMax = 1024 * 1024;
const outputFrameBytes = 64 * 1024;
/** A pump that sent so much was part of a flood (a terminal gives up to 4095 bytes at a time); the next one may wait, a key's echo never does. */
const floodBytes = 2 * 1024;
const floodPumpMs = 2;
const helloMs = 5000;
/** Credit beyond this is a mistake in counting; the ring holds less anyway. */
const creditMax = 1024 * 1024 * 1024;
/** A daemon has one for each session and each viewer. */
const subscriptionsMax = 4096;
/** A peer that has more unanswered requests is not waiting for answers. */
const requestsMax = 20_000;

interface Subscription {
  readonly id: number;
  readonly session: HostedSession;
  offset: number;
  credit: number;
}

export class Connection {
  /** Set by a good `hello`; nothing else is answered before. */
  greeted = false;
  watches = false;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #helloTimer: NodeJS.Timeout;
  #lastSubscription = 0;
  #requests = 0;
  #pumping = false;
  #lastPump = { at: 0, bytes: 0 };
  #closed = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#helloTimer = setTimeout(() => this.greeted || this.close(), helloMs);
    const read = openFrameReader((frame) => {
      if (frame.kind === 'message') this.#take(frame.text);
      else this.close();
    });
    socket.on('data', (chunk: Buffer) => read(chunk) || this.close());
    socket.on('drain', () => this.#pumpSoon());
    socket.on('error', () => this.close());
    socket.on('close', () => this.close());
  }

  notify(notice: HostNotice): void {
    if (this.watches) this.#send(notice);
  }

  /** New bytes are in the ring of this session, or its last ones. */
  outputOf(session: HostedSession): void {
    for (const subscription of this.#subscriptions.values())
      if (subscription.session === session) return this.#pumpSoon();
  }

  subscribe(session: HostedSession, from: number, creditBytes: number): { subscription: number; from: number } {
    if (this.#subscriptions.size >= subscriptionsMax) throw new HostError('busy', 'too many subscriptions');
    const id = ++this.#lastSubscription;
    const offset = Math.min(Math.max(from, session.ring.start()), session.ring.end());
    this.#subscriptions.set(id, { id, session, offset, credit: Math.min(creditBytes, creditMax) });
    // After the reply, which names the subscription.
    setImmediate(() => this.#pumpSoon());
    return { subscription: id, from: offset };
  }

  credit(id: number, bytes: number): void {
    const subscription = this.#subscriptions.get(id);
    if (subscription === undefined) return;
    subscription.credit = Math.min(creditMax, subscription.credit + bytes);
    this.#pumpSoon();
  }

  unsubscribe(id: number): void {
    this.#subscriptions.delete(id);
  }

  forget(session: HostedSession): void {
    for (const [id, subscription] of this.#subscriptions)
      if (subscription.session === session) this.#subscriptions.delete(id);
  }

  /** When the system has taken everything that was sent so far. */
  flushed(): Promise<void> {
    return new Promise((resolve) => this.#socket.write('', () => resolve()));
  }

  /** Sends what waits, then closes. */
  finish(): void {
    this.#socket.end(() => this.close());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#helloTimer);
    this.#subscriptions.clear();
    this.#socket.destroy();
    this.#options.onClose(this);
  }

  #take(text: string): void {
    const request = parseRequest(text);
    if (request === undefined || this.#closed || this.#requests >= requestsMax) return this.close();
    const { id, method, params } = request;
    if (!this.greeted && method !== 'hello') return this.close();
    this.#requests++;
    this.#options
      .dispatch(method, params, this)
      .then(
        (result) => this.#send({ id, result }),
        (error: unknown) => this.#refuse(id, method, error),
      )
      .finally(() => this.#requests--);
  }

  #refuse(id: number, method: string, error: unknown): void {
    if (error instanceof HostError) this.#send({ id, error: { code: error.code, message: error.message } });
    else {
      this.#options.onDefect(error, method);
      this.#send({ id, error: { code: 'internal', message: messageOf(error) } });
    }
    // A peer that may not speak to us, or not in this language, gets no second try on this connection.
    if (!this.greeted) this.finish();
  }

  #send(message: unknown): void {
    if (this.#closed) return;
    const frame = messageFrame(message);
    // The limits of screens and snapshots keep far below; a peer would close the connection on it.
    if (frame.length > frameBytesMax)
      return this.#options.onDefect(new Error('a message is too large to send'), 'send');
    this.#socket.write(frame);
    if (this.#socket.writableLength > waitingBytesMax) this.close();
  }

  /** A key's echo goes out at once; in a flood after a millisecond, so that 4 KB reads become 64 KB. */
  #pumpSoon(): void {
    if (this.#pumping) return;
    const { at, bytes } = this.#lastPump;
    const flooded = bytes >= floodBytes && performance.now() - at < floodPumpMs;
    if (!flooded) return this.#pumpAll();
    this.#pumping = true;
    setTimeout(() => this.#pumpAll(), floodPumpMs);
  }

  #pumpAll(): void {
    this.#pumping = false;
    let bytes = 0;
    for (const subscription of this.#subscriptions.values()) bytes += this.#pumpOne(subscription);
    this.#lastPump = { at: performance.now(), bytes };
  }

  #pumpOne(subscription: Subscription): number {
    const { id, session } = subscription;
    let sent = 0;
    while (subscription.credit > 0 && !this.#closed && this.#socket.writableLength < outputWaitingMax) {
      if (subscription.offset < session.ring.start()) {
        subscription.offset = session.ring.start();
        this.#send({ notice: 'gap', subscription: id, offset: subscription.offset });
      }
      const bytes = session.ring.read(subscription.offset, Math.min(outputFrameBytes, subscription.credit));
      if (bytes.length === 0) break;
      this.#socket.cork();
      this.#socket.write(outputFrameHead(id, subscription.offset, bytes.length));
      this.#socket.write(bytes);
      this.#socket.uncork();
      subscription.offset += bytes.length;
      subscription.credit -= bytes.length;
      sent += bytes.length;
    }
    return sent;
  }
}

function parseRequest(text: string): { id: number; method: string; params: unknown } | undefined {
  try {
    return hostRequestSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // The undefined closes the connection.
    return undefined;
  }
}
