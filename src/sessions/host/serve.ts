/**
 * The life of a host process; `main.ts` starts it.
 *
 * Order: private folders → kernel lock (another host: leave) → token → socket → `run/host.json` → serve. It outlives the daemon: SIGHUP
 * is ignored, nothing it writes to is a pipe. SIGTERM and SIGINT end the sessions, remove what it put into `run/`, and leave.
 * A defect in one hook must not cost sixty sessions: what nobody caught is logged, and the process goes on.
 *
 * A takeover is the same process in its next version: lock → sessions as they were carried, standing still → socket → they go on. Until
 * that last step nothing was read, typed or forgotten, and an error sends the process back to the version it came from.
 */
import { chmodSync, closeSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemClock } from '../../base/clock.ts';
import { isErrno, messageOf } from '../../base/fault.ts';
import { randomToken } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { delay } from '../../base/wait.ts';
import { writeFileAtomically } from '../../platform/atomic-file.ts';
import { type Home, homeAt } from '../../platform/home.ts';
import { acquireLock, type Lock, type LockHeld, type LockHolder } from '../../platform/lock.ts';
import { staysOpenAcrossExec } from '../../platform/own-node.ts';
import { bootId, identify, type ProcessIdentity } from '../../platform/processes.ts';
import { hostProtocolVersion } from '../../protocol/host.ts';
import { packageVersion } from '../host-code.ts';
import { openTerminal } from '../terminal/terminal.ts';
import { type CarriedHost, forgetUpgrade, readCarried, upgradeUnderWay } from './carried.ts';
import { type Host, openHost } from './host.ts';
import { openHostLog } from './log.ts';

const tokenCharacters = 40;
/** Agents save their conversation at SIGTERM within a second. */
const terminateGraceMs = 2000;
const probeMs = 1000;
/** Whoever finds the lock free during a takeover lets go of it within a few milliseconds. */
const lockMs = 5000;
const lockPollMs = 5;
/** Time for the last reply to reach the peer. */
const farewellMs = 200;

export interface ServeOptions {
  readonly home: string;
  /** The file that the former image of this process has left. */
  readonly takeover: string | undefined;
  /** Only proves that it could take over. */
  readonly rehearse: boolean;
  /** Why the version that was to take over has not. */
  readonly upgradeFault: string | null;
}

/** `committed`: from here on there is no way back. */
export async function serve(options: ServeOptions, committed: () => void): Promise<void> {
  const home = homeAt(options.home);
  const log = openHostLog();
  const carried = options.takeover === undefined ? undefined : readCarried(options.takeover);
  if (options.rehearse) return rehearse(carried, log);
  keepAlive(log);
  closeInherited(carried);
  for (const dir of [home.dir, home.run, dirname(home.hostSocket)]) makePrivate(dir);

  const startedAt = carried?.startedAt ?? systemClock();
  const self = identify(process.pid) ?? { pid: process.pid, startTicks: '', bootId: bootId() };
  const record = { ...self, startedAt, version: packageVersion(), protocol: hostProtocolVersion };
  const lock = carried ? await awaitLock(home, record) : acquireLock(join(home.run, 'host.lock'), record);
  if (lock.kind === 'held') return log.info({ by: lock.by }, 'another host runs for this home');
  if (!carried && (upgradeUnderWay(home) !== undefined || (await answers(home.hostSocket)))) {
    log.info(
      { socket: home.hostSocket },
      'a host is there: it changes its version, or answers without holding our lock',
    );
    return lock.release();
  }
  await openAndServe(
    { home, record, startedAt, self, lock, log, carried, upgradeFault: options.upgradeFault },
    committed,
  );
}

/** Everything that a takeover does but what others could see. */
async function rehearse(carried: CarriedHost | undefined, log: Log): Promise<void> {
  for (const { terminal } of carried?.sessions ?? []) {
    const quiet = (): void => undefined;
    const { cols, rows } = terminal;
    const onHookError = (error: unknown): void =>
      log.error({ error: messageOf(error) }, 'a hook of the terminal failed');
    const hooks = { onAnswer: quiet, onSignal: quiet, onParsed: quiet, onHookError };
    openTerminal({ cols, rows, carried: terminal, ...hooks }).close();
    await nextTurn();
  }
}

/** Nobody keeps it: who finds it free sees that we are on our way, and leaves it at once. */
async function awaitLock(home: Home, record: LockHolder): Promise<Lock | LockHeld> {
  const path = join(home.run, 'host.lock');
  for (const until = performance.now() + lockMs; performance.now() < until; await delay(lockPollMs)) {
    const lock = acquireLock(path, record);
    if (lock.kind === 'acquired') return lock;
  }
  throw new Error('the lock of the host is held by somebody else');
}

interface Serving {
  readonly home: Home;
  readonly record: Readonly<Record<string, unknown>>;
  readonly startedAt: number;
  readonly self: ProcessIdentity;
  readonly lock: Lock;
  readonly log: Log;
  readonly carried: CarriedHost | undefined;
  readonly upgradeFault: string | null;
}

async function openAndServe(serving: Serving, committed: () => void): Promise<void> {
  const { home, record, startedAt, self, lock, log, carried, upgradeFault } = serving;
  let leaving = false;
  let recorded = Promise.resolve();
  const leave = async (): Promise<void> => {
    host.close();
    // A record that is still being written would stay.
    await recorded.catch(() => undefined);
    for (const path of [home.hostSocket, home.hostFile]) rmSync(path, { force: true });
    log.info({}, 'the host has left');
    setTimeout(() => {
      lock.release();
      // A PTY that would not die, or a peer that does not read, must not keep us.
      process.exit(0);
    }, farewellMs);
  };
  const host = openHost({
    home,
    self,
    token: tokenOf(home),
    log,
    now: systemClock,
    startedAt,
    upgrades: carried?.upgrades ?? 0,
    upgradeFault,
    onShutdown: () => void leave(),
  });
  // Before anybody can reach us: whoever sees us may tell us to leave.
  const terminate = (signal: NodeJS.Signals): void => {
    if (leaving) return;
    leaving = true;
    log.info({ signal }, 'ending all sessions');
    void endAll(host, log).then(leave);
  };
  process.on('SIGTERM', terminate);
  process.on('SIGINT', terminate);
  const goOn = await host.adopt(carried?.sessions ?? []);
  await listen(host.server, home.hostSocket);
  forgetUpgrade(home);
  committed();
  goOn();
  recorded = writeFileAtomically(home.hostFile, JSON.stringify(record), 0o600);
  await recorded;
  log.info(record, carried ? `the host goes on with ${carried.sessions.length} sessions` : 'the host serves');
}

async function endAll(host: Host, log: Log): Promise<void> {
  try {
    await host.endAll('SIGTERM', terminateGraceMs);
  } catch (error) {
    log.error({ error: messageOf(error) }, 'a session could not be ended');
  }
}

/** SIGPIPE is ignored by Node itself. */
function keepAlive(log: Log): void {
  process.on('SIGHUP', () => undefined);
  process.on('uncaughtException', (error) => log.error({ error: error.stack ?? error.message }, 'nobody caught this'));
}

/**
 * Descriptors that whoever started us left open, and every agent after us: a pipe among them would keep its reader waiting for ever.
 * Node opens all of its own with close-on-exec.
 */
function closeInherited(carried: CarriedHost | undefined): void {
  if (process.platform !== 'linux') return;
  const ours = new Set(carried?.sessions.flatMap(({ pty }) => (pty === null ? [] : [pty.fd])));
  for (const fd of readdirSync('/proc/self/fd')
    .map(Number)
    .filter((number) => number > 2 && !ours.has(number))) {
    if (staysOpenAcrossExec(fd)) closeSync(fd);
  }
}

/** Binds under a tight umask, so that there is no moment in which others could connect; children must not inherit it. */
function listen(server: Server, path: string): Promise<void> {
  // We hold the lock and nobody answers: what lies there is left over.
  rmSync(path, { force: true });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const before = process.umask(0o077);
    server.listen(path, () => {
      server.off('error', reject);
      chmodSync(path, 0o600);
      resolve();
    });
    process.umask(before);
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const tell = (answer: boolean) => (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    // Something that takes so long to refuse is there.
    const timer = setTimeout(tell(true), probeMs);
    socket.once('connect', tell(true));
    socket.once('error', tell(false));
  });
}

/** The socket's folder may lie under a temporary folder that others can write to: it must be ours. */
function makePrivate(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (statSync(dir).uid !== process.getuid?.()) throw new Error(`the folder belongs to another user: ${dir}`);
  chmodSync(dir, 0o700);
}

function tokenOf(home: Home): string {
  try {
    writeFileSync(home.hostToken, `${randomToken(tokenCharacters)}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  const token = readFileSync(home.hostToken, 'utf8').trim();
  if (token.length >= tokenCharacters) return token;
  // A full disk or a crash cut it off; nobody can have used it.
  rmSync(home.hostToken);
  return tokenOf(home);
}
