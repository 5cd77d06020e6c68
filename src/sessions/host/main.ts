/**
 * The process that owns all PTYs of one home: `node main.ts --home DIR`, started detached by `host-launch.ts`.
 *
 * Order: private folders → kernel lock (another host: leave) → token → socket → `run/host.json` → serve. It outlives the daemon: SIGHUP
 * is ignored, nothing it writes to is a pipe. SIGTERM and SIGINT end the sessions, remove what it put into `run/`, and leave.
 * A defect in one hook must not cost sixty sessions: what nobody caught is logged, and the process goes on.
 */
import { chmodSync, closeSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../../base/clock.ts';
import { isErrno, messageOf } from '../../base/fault.ts';
import { randomToken } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { writeFileAtomically } from '../../platform/atomic-file.ts';
import { type Home, homeAt } from '../../platform/home.ts';
import { acquireLock, type Lock } from '../../platform/lock.ts';
import { bootId, identify } from '../../platform/processes.ts';
import { hostProtocolVersion } from '../../protocol/host.ts';
import { type Host, openHost } from './host.ts';
import { openHostLog } from './log.ts';

const tokenCharacters = 40;
/** Agents save their conversation at SIGTERM within a second. */
const terminateGraceMs = 2000;
const probeMs = 1000;
/** Time for the last reply to reach the peer. */
const farewellMs = 200;
/** O_CLOEXEC on Linux, as /proc/PID/fdinfo shows it. */
const closeOnExec = 0o2000000;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { home: { type: 'string' } } });
  if (values.home === undefined) throw new Error('--home is missing');
  const home = homeAt(values.home);
  const log = openHostLog();
  keepAlive(log);
  closeInherited();
  for (const dir of [home.dir, home.run, dirname(home.hostSocket)]) makePrivate(dir);

  const startedAt = systemClock();
  const record = { ...identify(process.pid), startedAt, version: packageVersion(), protocol: hostProtocolVersion };
  const lock = acquireLock(join(home.run, 'host.lock'), record);
  if (lock.kind === 'held') return log.info({ by: lock.by }, 'another host runs for this home');
  if (await answers(home.hostSocket)) {
    log.error({ socket: home.hostSocket }, 'somebody without our lock answers on our socket');
    return lock.release();
  }
  await serve(home, record, lock, log);
}

async function serve(home: Home, record: object, lock: Lock, log: Log): Promise<void> {
  let leaving = false;
  const leave = (): void => {
    host.close();
    for (const path of [home.hostSocket, home.hostFile]) rmSync(path, { force: true });
    log.info({}, 'the host has left');
    setTimeout(() => {
      lock.release();
      // A PTY that would not die, or a peer that does not read, must not keep us.
      process.exit(0);
    }, farewellMs);
  };
  const host = openHost({ token: tokenOf(home), log, now: systemClock, bootId: bootId(), onShutdown: leave });
  await listen(host.server, home.hostSocket);
  await writeFileAtomically(home.hostFile, JSON.stringify(record), 0o600);
  log.info(record, 'the host serves');
  const terminate = (signal: NodeJS.Signals): void => {
    if (leaving) return;
    leaving = true;
    log.info({ signal }, 'ending all sessions');
    void endAll(host, log).then(leave);
  };
  process.on('SIGTERM', terminate);
  process.on('SIGINT', terminate);
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
function closeInherited(): void {
  if (process.platform !== 'linux') return;
  for (const fd of readdirSync('/proc/self/fd')
    .map(Number)
    .filter((number) => number > 2)) {
    const flags = /flags:\s*([0-7]+)/.exec(readIfThere(`/proc/self/fdinfo/${fd}`))?.[1];
    if (flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0) closeSync(fd);
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The descriptor with which the folder was listed is gone.
    return '';
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

function packageVersion(): string {
  const read: unknown = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  return typeof read === 'object' && read !== null && 'version' in read ? String(read.version) : 'unknown';
}

main().catch((error: unknown) => {
  openHostLog().error({ error: messageOf(error) }, 'the host could not start');
  process.exit(1);
});
