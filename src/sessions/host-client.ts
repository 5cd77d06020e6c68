/**
 * The daemon's side of the host's socket: typed calls, notices, output of subscriptions.
 *
 * A call ends in its checked result or in a `Fault`: HOST_DOWN (no connection, or it broke before the answer: whether the host acted is
 * then unknown, and `write`, `spawn` and `inputs` are made so that one may ask again), HOST_REFUSED (the host said no; `hostErrorOf` has
 * its code), HOST_VERSION, TIMED_OUT. Output that comes before its listener is kept; the credit bounds it.
 */
import { createConnection, type Socket } from 'node:net';
import { Fault, messageOf } from '../base/fault.ts';
import {
  frameBytesMax,
  type HostErrorCode,
  type HostMethod,
  type HostNotice,
  type HostParams,
  type HostResult,
  hostMethods,
  hostNoticeSchema,
  hostProtocolVersion,
  hostReplySchema,
} from '../protocol/host.ts';
import { type Frame, messageFrame, openFrameReader } from './frames.ts';

export interface OutputPiece {
  /** Of the first of these bytes, counted from the session's first. */
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface HostClient {
  readonly hello: HostResult<'hello'>;
  readonly call: <M extends HostMethod>(method: M, params: HostParams<M>) => Promise<HostResult<M>>;
  /** One listener per subscription; gives what came before it first. Returns how to stop listening (the host is not told). */
  readonly onOutput: (subscription: number, listener: (piece: OutputPiece) => void) => () => void;
  readonly close: () => void;
}

export interface HostClientOptions {
  readonly socketPath: string;
  readonly token: string;
  readonly onNotice: (notice: HostNotice) => void;
  /** Once, when the connection is gone, also after `close`. */
  readonly onClose: (reason: string) => void;
  readonly connectTimeoutMs?: number;
}

/** A host answers `hello` within milliseconds; one that is busy with a flood, within a second. */
const connectMs = 3000;
const callMs = 10_000;
/** Of which up to 20 s are the rehearsal, and 10 s the wait for a quiet moment. */
const upgradeMs = 35_000;
/** The host itself gives up on an input after 10 s. */
const writeMs = 15_000;
/** Output kept for a subscription without a listener; the credit is smaller in any sensible use. */
const earlyBytesMax = 4 * 1024 * 1024;
/** Calls without an answer yet. More is a defect of the caller. */
const callsMax = 10_000;

interface Call {
  readonly method: HostMethod;
  readonly resolve: (result: unknown) => void;
  readonly reject: (fault: Fault) => void;
  readonly timer: NodeJS.Timeout;
}

interface Output {
  listener: ((piece: OutputPiece) => void) | undefined;
  early: OutputPiece[];
  earlyBytes: number;
}

/** Connects and says hello. */
export async function openHostClient(options: HostClientOptions): Promise<HostClient> {
  const socket = await connect(options.socketPath, options.connectTimeoutMs ?? connectMs);
  const connection = new Connection(socket, options);
  try {
    const hello = await connection.call('hello', { version: hostProtocolVersion, token: options.token });
    return {
      hello,
      call: (method, params) => connection.call(method, params),
      onOutput: (subscription, listener) => connection.onOutput(subscription, listener),
      close: () => connection.close('closed by us'),
    };
  } catch (error) {
    connection.close(messageOf(error));
    throw error;
  }
}

/** The host's own word for why it refused, if the error is a refusal of the host. */
export function hostErrorOf(error: unknown): HostErrorCode | undefined {
  return error instanceof Fault && error.cause instanceof HostRefusal ? error.cause.code : undefined;
}

class HostRefusal extends Error {
  readonly code: HostErrorCode;

  constructor(code: HostErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

function connect(socketPath: string, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath);
    const fail = (cause: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(
        new Fault('HOST_DOWN', `The PTY host does not answer: ${messageOf(cause)}`, {
          cause,
          hint: 'Run `muster up`.',
        }),
      );
    };
    const timer = setTimeout(() => fail(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

class Connection {
  readonly #socket: Socket;
  readonly #options: HostClientOptions;
  readonly #calls = new Map<number, Call>();
  readonly #outputs = new Map<number, Output>();
  #lastId = 0;
  #closedBecause: string | undefined;

  constructor(socket: Socket, options: HostClientOptions) {
    this.#socket = socket;
    this.#options = options;
    const read = openFrameReader((frame) => this.#take(frame));
    socket.on('data', (chunk: Buffer) => {
      if (!read(chunk)) this.close('the host sent something that is no frame');
    });
    socket.on('error', (error) => this.close(error.message));
    socket.on('close', () => this.close('the host closed the connection'));
  }

  call<M extends HostMethod>(method: M, params: HostParams<M>): Promise<HostResult<M>> {
    if (this.#closedBecause !== undefined) return Promise.reject(hostDown(method, this.#closedBecause));
    if (this.#calls.size >= callsMax)
      return Promise.reject(new Fault('HOST_DOWN', `${callsMax} calls wait for the host`));
    const id = ++this.#lastId;
    const frame = messageFrame({ id, method, params });
    if (frame.length > frameBytesMax) return Promise.reject(new Fault('BAD_REQUEST', `${method} is too large to send`));
    return new Promise((resolve, reject) => {
      const limitMs = limitOf(method, params);
      const timer = setTimeout(() => {
        this.#calls.delete(id);
        reject(new Fault('TIMED_OUT', `The PTY host did not answer ${method} within ${limitMs} ms`));
      }, limitMs);
      // The schema of this very method has checked the result, so its type is the method's.
      this.#calls.set(id, { method, resolve: (result) => resolve(result as HostResult<M>), reject, timer });
      this.#socket.write(frame);
    });
  }

  onOutput(subscription: number, listener: (piece: OutputPiece) => void): () => void {
    const output = this.#outputOf(subscription);
    output.listener = listener;
    for (const piece of output.early.splice(0)) listener(piece);
    return () => void this.#outputs.delete(subscription);
  }

  close(reason: string): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = reason;
    this.#socket.destroy();
    for (const call of this.#calls.values()) {
      clearTimeout(call.timer);
      call.reject(hostDown(call.method, reason));
    }
    this.#calls.clear();
    this.#outputs.clear();
    this.#options.onClose(reason);
  }

  #take(frame: Frame): void {
    if (this.#closedBecause !== undefined) return;
    if (frame.kind === 'output') return this.#takeOutput(frame.subscription, frame);
    const message = parseMessage(frame.text);
    if (message === undefined) this.close('the host sent a message that can not be read');
    else if ('notice' in message) this.#options.onNotice(message);
    else this.#takeReply(message);
  }

  #takeReply(reply: ReturnType<typeof hostReplySchema.parse>): void {
    const call = this.#calls.get(reply.id);
    if (call === undefined) return;
    this.#calls.delete(reply.id);
    clearTimeout(call.timer);
    if ('error' in reply) return call.reject(refusal(call.method, reply.error));
    const result = hostMethods[call.method].result.safeParse(reply.result);
    if (result.success) call.resolve(result.data);
    else
      call.reject(
        new Fault('HOST_VERSION', `The PTY host answered ${call.method} in another form`, { cause: result.error }),
      );
  }

  #takeOutput(subscription: number, { offset, bytes }: OutputPiece): void {
    const output = this.#outputOf(subscription);
    if (output.listener !== undefined) return output.listener({ offset, bytes });
    output.early.push({ offset, bytes });
    output.earlyBytes += bytes.length;
    if (output.earlyBytes > earlyBytesMax) this.#outputs.delete(subscription);
  }

  #outputOf(subscription: number): Output {
    const known = this.#outputs.get(subscription);
    if (known !== undefined) return known;
    const output: Output = { listener: undefined, early: [], earlyBytes: 0 };
    this.#outputs.set(subscription, output);
    return output;
  }
}

function parseMessage(text: string): HostNotice | ReturnType<typeof hostReplySchema.parse> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Told by the undefined.
    return undefined;
  }
  const isNotice = typeof value === 'object' && value !== null && 'notice' in value;
  return isNotice ? hostNoticeSchema.safeParse(value).data : hostReplySchema.safeParse(value).data;
}

function limitOf<M extends HostMethod>(method: M, params: HostParams<M>): number {
  if (method === 'hello') return connectMs;
  if (method === 'write') return writeMs;
  if (method === 'upgrade') return upgradeMs;
  return 'graceMs' in params ? params.graceMs + callMs : callMs;
}

const hostDown = (method: HostMethod, reason: string): Fault =>
  new Fault('HOST_DOWN', `The connection to the PTY host is gone (${method}): ${reason}`, { hint: 'Run `muster up`.' });

function refusal(method: HostMethod, error: { code: HostErrorCode; message: string }): Fault {
  const cause = new HostRefusal(error.code, error.message);
  if (error.code === 'version') return new Fault('HOST_VERSION', error.message, { cause });
  if (error.code === 'disk-full') return new Fault('DISK_FULL', error.message, { cause });
  return new Fault('HOST_REFUSED', `The PTY host refused ${method} (${error.code}): ${error.message}`, { cause });
}
