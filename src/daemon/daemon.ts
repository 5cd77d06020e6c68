/**
 * The composition root: reads the config once, builds every room in order, stops them in reverse. Nothing here decides anything that a
 * room could decide.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { agents } from '../agents/index.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { randomToken, type SessionId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { openDispatch } from '../dispatch/index.ts';
import { sweepCheckouts } from '../gates/index.ts';
import { type Ledger, openLedger } from '../ledger/index.ts';
import { makePrivateDir, writeFileAtomically } from '../platform/atomic-file.ts';
import { runGitThrough } from '../platform/git.ts';
import { openGitRunner } from '../platform/git-runner.ts';
import type { Home } from '../platform/home.ts';
import { acquireLock } from '../platform/lock.ts';
import { daemonMark } from '../platform/own-processes.ts';
import { describeHolder, listenersOn } from '../platform/ports.ts';
import { bootId, identify, instanceVariable, sweep } from '../platform/processes.ts';
import { readOrCreateToken } from '../platform/secrets.ts';
import { openServer, type Server } from '../server/index.ts';
import { openAdopted, openPersonas, openSessions, type SessionsOptions, together } from '../sessions/index.ts';
import { type Config, readConfig, shownConfig } from './config.ts';
import { openFleet } from './fleet.ts';
import { openMemoryGate, sessionBytesMax } from './memory.ts';
import { openConfiguredPool } from './pool.ts';
import { version } from './version.ts';
import { placesOf } from './worktree-config.ts';

export interface Daemon {
  readonly url: string;
  readonly port: number;
  /** Resolves when somebody asked it to stop and it has stopped. */
  readonly stopped: Promise<void>;
  readonly stop: (sessions: 'end' | 'keep') => Promise<void>;
}

export interface DaemonOptions {
  readonly home: Home;
  /** Over the config's. */
  readonly port: number | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
}

/** Faults: CONFIG_*, DAEMON_ALREADY_RUNS, PORT_TAKEN, LEDGER_*, HOST_*, DISK_FULL. What was opened before one is closed again. */
export async function startDaemon({ home, port, env, log }: DaemonOptions): Promise<Daemon> {
  const opened: (() => Promise<void> | void)[] = [];
  const unwind = async (): Promise<void> => {
    for (const close of opened.toReversed()) {
      try {
        await close();
      } catch (error) {
        log.error({ error }, 'a room did not close cleanly; the others are closed all the same');
      }
    }
  };
  try {
    return await build({ home, port, env, log, opened, unwind });
  } catch (error) {
    await unwind();
    throw error;
  }
}

interface Build extends DaemonOptions {
  readonly opened: (() => Promise<void> | void)[];
  readonly unwind: () => Promise<void>;
}

async function build({ home, port, env, log, opened, unwind }: Build): Promise<Daemon> {
  const clock = systemClock;
  const startedAt = clock();
  const { path, exists, config } = await readConfig(home);
  for (const dir of [home.dir, home.run, home.logs, home.sessions]) await makePrivateDir(dir);
  opened.push(takeLock(home, startedAt));
  const token = await readOrCreateToken(home.token);

  await endLeftovers(home);
  const runner = openGitRunner();
  opened.push(runner.close);
  runGitThrough(runner);

  const ledger = await openLedger({ file: home.ledger, now: clock });
  opened.push(() => ledger.close());
  const personas = openPersonas({ home, agents, clock });
  const fleet = openFleet({ home, config, env, personas });
  const checkouts = join(home.run, 'checkouts');
  const stuck = await sweepCheckouts(checkouts);
  if (stuck.length > 0) log.warn({ stuck }, 'old checkouts could not be removed');
  const { places, retention } = placesOf(config, home);
  for (const root of places.roots) await mkdir(root, { recursive: true, mode: 0o700 });

  const sessions = await openSessions({
    home,
    agents,
    clock,
    log,
    recordingBytesMax: Math.round(config.limits.recordingMegabytes * 1024 * 1024),
    memoryBytesMax: sessionBytesMax(config),
    environmentOf: fleet.environmentOf,
    // Asked before dispatch is there: an agent that went on with a cancelled job would work until it is.
    isToEnd: async (id) =>
      (await ledger.openAttempts()).some(({ job, attempt }) => attempt.sessionId === id && job.cancelRequested),
    news: sessionNews(ledger, log),
  });
  let ending: 'end' | 'keep' = 'keep';
  opened.push(() => sessions.close(ending));
  const { onChange } = sessionNews(ledger, log);
  const adopted = await openAdopted({ home, agents, clock, log, env, ...adoptPrograms(config), onChange });
  opened.push(() => adopted.close());
  await ledger.record({ type: 'daemon.started', data: { version, pid: process.pid, host: sessions.host().pid } });

  const memory = openMemoryGate({ config, sessions, ledger, clock, log });
  const { roomForWarm } = memory;
  const pool = openConfiguredPool({ config, fleet, sessions, places, ledger, clock, log, roomForWarm });
  opened.push(() => pool.close());
  opened.push(() => memory.close());
  const dispatch = await openDispatch({
    ledger,
    sessions,
    clock,
    log,
    owner: `daemon-${process.pid}-${randomToken(6)}`,
    intake: {
      chooseAgent: fleet.chooseAgent,
      agentOfPersona: fleet.agentOfPersona,
      checkPersona: fleet.checkPersona,
      defaults: { persona: config.defaults.persona, verify: config.defaults.verify },
    },
    pool,
    startSession: async (run) => {
      const started = await fleet.startSession(sessions, run, pool.hasPolicy(run.job.projectPath));
      if (started.kind === 'started') pool.joined(run.attempt.sessionId as SessionId);
      return started;
    },
    placePersona: fleet.placePersona,
    personaPath: fleet.personaPath,
    limits: {
      concurrent: config.limits.sessions,
      startMs: config.limits.startSeconds * 1000,
      setupMs: config.limits.setupMinutes * 60_000,
      turnMs: config.limits.turnMinutes * 60_000,
      verifyMs: config.limits.verifyMinutes * 60_000,
    },
    admission: memory.askForJob,
    places,
    retention,
    checkouts,
    environment: fleet.commandEnvironment,
  });
  memory.follow({ pool, inUse: dispatch.inUse });
  pool.look();
  opened.push(() => dispatch.close(ending === 'end' ? 'cancel' : 'keep'));

  const stopped = Promise.withResolvers<void>();
  let stopping: Promise<void> | undefined;
  // The first word counts: a signal behind a request to end everything does not leave sessions behind.
  const stop = (how: 'end' | 'keep'): Promise<void> => {
    if (stopping === undefined) {
      ending = how;
      stopping = ledger
        .record({ type: 'daemon.stopped', data: { sessions: how } })
        .catch((error: unknown) => log.error({ error }, 'the stop could not be written to the ledger'))
        .then(unwind)
        .finally(stopped.resolve);
    }
    return stopping;
  };
  const server = await listen(home, config.port, port, (chosen) =>
    openServer({
      port: chosen,
      token,
      webRoot: fileURLToPath(new URL('../../web/dist', import.meta.url)),
      clock,
      log,
      ledger,
      sessions: together(sessions, adopted),
      dispatch,
      personas,
      about: { version, home: home.dir, startedAt },
      config: { path, exists, shown: shownConfig(config) },
      agents: fleet.agentStatus,
      stop: (how) =>
        void setImmediate(
          () => void stop(how).catch((error: unknown) => log.error({ error }, 'the daemon did not stop cleanly')),
        ),
    }),
  );
  opened.push(() => server.close());
  opened.push(await announce(home, server, startedAt, clock));
  log.info({ url: server.url, home: home.dir }, 'ready');
  return { url: server.url, port: server.port, stopped: stopped.promise, stop };
}

const adoptPrograms = ({ adopt }: Config): { tmux: string | undefined; cmux: string | undefined } => ({
  tmux: adopt.tmux,
  cmux: adopt.cmux,
});

/**
 * Everything this process starts without a mark of its own (git) carries this one. What a life that was killed has left running would
 * go on writing beside us; it is ended first.
 */
async function endLeftovers(home: Home): Promise<void> {
  const mark = daemonMark(home);
  await sweep(mark);
  process.env[instanceVariable] = mark;
}

function takeLock(home: Home, startedAt: number): () => void {
  const lock = acquireLock(home.daemonLock, { ...identify(process.pid), startedAt });
  if (lock.kind === 'acquired') return lock.release;
  throw new Fault(
    'DAEMON_ALREADY_RUNS',
    `A daemon of ${home.dir} is running already (${JSON.stringify(lock.by ?? 'unknown')})`,
    { hint: '`muster status` shows it.' },
  );
}

/** A taken port names who has it: the commonest cause is an older start of the same thing. */
async function listen(
  home: Home,
  configured: number,
  asked: number | undefined,
  open: (port: number) => Promise<Server>,
): Promise<Server> {
  const port = asked ?? configured;
  try {
    return await open(port);
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'PORT_TAKEN') throw error;
    const holders = (await listenersOn(port)).map(describeHolder).join('; ');
    throw new Fault('PORT_TAKEN', `port ${port} is taken by ${holders || 'a program that can not be seen from here'}`, {
      cause: error,
      subject: 'port',
      hint: `Choose another with \`muster up --port N\` or \`port:\` in ${home.config}; 0 takes any free one.`,
    });
  }
}

/** The record by which the command line finds this daemon. It is the last thing made and the first removed. */
async function announce(home: Home, server: Server, startedAt: number, clock: Clock): Promise<() => Promise<void>> {
  const record = {
    pid: process.pid,
    startTicks: identify(process.pid)?.startTicks ?? '',
    bootId: bootId(),
    startedAt,
    readyAt: clock(),
    version,
    port: server.port,
    url: server.url,
  };
  await writeFileAtomically(home.daemonFile, JSON.stringify(record));
  return () => rm(home.daemonFile, { force: true });
}

/** Sessions tell their news to the ledger, so that there is one feed. A full disk costs the news, not the session. */
function sessionNews(ledger: Ledger, log: Log): SessionsOptions['news'] {
  const record = (event: Parameters<Ledger['record']>[0]): void => {
    ledger
      .record(event)
      .catch((error: unknown) => log.error({ event: event.type, error }, 'news could not be written to the ledger'));
  };
  return {
    onChange: ({ change, session }) => {
      const { from, to, evidence } = change;
      const data = { from, to, source: evidence.source, reason: evidence.reason, permission: session.permission };
      record({ type: 'session.changed', sessionId: session.id, data });
      if (session.exit)
        record({ type: 'session.ended', sessionId: session.id, data: { exit: session.exit, state: session.state } });
    },
    onResumed: ({ session: { id, pid, resumeId }, before }) =>
      record({ type: 'session.resumed', sessionId: id, data: { reason: 'the PTY host died', resumeId, before, pid } }),
    onHost: ({ connected, reason, pid }) =>
      record({ type: connected ? 'host.connected' : 'host.lost', data: { reason, pid } }),
  };
}
