/** The face of the server: one loopback port with the API, the two WebSocket doors and the page. */
import type { AddressInfo } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { Fault, isErrno, messageOf } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { openAuth } from './auth.ts';
import { serveFeed } from './feed-door.ts';
import { type HandlerSources, handlers } from './handlers.ts';
import { openHttp } from './http.ts';
import { openSockets } from './sockets.ts';
import { serveTerminal } from './terminal-door.ts';

export interface ServerOptions extends Omit<HandlerSources, 'auth' | 'url'> {
  readonly port: number;
  readonly token: string;
  /** Folder of the built page. */
  readonly webRoot: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Server {
  readonly port: number;
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** Only this machine can reach it. A page on another machine needs a tunnel, which a person sets up on purpose. */
const address = '127.0.0.1';

/** Fault PORT_TAKEN where another program listens there. */
export async function openServer(options: ServerOptions): Promise<Server> {
  let port = options.port;
  const auth = openAuth({ token: options.token, port: () => port, clock: options.clock });
  const url = (): string => `http://${address}:${port}`;
  const app = await openHttp({
    auth,
    handlers: handlers({ ...options, auth, url }),
    webRoot: options.webRoot,
    log: options.log,
  });
  const { ledger, sessions, log, about } = options;
  const sockets = openSockets(app.server, {
    auth,
    doors: {
      feed: (socket, after) => serveFeed(socket, after, { ledger, sessions, version: about.version, log }),
      terminal: (socket, session, mode) => void serveTerminal(socket, session, mode, { sessions, log }),
    },
  });
  try {
    await app.listen({ host: address, port: options.port });
  } catch (error) {
    sockets.close();
    await app.close();
    if (isErrno(error, 'EADDRINUSE') || isErrno(error, 'EACCES')) {
      throw new Fault('PORT_TAKEN', `port ${options.port}: ${messageOf(error)}`, {
        cause: error,
        subject: 'port',
        hint: 'Choose another with `muster up --port N` or `port:` in config.yaml; 0 takes any free one.',
      });
    }
    throw error;
  }
  ({ port } = app.server.address() as AddressInfo);
  return {
    port,
    url: url(),
    close: async () => {
      sockets.close();
      await app.close();
    },
  };
}
