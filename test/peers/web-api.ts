/**
 * A scripted daemon for tests of the web page: a real HTTP and WebSocket server on loopback that serves `web/dist` under the policy
 * `default-src 'self'`, speaks `protocol/api.ts` and `protocol/feed.ts` from a world that the test changes, and can do what daemons do at
 * bad moments: go away and come back on the same port, or hang. Every answer is checked against its schema before it is sent.
 */
import { once } from 'node:events';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { extname, join, resolve, sep } from 'node:path';
import { type WebSocket, WebSocketServer } from 'ws';
import { type RouteName, routes } from '../../src/protocol/api.ts';
import { type FeedMessage, feedMessageSchema } from '../../src/protocol/feed.ts';
import type { JobView, LedgerEvent } from '../../src/protocol/job.ts';
import type { SessionView } from '../../src/protocol/session.ts';
import { answerRoute, type Seen, type World } from './web-answers.ts';
import { openTerminals, type Terminals } from './web-terminals.ts';
import { totalsOf } from './web-world.ts';

export interface WebPeer {
  readonly origin: string;
  readonly world: World;
  /** What the page has asked and sent. */
  readonly seen: Seen;
  readonly terminals: Terminals;
  readonly setSession: (session: SessionView) => void;
  readonly setJob: (job: JobView) => void;
  readonly addEvent: (event: Partial<LedgerEvent> & { readonly type: string }) => LedgerEvent;
  /** Closes the port and breaks every connection. */
  readonly goAway: () => Promise<void>;
  readonly comeBack: () => Promise<void>;
  /** While on, connections stay open and nothing is answered. */
  readonly hang: (on: boolean) => void;
  readonly feedReaders: () => number;
  readonly close: () => Promise<void>;
}

export interface WebPeerOptions {
  readonly sessions?: readonly SessionView[];
  readonly jobs?: readonly JobView[];
  /** Cookie that a request must carry; without it everything is allowed. */
  readonly cookie?: string;
  readonly port?: number;
}

const dist = resolve(import.meta.dirname, '../../web/dist');
const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export async function openWebPeer(options: WebPeerOptions = {}): Promise<WebPeer> {
  if (!existsSync(join(dist, 'index.html'))) throw new Error('web/dist is not built: npm run build:web');
  const world: World = {
    sessions: new Map((options.sessions ?? []).map((session) => [session.id, session])),
    jobs: new Map((options.jobs ?? []).map((job) => [job.id, job])),
    events: [],
    changes: new Map(),
  };
  const seen: Seen = { requests: [] };
  const terminals = openTerminals(world);
  const sockets = new WebSocketServer({ noServer: true });
  const feeds = new Set<WebSocket>();
  const connections = new Set<Socket>();
  let hanging = false;
  let port = options.port ?? 0;

  const publish = (message: FeedMessage): void => {
    if (hanging) return;
    const text = JSON.stringify(feedMessageSchema.parse(message));
    for (const feed of feeds) feed.send(text);
  };
  const peer = {
    setSession: (session: SessionView): void => {
      world.sessions.set(session.id, session);
      publish({ type: 'session', session });
    },
    setJob: (job: JobView): void => void world.jobs.set(job.id, job),
    addEvent: (given: Partial<LedgerEvent> & { readonly type: string }): LedgerEvent => {
      const seq = world.events.length + 1;
      const event = { at: Date.now(), jobId: null, attemptId: null, sessionId: null, data: {}, ...given, seq };
      world.events.push(event);
      publish({ type: 'event', event, totals: totalsOf(world.jobs.values()) });
      return event;
    },
  };

  function openFeed(socket: WebSocket, after: number): void {
    const { sessions, events, jobs } = world;
    const totals = totalsOf(jobs.values());
    const hello: FeedMessage = {
      type: 'hello',
      version: '0.1.0',
      lastEvent: events.length,
      totals,
      sessions: [...sessions.values()],
    };
    socket.send(JSON.stringify(feedMessageSchema.parse(hello)));
    for (const event of events.slice(after)) socket.send(JSON.stringify({ type: 'event', event, totals }));
    feeds.add(socket);
    socket.on('close', () => feeds.delete(socket));
  }

  const allowed = (request: IncomingMessage): boolean =>
    options.cookie === undefined || (request.headers.cookie ?? '').includes(options.cookie);

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (hanging) return;
    const url = new URL(request.url ?? '/', 'http://peer');
    response.setHeader('content-security-policy', "default-src 'self'");
    if (!url.pathname.startsWith('/api/')) return sendFile(response, url.pathname);
    if (!allowed(request)) return sendJson(response, 401, fault('UNAUTHORIZED', 'No cookie.'));
    const found = findRoute(request.method ?? 'GET', url.pathname);
    if (found === undefined) return sendJson(response, 404, fault('ROUTE_UNKNOWN', 'No such address.'));
    const body = await readJson(request);
    seen.requests.push({ route: found.name, id: found.id, body });
    const answer = answerRoute({ world, peer, name: found.name, id: found.id, query: url.searchParams, body });
    if (answer === undefined) return sendJson(response, 404, fault('NOT_FOUND', `Nothing is called ${found.id}.`));
    sendJson(response, 200, routes[found.name].answer.parse(answer));
  }

  function listen(): Promise<Server> {
    const server = createServer((request, response) => void respond(request, response));
    server.on('connection', (socket) => {
      connections.add(socket);
      socket.on('close', () => connections.delete(socket));
    });
    server.on('upgrade', (request, socket, head) => {
      const url = new URL(request.url ?? '/', 'http://peer');
      const session = /^\/api\/sessions\/([^/]+)\/terminal$/.exec(url.pathname)?.[1];
      if (!allowed(request)) return socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n');
      sockets.handleUpgrade(request, socket, head, (ws) => {
        if (url.pathname === '/api/feed') openFeed(ws, Number(url.searchParams.get('after') ?? 0));
        else if (session !== undefined) terminals.attach(ws, session, url.searchParams.get('mode') ?? 'view');
        else ws.close(1008);
      });
    });
    server.listen(port, '127.0.0.1');
    return once(server, 'listening').then(() => server);
  }

  let server: Server | null = await listen();
  port = (server.address() as AddressInfo).port;

  async function goAway(): Promise<void> {
    const closing = server;
    server = null;
    if (closing === null) return;
    const closed = once(closing, 'close');
    closing.close();
    for (const socket of connections) socket.destroy();
    await closed;
  }

  return {
    ...peer,
    origin: `http://127.0.0.1:${port}`,
    world,
    seen,
    terminals,
    goAway,
    comeBack: async () => {
      server ??= await listen();
    },
    hang: (on) => {
      hanging = on;
    },
    feedReaders: () => feeds.size,
    close: async () => {
      await goAway();
      sockets.close();
    },
  };
}

const fault = (code: string, message: string) => ({ error: { code, message } });

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** A file of the page, or the page itself for its own addresses. */
function sendFile(response: ServerResponse, path: string): void {
  const wanted = join(dist, path);
  const inside = wanted.startsWith(dist + sep) && existsSync(wanted) && statSync(wanted).isFile();
  const file = inside ? wanted : join(dist, 'index.html');
  response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' });
  createReadStream(file).pipe(response);
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text === '' ? null : JSON.parse(text);
}

function findRoute(method: string, path: string): { name: RouteName; id: string } | undefined {
  for (const name of Object.keys(routes) as RouteName[]) {
    const route = routes[name];
    const match = new RegExp(`^${route.path.replace(':id', '([^/]+)')}$`).exec(path);
    if (match !== null && route.method === method) return { name, id: decodeURIComponent(match[1] ?? '') };
  }
  return undefined;
}
