/**
 * The WebSocket side: accepts upgrades at the two addresses of `protocol/feed.ts`, after the same checks as a request. A socket that
 * does not take what it is sent is closed; it never slows anything else.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { toFault } from '../base/fault.ts';
import type { SessionId } from '../base/ids.ts';
import type { Auth } from './auth.ts';

/** Largest message from a browser: a paste. */
const messageBytesMax = 1024 * 1024;
/** A peer that answers no ping for two rounds is gone. */
const pingMs = 20_000;

export interface SocketDoors {
  readonly feed: (socket: WebSocket, after: number | undefined) => void;
  readonly terminal: (socket: WebSocket, session: SessionId, mode: 'view' | 'control') => void;
}

export interface Sockets {
  readonly close: () => void;
}

export function openSockets(server: Server, options: { auth: Auth; doors: SocketDoors }): Sockets {
  const acceptor = new WebSocketServer({ noServer: true, maxPayload: messageBytesMax, perMessageDeflate: false });
  const alive = new WeakSet<WebSocket>();
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const door = openDoor(request, options);
    if (typeof door === 'number') {
      socket.end(`HTTP/1.1 ${door} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    acceptor.handleUpgrade(request, socket, head, (accepted) => {
      alive.add(accepted);
      accepted.on('pong', () => alive.add(accepted));
      accepted.on('error', () => accepted.terminate());
      door(accepted);
    });
  });
  const timer = setInterval(() => {
    for (const socket of acceptor.clients) {
      if (!alive.delete(socket)) socket.terminate();
      else socket.ping();
    }
  }, pingMs);
  return {
    close: () => {
      clearInterval(timer);
      for (const socket of acceptor.clients) socket.terminate();
      acceptor.close();
    },
  };
}

/** What to do with the socket, or the status with which it is refused. */
function openDoor(
  request: IncomingMessage,
  { auth, doors }: { auth: Auth; doors: SocketDoors },
): ((socket: WebSocket) => void) | number {
  try {
    auth.check(request.headers);
  } catch (error) {
    return toFault(error).status;
  }
  const url = new URL(request.url ?? '/', 'http://muster');
  if (url.pathname === '/api/feed') {
    const after = Number(url.searchParams.get('after') ?? Number.NaN);
    return (socket) => doors.feed(socket, Number.isSafeInteger(after) && after >= 0 ? after : undefined);
  }
  const session = /^\/api\/sessions\/([a-z0-9-]{1,64})\/terminal$/.exec(url.pathname)?.[1];
  if (session === undefined) return 404;
  return (socket) =>
    doors.terminal(socket, session as SessionId, url.searchParams.get('mode') === 'control' ? 'control' : 'view');
}
