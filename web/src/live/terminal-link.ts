/**
 * One session's terminal over its WebSocket, kept alive until it is closed or the session is absent or has ended.
 *
 * Flow control: only binary output counts. The reader says `drawn(bytes)` when its terminal has taken them in; the sum since the last
 * `ack` is sent at most every `ackEveryMs`, or at once from `ackBytes` on. A reader that stops drawing stops the server from sending to it
 * and to nobody else; what it misses comes as `gap` and a new snapshot.
 */
import {
  type TerminalFromClient,
  type TerminalFromServer,
  terminalFromServerSchema,
} from '../../../src/protocol/feed.ts';
import { parseJson } from './api.ts';
import { retryDelayMs } from './retry.ts';

export const ackEveryMs = 100;
export const ackBytes = 32 * 1024;

const closedAsAbsent = 4004;

export type TerminalMode = 'view' | 'control';

export interface TerminalReader {
  readonly onMessage: (message: TerminalFromServer) => void;
  /** Must call `drawn` once, when the bytes are in the terminal. */
  readonly onOutput: (bytes: Uint8Array, drawn: () => void) => void;
  readonly onConnected: (connected: boolean) => void;
  /** The daemon has no such session; it is not asked again. */
  readonly onAbsent: () => void;
}

export interface TerminalLink {
  /** False if there is no connection: nothing is kept for later, because a key typed into the past must not act in the future. */
  readonly send: (message: Exclude<TerminalFromClient, { type: 'ack' }>) => boolean;
  readonly close: () => void;
}

export interface TerminalAddress {
  readonly origin: string;
  readonly sessionId: string;
  readonly mode: TerminalMode;
}

export function openTerminalLink(address: TerminalAddress, reader: TerminalReader): TerminalLink {
  const path = `/api/sessions/${encodeURIComponent(address.sessionId)}/terminal?mode=${address.mode}`;
  const url = new URL(path, address.origin.replace(/^http/, 'ws'));
  let socket: WebSocket | null = null;
  let retryTimer: ReturnType<typeof setTimeout> | undefined;
  let attempt = 0;
  let over = false;

  function connect(): void {
    const opened = new WebSocket(url);
    const acks = countAcks((bytes) => sendOn(opened, { type: 'ack', bytes }));
    opened.binaryType = 'arraybuffer';
    socket = opened;
    opened.addEventListener('message', ({ data }) => {
      if (socket !== opened) return;
      if (data instanceof ArrayBuffer) {
        const bytes = new Uint8Array(data);
        reader.onOutput(bytes, () => acks.drawn(bytes.length));
        return;
      }
      const message = terminalFromServerSchema.safeParse(typeof data === 'string' ? parseJson(data) : undefined);
      if (!message.success) return;
      attempt = 0;
      if (message.data.type === 'snapshot') reader.onConnected(true);
      if (message.data.type === 'exited') over = true;
      reader.onMessage(message.data);
    });
    opened.addEventListener('close', ({ code }) => {
      acks.close();
      if (socket !== opened) return;
      socket = null;
      reader.onConnected(false);
      if (code === closedAsAbsent) reader.onAbsent();
      if (over || code === closedAsAbsent) return;
      retryTimer = setTimeout(connect, retryDelayMs(attempt, Math.random()));
      attempt += 1;
    });
  }

  connect();
  return {
    send: (message) => socket !== null && sendOn(socket, message),
    close: () => {
      over = true;
      clearTimeout(retryTimer);
      const closing = socket;
      socket = null;
      closing?.close();
    },
  };
}

function sendOn(socket: WebSocket, message: TerminalFromClient): boolean {
  if (socket.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

function countAcks(send: (bytes: number) => void): { drawn: (bytes: number) => void; close: () => void } {
  let open = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (open > 0) send(open);
    open = 0;
  }
  return {
    drawn: (bytes) => {
      open += bytes;
      if (open >= ackBytes) flush();
      else timer ??= setTimeout(flush, ackEveryMs);
    },
    close: () => clearTimeout(timer),
  };
}
