/**
 * The host: all sessions of one home and the connections that speak to them. No domain logic, so that it rarely changes.
 *
 * Parts: the sessions (running, ending, ended and not yet acknowledged), the connections, and one function per method of
 * src/protocol/host.ts. A session's id is taken before its process is started, so that asking twice never starts two.
 */
import { timingSafeEqual } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { z } from 'zod';
import { isErrno, messageOf } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { within } from '../../base/wait.ts';
import type { Home } from '../../platform/home.ts';
import { ownCommand } from '../../platform/own-node.ts';
import type { ProcessIdentity } from '../../platform/processes.ts';
import {
  type HostMethod,
  type HostParams,
  type HostResult,
  hostMethods,
  hostProtocolVersion,
} from '../../protocol/host.ts';
import { hostCode } from '../host-code.ts';
import type { CarriedSession } from './carried.ts';
import { Connection } from './connection.ts';
import { HostError } from './errors.ts';
import { endGroup, placeInGroup } from './groups.ts';
import { openHeld } from './held.ts';
import { goOnSession, type HostedSession, type SessionSurroundings, startSession } from './session.ts';
import { upgradeInPlace } from './upgrade.ts';

export interface HostOptions {
  readonly home: Home;
  readonly self: ProcessIdentity;
  readonly token: string;
  readonly log: Log;
  readonly now: () => number;
  readonly startedAt: number;
  /** How often this process was upgraded in place, and why it could not be the last time. */
  readonly upgrades: number;
  readonly upgradeFault: string | null;
  /** A client asked the host to leave; the sessions have been ended. */
  readonly onShutdown: () => void;
}

export interface Host {
  readonly server: Server;
  readonly live: () => number;
  /** Sessions of the former image of this process; they stand still until what it answers is called. All others of this home are ended. */
  readonly adopt: (carried: readonly CarriedSession[]) => Promise<() => void>;
  /** Ends all sessions; answers when the last is gone. */
  readonly endAll: (signal: NodeJS.Signals, graceMs: number) => Promise<void>;
  /** Closes the connections. Sessions must have been ended. */
  readonly close: () => void;
}

/** Each has two descriptors and a thread; the goal is hundreds. */
const liveMax = 500;
/** Ended sessions that nobody acknowledged are kept in memory up to here; then the oldest goes, and its tombstone stays on disk. */
const endedMax = 200;
const connectionsMax = 64;
/** Time for watchers to hear of an upgrade before their connection breaks. */
const announceMs = 200;
/** Agents save their conversation at SIGTERM within a second. */
const shutdownGraceMs = 2000;

type Methods = {
  readonly [M in HostMethod]: (params: HostParams<M>, connection: Connection) => Promise<HostResult<M>> | HostResult<M>;
};

export function openHost(options: HostOptions): Host {
  const { log, now, startedAt } = options;
  let upgrading = false;
  const held = openHeld(options.home, log);
  const sessions = new Map<string, Promise<HostedSession>>();
  /** Those whose start has succeeded. */
  const started = new Map<string, HostedSession>();
  const connections = new Set<Connection>();
  const around: SessionSurroundings = {
    log,
    now,
    held,
    notify: (notice) => {
      for (const connection of connections) connection.notify(notice);
    },
    onOutput: (session) => {
      for (const connection of connections) connection.outputOf(session);
    },
    onEnded: (session) => {
      endGroup(session.spec, log);
      dropOldestEnded();
    },
  };

  const forget = (session: HostedSession): void => {
    for (const connection of connections) connection.forget(session);
    sessions.delete(session.spec.sessionId);
    started.delete(session.spec.sessionId);
  };
  const dropOldestEnded = (): void => {
    const ended = [...started.values()].filter((session) => session.exit !== null);
    for (const session of ended.slice(0, Math.max(0, ended.length - endedMax))) forget(session);
  };
  const live = (): number => sessions.size - [...started.values()].filter((session) => session.exit !== null).length;
  const find = (sessionId: string): HostedSession => {
    const session = started.get(sessionId);
    if (session === undefined) throw new HostError('no-session', `no session has this id: ${sessionId}`);
    return session;
  };
  const start = async (spec: HostParams<'spawn'>): Promise<HostedSession> => {
    try {
      const session = await startSession(spec, around);
      placeInGroup(spec, session.identity.pid, log);
      started.set(spec.sessionId, session);
      return session;
    } catch (error) {
      sessions.delete(spec.sessionId);
      if (isErrno(error, 'ENOSPC') || isErrno(error, 'EDQUOT')) throw new HostError('disk-full', messageOf(error));
      throw error;
    }
  };
  const endAll = async (signal: NodeJS.Signals, graceMs: number): Promise<void> => {
    const all = await Promise.allSettled(sessions.values());
    const running = all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    await Promise.all(running.map((session) => session.end(signal, graceMs)));
  };

  const announce = async (): Promise<void> => {
    for (const connection of connections) connection.notify({ notice: 'upgrading' });
    await within(Promise.all([...connections].map((connection) => connection.flushed())), announceMs);
  };

  const methods: Methods = {
    hello: ({ version, token }, connection) => {
      if (!sameSecret(token, options.token))
        throw new HostError('unauthorized', 'the token is not the one of this host');
      if (version !== hostProtocolVersion) {
        throw new HostError('version', `this host speaks protocol ${hostProtocolVersion}, not ${version}`);
      }
      connection.greeted = true;
      const { upgrades, upgradeFault, self } = options;
      const code = hostCode();
      return {
        version: hostProtocolVersion,
        pid: self.pid,
        startedAt,
        bootId: self.bootId,
        code,
        upgrades,
        upgradeFault,
      };
    },
    spawn: async (spec) => {
      const before = sessions.get(spec.sessionId);
      if (before !== undefined) return { session: (await before).describe(), already: true };
      if (live() >= liveMax) throw new HostError('busy', `${liveMax} sessions are running`);
      const starting = start(spec);
      sessions.set(spec.sessionId, starting);
      return { session: (await starting).describe(), already: false };
    },
    list: () => ({
      sessions: [...started.values()].map((session) => session.describe()),
      rssBytes: process.memoryUsage.rss(),
    }),
    write: async ({ sessionId, inputId, data }) => {
      const end = await find(sessionId).write(inputId, data);
      if (end.kind === 'applied') return { applied: end.when, at: end.at };
      if (end.end === 'closed') throw new HostError('not-running', `the session has ended: ${sessionId}`);
      throw new HostError('busy', 'the program does not read its input; nothing of this was typed');
    },
    inputs: ({ sessionId, inputIds }) => {
      const { inputs } = find(sessionId);
      return { at: Object.fromEntries(inputIds.map((id) => [id, inputs.writtenAt(id)])) };
    },
    resize: ({ sessionId, cols, rows }) => {
      find(sessionId).resize(cols, rows);
      return {};
    },
    end: ({ sessionId, signal, graceMs }) => find(sessionId).end(signal, graceMs),
    snapshot: ({ sessionId }) => find(sessionId).snapshot(),
    tail: async ({ sessionId, lines }) => ({ lines: await find(sessionId).tail(lines) }),
    subscribe: ({ sessionId, from, creditBytes }, connection) =>
      connection.subscribe(find(sessionId), from, creditBytes),
    credit: ({ subscription, bytes }, connection) => {
      connection.credit(subscription, bytes);
      return {};
    },
    unsubscribe: ({ subscription }, connection) => {
      connection.unsubscribe(subscription);
      return {};
    },
    watch: (_, connection) => {
      connection.watches = true;
      for (const session of started.values()) session.showScreen();
      return {};
    },
    note: ({ sessionId, source, payload }) => {
      find(sessionId).note(source, payload);
      return {};
    },
    acknowledge: async ({ sessionId }) => {
      const session = find(sessionId);
      if (session.exit === null) throw new HostError('bad-request', `the session is still running: ${sessionId}`);
      forget(session);
      await session.forget();
      return {};
    },
    upgrade: async (next) => {
      if (upgrading) throw new HostError('busy', 'an upgrade is under way');
      upgrading = true;
      const sessionsNow = (): HostedSession[] => [...started.values()];
      const starting = (): number => sessions.size - started.size;
      const previous = ownCommand(mainFile, ['--home', options.home.dir]);
      try {
        return await upgradeInPlace(next, { ...options, previous, sessions: sessionsNow, starting, announce });
      } finally {
        upgrading = false;
      }
    },
    shutdown: async (params, connection) => {
      if (live() > 0 && params.sessions === 'refuse') throw new HostError('busy', `${live()} sessions are running`);
      await endAll('SIGTERM', shutdownGraceMs);
      log.info({ asked: 'by a client' }, 'the host leaves');
      // After the reply has been handed to the socket.
      setImmediate(() => {
        connection.finish();
        options.onShutdown();
      });
      return {};
    },
  };

  const server = createServer({ noDelay: true }, (socket: Socket) => {
    if (connections.size >= connectionsMax) return void socket.destroy();
    const connection = new Connection(socket, {
      dispatch: (method, params, from) => dispatch(methods, method, params, from),
      onClose: (closed) => connections.delete(closed),
      onDefect: (error, method) => log.error({ method, error: messageOf(error) }, 'a request failed unexpectedly'),
    });
    connections.add(connection);
  });
  return {
    server,
    live,
    endAll,
    adopt: async (carried) => {
      const adopted = await Promise.all(carried.map((one) => goOnSession(one, around)));
      for (const session of adopted) {
        started.set(session.spec.sessionId, session);
        sessions.set(session.spec.sessionId, Promise.resolve(session));
      }
      await held.endOthers(new Set(started.keys()));
      return () => {
        for (const one of carried) started.get(one.spec.sessionId)?.goOn(one);
      };
    },
    close: () => {
      held.close();
      server.close();
      for (const connection of connections) connection.finish();
    },
  };
}

/** Beside this file, with the same ending: `.ts` in a checkout, `.js` in a package. */
const mainFile = new URL(`./main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

const isMethod = (method: string): method is HostMethod => Object.hasOwn(hostMethods, method);

async function dispatch(methods: Methods, method: string, params: unknown, connection: Connection): Promise<unknown> {
  if (!isMethod(method)) throw new HostError('bad-request', `there is no method ${method.slice(0, 50)}`);
  const parsed = hostMethods[method].params.safeParse(params);
  if (!parsed.success) throw new HostError('bad-request', `${method}: ${z.prettifyError(parsed.error)}`);
  // The schema of this very method has checked the parameters; the compiler can't follow the pair through the union.
  const carryOut = methods[method] as (given: unknown, from: Connection) => unknown;
  return carryOut(parsed.data, connection);
}

function sameSecret(given: string, ours: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(ours)];
  return one.length === other.length && timingSafeEqual(one, other);
}
