/**
 * The terminals of the scripted daemon: what each session has printed, and who reads it. Flow control is the protocol's: at most
 * `windowBytes` unacknowledged to a reader; a reader that falls `behindBytes` behind gets `gap` and a new snapshot when it has caught up.
 */
import type { WebSocket } from 'ws';
import {
  type TerminalFromClient,
  type TerminalFromServer,
  terminalFromClientSchema,
  terminalFromServerSchema,
} from '../../src/protocol/feed.ts';
import type { World } from './web-answers.ts';

export const windowBytes = 256 * 1024;
export const behindBytes = 1024 * 1024;
/** The peer has no screen model: its snapshot is the end of what was printed. */
const historyBytes = 256 * 1024;

const noSuchSession = 4004;

interface Reader {
  readonly socket: WebSocket;
  readonly sessionId: string;
  readonly mode: string;
  readonly queue: Buffer[];
  queued: number;
  unacknowledged: number;
  skipping: boolean;
}

export interface Terminals {
  readonly attach: (socket: WebSocket, sessionId: string, mode: string) => void;
  readonly print: (sessionId: string, text: string) => void;
  /** Sends an answer of any kind to a session's readers. */
  readonly tell: (sessionId: string, message: TerminalFromServer) => void;
  /** While `on`, breaks a session's readers and every new one of it. */
  readonly refuse: (sessionId: string, on: boolean) => void;
  readonly readers: (sessionId?: string) => number;
  /** Everything but acknowledgements that readers have sent. */
  readonly received: { readonly sessionId: string; readonly mode: string; readonly message: TerminalFromClient }[];
  readonly acknowledged: (sessionId: string) => number;
  readonly mostUnacknowledged: () => number;
  readonly gaps: () => number;
}

export function openTerminals(world: World): Terminals {
  const history = new Map<string, string>();
  const readers = new Set<Reader>();
  const refused = new Set<string>();
  const received: Terminals['received'] = [];
  const acknowledged = new Map<string, number>();
  let most = 0;
  let gaps = 0;

  const say = (socket: WebSocket, message: TerminalFromServer): void =>
    socket.send(JSON.stringify(terminalFromServerSchema.parse(message)));

  function snapshot(reader: Reader): void {
    const session = world.sessions.get(reader.sessionId);
    if (session === undefined) return reader.socket.close(noSuchSession);
    const data = history.get(reader.sessionId) ?? '';
    say(reader.socket, { type: 'snapshot', cols: session.cols, rows: session.rows, data, offset: data.length });
    if (session.exit !== null) say(reader.socket, { type: 'exited', exit: session.exit });
  }

  function flush(reader: Reader): void {
    if (reader.skipping && reader.unacknowledged === 0) {
      reader.skipping = false;
      snapshot(reader);
    }
    while (reader.unacknowledged < windowBytes) {
      const chunk = reader.queue.shift();
      if (chunk === undefined) return;
      reader.queued -= chunk.length;
      reader.unacknowledged += chunk.length;
      most = Math.max(most, reader.unacknowledged);
      reader.socket.send(chunk);
    }
  }

  function offer(reader: Reader, chunk: Buffer): void {
    if (reader.skipping) return;
    reader.queue.push(chunk);
    reader.queued += chunk.length;
    if (reader.queued <= behindBytes) return flush(reader);
    reader.queue.length = 0;
    reader.queued = 0;
    reader.skipping = true;
    gaps += 1;
    say(reader.socket, { type: 'gap' });
  }

  function hear(reader: Reader, message: TerminalFromClient): void {
    if (message.type !== 'ack') {
      received.push({ sessionId: reader.sessionId, mode: reader.mode, message });
      return;
    }
    acknowledged.set(reader.sessionId, (acknowledged.get(reader.sessionId) ?? 0) + message.bytes);
    reader.unacknowledged -= message.bytes;
    flush(reader);
  }

  return {
    attach: (socket, sessionId, mode) => {
      if (refused.has(sessionId)) return socket.terminate();
      const reader: Reader = { socket, sessionId, mode, queue: [], queued: 0, unacknowledged: 0, skipping: false };
      readers.add(reader);
      socket.on('close', () => readers.delete(reader));
      socket.on('message', (text: Buffer) =>
        hear(reader, terminalFromClientSchema.parse(JSON.parse(text.toString('utf8')))),
      );
      snapshot(reader);
    },
    print: (sessionId, text) => {
      history.set(sessionId, ((history.get(sessionId) ?? '') + text).slice(-historyBytes));
      for (const reader of readers) if (reader.sessionId === sessionId) offer(reader, Buffer.from(text));
    },
    tell: (sessionId, message) => {
      for (const reader of readers) if (reader.sessionId === sessionId) say(reader.socket, message);
    },
    refuse: (sessionId, on) => {
      if (on) refused.add(sessionId);
      else refused.delete(sessionId);
      for (const reader of readers) if (on && reader.sessionId === sessionId) reader.socket.terminate();
    },
    readers: (sessionId) =>
      [...readers].filter((reader) => sessionId === undefined || reader.sessionId === sessionId).length,
    received,
    acknowledged: (sessionId) => acknowledged.get(sessionId) ?? 0,
    mostUnacknowledged: () => most,
    gaps: () => gaps,
  };
}
