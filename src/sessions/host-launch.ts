/**
 * Starts the host of one home, or finds the one that runs.
 *
 * Who is the host is decided by a kernel lock that the host itself holds for its life (`run/host.lock`); this side only asks the socket
 * and starts a contender if nobody answers. So any number of callers at once end with the same host: all contenders but one leave.
 * A contender that holds the lock may remove a socket file that is left over; nobody else may.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Fault, messageOf } from '../base/fault.ts';
import { delay, within } from '../base/wait.ts';
import type { Home } from '../platform/home.ts';
import { type OwnCommand, ownCommand } from '../platform/own-node.ts';
import type { RunningHost } from '../protocol/api.ts';
import type { HostNotice } from '../protocol/host.ts';
import { upgradeUnderWay } from './host/carried.ts';
import { type HostClient, hostErrorOf, openHostClient } from './host-client.ts';
import { hostCode } from './host-code.ts';

export interface StartedHost {
  readonly pid: number;
  readonly startedAt: number;
  /** True if it was running already. */
  readonly already: boolean;
}

/** A host is up in about 300 ms on a quiet machine. */
const startMs = 10_000;
const pollMs = 20;
const askMs = 1000;
/** The successor gives up after 20 s, and the way back takes another second. */
const upgradeMs = 25_000;
/** What the host may know of our environment: nothing of a session from inside which we may have been called, no keys. */
const keptVariables = [
  'HOME',
  'PATH',
  'LANG',
  'LC_ALL',
  'LC_CTYPE',
  'TMPDIR',
  'TZ',
  'USER',
  'LOGNAME',
  'XDG_RUNTIME_DIR',
];

/** Returns when the host answers. Faults: HOST_DOWN (it did not come up in time; the end of its log is in the hint), HOST_VERSION. */
export async function startHost(home: Home, options: { readonly timeoutMs?: number } = {}): Promise<StartedHost> {
  const running = await findHost(home);
  if (running !== undefined) return { ...running, already: true };
  const until = performance.now() + (options.timeoutMs ?? startMs);
  // It comes back in a moment, with all its sessions; a contender would only take its time.
  while (performance.now() < until && upgradeUnderWay(home) !== undefined) {
    const found = await findHost(home);
    if (found !== undefined) return { ...found, already: true };
    await delay(pollMs);
  }
  const contender = launch(home);
  while (performance.now() < until && !contender.failed()) {
    const found = await findHost(home);
    if (found !== undefined) {
      const already = found.pid !== contender.pid;
      // A slow one must not become the host later, when the one that was faster has been told to leave.
      if (already) await contender.withdraw();
      return { ...found, already };
    }
    await delay(pollMs);
  }
  throw new Fault('HOST_DOWN', 'The PTY host did not come up', { hint: lastLogLines(home) });
}

/** The running host, undefined if nobody answers. */
export async function findHost(home: Home): Promise<Omit<StartedHost, 'already'> | undefined> {
  try {
    const client = await connectHost(home, {
      onNotice: () => undefined,
      onClose: () => undefined,
      connectTimeoutMs: askMs,
    });
    client.close();
    return { pid: client.hello.pid, startedAt: client.hello.startedAt };
  } catch (error) {
    if (error instanceof Fault && error.code === 'HOST_DOWN') return undefined;
    throw error;
  }
}

export interface UpgradedHost extends RunningHost {
  /** How long nobody answered. */
  readonly pauseMs: number;
}

/** The host that runs. HOST_DOWN if none does. */
export async function describeHost(home: Home): Promise<RunningHost> {
  const client = await connectHost(home, { onNotice: () => undefined, onClose: () => undefined });
  try {
    return await describe(client);
  } finally {
    client.close();
  }
}

async function describe(client: HostClient): Promise<RunningHost> {
  const { pid, startedAt, code, upgrades } = client.hello;
  const { sessions } = await client.call('list', {});
  const live = sessions.filter((session) => session.exit === null).length;
  const version = code?.split('+')[0] ?? null;
  return {
    pid,
    startedAt,
    version,
    code: code ?? null,
    installed: hostCode(),
    upgrades: upgrades ?? 0,
    sessions: live,
  };
}

/**
 * The running host becomes the version that is installed here (or `command`), with all its sessions. Faults: HOST_DOWN (none runs, or it
 * did not come back), HOST_UPGRADE (it could not, with the reason; it goes on as before).
 */
export async function upgradeHost(home: Home, command: OwnCommand = installedHost(home)): Promise<UpgradedHost> {
  const before = await connectHost(home, { onNotice: () => undefined, onClose: () => undefined });
  const { file, args, env } = command;
  try {
    await before.call('upgrade', { file, args: [...args], env: { ...env } });
  } catch (error) {
    // Without a word from the host the connection broke, as it does when it changes.
    if (hostErrorOf(error) !== undefined) throw upgradeFault(error, messageOf(error));
    if (!(error instanceof Fault) || error.code !== 'HOST_DOWN') throw error;
  } finally {
    before.close();
  }
  return awaitUpgraded(home, before.hello);
}

async function awaitUpgraded(home: Home, before: HostClient['hello']): Promise<UpgradedHost> {
  const begun = performance.now();
  for (const until = begun + upgradeMs; performance.now() < until; await delay(pollMs)) {
    const client = await connectHost(home, { onNotice: () => undefined, onClose: () => undefined }).catch(whenDown);
    if (client === undefined) continue;
    const pauseMs = performance.now() - begun;
    const { pid, upgrades, upgradeFault: reason } = client.hello;
    try {
      if (pid !== before.pid)
        throw new Fault('HOST_DOWN', 'The PTY host ended during its upgrade; another one runs now');
      if (reason) throw upgradeFault(undefined, reason);
      if ((upgrades ?? 0) > (before.upgrades ?? 0)) return { ...(await describe(client)), pauseMs };
    } finally {
      client.close();
    }
  }
  throw new Fault('HOST_DOWN', 'The PTY host did not come back from its upgrade', { hint: lastLogLines(home) });
}

const upgradeFault = (cause: unknown, reason: string): Fault =>
  new Fault('HOST_UPGRADE', `The PTY host could not be upgraded and goes on as it was: ${reason}`, { cause });

function whenDown(error: unknown): undefined {
  if (error instanceof Fault && error.code === 'HOST_DOWN') return undefined;
  throw error;
}

const installedHost = (home: Home): OwnCommand => ownCommand(mainFile, ['--home', home.dir]);

export interface ConnectOptions {
  readonly onNotice: (notice: HostNotice) => void;
  readonly onClose: (reason: string) => void;
  readonly connectTimeoutMs?: number;
}

/** A client of this home's host, with its socket and token. HOST_DOWN if there is none. */
export async function connectHost(home: Home, options: ConnectOptions): Promise<HostClient> {
  let token: string;
  try {
    token = readFileSync(home.hostToken, 'utf8').trim();
  } catch (cause) {
    throw new Fault('HOST_DOWN', 'No PTY host was ever started in this home', { cause, hint: 'Run `muster up`.' });
  }
  return openHostClient({ socketPath: home.hostSocket, token, ...options });
}

interface Contender {
  readonly pid: number | undefined;
  readonly failed: () => boolean;
  /** Ends it if it has not ended yet. */
  readonly withdraw: () => Promise<void>;
}

const withdrawMs = 2000;

/** In a session of its own, so that no hang-up of ours reaches it; with files for output, so that no pipe of ours can break or be held. */
function launch(home: Home): Contender {
  mkdirSync(home.logs, { recursive: true, mode: 0o700 });
  const log = openLog(join(home.logs, 'host.log'));
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => keptVariables.includes(name)));
  try {
    const command = installedHost(home);
    const child = spawn(command.file, command.args, {
      cwd: home.dir,
      detached: true,
      env: { ...env, ...command.env },
      stdio: ['ignore', log, log],
    });
    let failed = false;
    child.on('error', () => {
      failed = true;
    });
    // Code 0 before it serves: another contender was faster.
    child.on('exit', (code) => {
      failed = code !== 0;
    });
    child.unref();
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const withdraw = async (): Promise<void> => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await within(ended, withdrawMs);
    };
    return { pid: child.pid, failed: () => failed, withdraw };
  } finally {
    closeSync(log);
  }
}

/** The log of the last host, or of the last few, is enough. */
const logBytesMax = 10 * 1024 * 1024;

function openLog(path: string): number {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > logBytesMax) renameSync(path, `${path}.1`);
  return openSync(path, 'a', 0o600);
}

/** Beside this file, with the same ending: `.ts` in a checkout, `.js` in a package. */
const mainFile = new URL(`./host/main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

const logLinesShown = 5;

function lastLogLines(home: Home): string {
  try {
    return readFileSync(join(home.logs, 'host.log'), 'utf8').trimEnd().split('\n').slice(-logLinesShown).join('\n');
  } catch (error) {
    return `The log is not readable: ${messageOf(error)}`;
  }
}
