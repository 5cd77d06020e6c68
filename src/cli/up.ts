/**
 * `up`: start the daemon detached and be back within a second, whatever happens. Steps: does one answer already → does one live that does
 * not answer yet → start → wait for its record and its first answer, as long as the second allows. What is not known by then is said to be
 * `starting`; a daemon that ended meanwhile has left its fault in `run/daemon-error.json`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, isErrno, messageOf, toFault } from '../base/fault.ts';
import { type FaultCode, faults } from '../base/faults.ts';
import { oneLine } from '../base/text.ts';
import { delay } from '../base/wait.ts';
import type { Home } from '../platform/home.ts';
import { diskSpace } from '../platform/machine.ts';
import { ownCommand } from '../platform/own-node.ts';
import { findOwnProcesses } from '../platform/own-processes.ts';
import { readProcessRecord } from '../platform/process-record.ts';
import { isAlive } from '../platform/processes.ts';
import { type Answer, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { upgradeIfOlder } from './host.ts';

export interface UpOptions {
  readonly port?: number;
  readonly wait?: boolean;
  /** Then it waits too. */
  readonly upgradeHost?: boolean;
}

/** Counted from the start of this process, so that the whole command stays below a second even where an older Node had to start the right one. */
const returnWithinMs = 800;
const waitLimitMs = 30_000;
/** A healthy daemon answers its status in milliseconds. */
const healthLimitMs = 400;
const pollMs = 20;
const logTailBytes = 4000;
/** With less than this a daemon could not even write down why it ended. */
const noSpaceBytes = 64 * 1024;

type Status = Answer<'status'>;
type Progress =
  | { readonly kind: 'running'; readonly status: Status }
  /** A process is there, or was started by us, and does not answer yet. */
  | { readonly kind: 'starting'; readonly pid: number }
  /** It said long ago where it listens, and does not answer there: it hangs, or was stopped. */
  | { readonly kind: 'silent'; readonly pid: number };

export async function up(cli: Cli, options: UpOptions): Promise<ExitCode> {
  if (options.upgradeHost !== true) return bringUp(cli, options);
  const code = await bringUp(cli, { ...options, wait: true });
  return code === 0 ? upgradeIfOlder(cli) : code;
}

async function bringUp(cli: Cli, options: UpOptions): Promise<ExitCode> {
  const until = options.wait ? performance.now() + waitLimitMs : returnWithinMs;
  const before = await look(cli.home);
  if (before?.kind === 'running') return reportRunning(cli, before.status, { already: true, port: options.port });
  const started = before ? undefined : await startDaemon(cli, options.port);
  const progress = await waitUntilReady(cli.home, started, until);
  if (progress.kind === 'running') return reportRunning(cli, progress.status, { already: false, port: undefined });
  if (progress.kind === 'silent' || options.wait) throw notReady(cli.home, progress);
  return reportStarting(cli, progress.pid);
}

/** What is there: an answering daemon, a living process that does not answer, or nothing. */
async function look(home: Home): Promise<Progress | undefined> {
  const found = await readProcessRecord(home.daemonFile);
  if (found.kind !== 'found' || !isAlive(found.record)) return undefined;
  try {
    const client = await connect(home);
    return { kind: 'running', status: await client.call('status', { timeoutMs: healthLimitMs }) };
  } catch (error) {
    if (error instanceof Fault && (error.code === 'DAEMON_DOWN' || error.code === 'TIMED_OUT')) {
      const { pid, startedAt } = found.record;
      return { kind: Date.now() - startedAt < waitLimitMs ? 'starting' : 'silent', pid };
    }
    throw error;
  }
}

interface Started {
  readonly child: ChildProcess;
  /** Set when the process has ended. */
  readonly ended: () => string | undefined;
}

const daemonErrorFile = (home: Home): string => join(home.run, 'daemon-error.json');

async function startDaemon(cli: Cli, port: number | undefined): Promise<Started> {
  const { home } = cli;
  const log = await openLog(home);
  try {
    const main = new URL('../daemon/main.ts', import.meta.url);
    const command = ownCommand(main, ['--home', home.dir, ...(port === undefined ? [] : ['--port', String(port)])]);
    // No pipe: whoever waits for our output must not wait for the daemon's as well.
    const child = spawn(command.file, command.args, {
      cwd: home.dir,
      detached: true,
      env: { ...command.env, ...daemonEnvironment(cli.env) },
      stdio: ['ignore', log, log],
    });
    let end: string | undefined;
    child.on('exit', (code, signal) => {
      end = signal === null ? `exit code ${code}` : `signal ${signal}`;
    });
    child.on('error', (error) => {
      end = error.message;
    });
    child.unref();
    return { child, ended: () => end };
  } finally {
    closeSync(log);
  }
}

/** Makes the folders that come before the daemon's own start. */
async function openLog(home: Home): Promise<number> {
  try {
    for (const folder of [home.dir, home.run, home.logs]) await mkdir(folder, { recursive: true, mode: 0o700 });
    await rm(daemonErrorFile(home), { force: true });
    return openSync(join(home.logs, 'daemon.log'), 'a', 0o600);
  } catch (error) {
    if (isErrno(error, 'ENOSPC')) throw toFault(error);
    throw new Fault('DAEMON_FAILED_TO_START', `Can't write in the home ${home.dir}: ${messageOf(error)}`, {
      cause: error,
      subject: home.dir,
      hint: 'Give yourself the right to write there, or choose another folder: MUSTER_HOME or --home',
    });
  }
}

/** The daemon must not carry the mark of a session from whose shell it was started: it would be ended together with that session. */
function daemonEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { MUSTER_INSTANCE: _instance, MUSTER_SESSION: _session, MUSTER_RELAUNCHED: _relaunched, ...rest } = env;
  return rest;
}

async function waitUntilReady(home: Home, started: Started | undefined, until: number): Promise<Progress> {
  let pid = started?.child.pid ?? 0;
  for (;;) {
    const seen = await look(home);
    if (seen?.kind === 'running') return seen;
    if (seen) pid = seen.pid;
    if (seen?.kind === 'silent' && performance.now() + pollMs > until) return seen;
    const end = started?.ended();
    if (end !== undefined && !seen) {
      const other = await otherDaemon(home);
      if (other === undefined) throw await startFault(home, end);
      pid = other;
    }
    if (performance.now() + pollMs > until) return { kind: 'starting', pid };
    await delay(pollMs);
  }
}

/** Several `up` at once: ours ended because another's owns the home. That one counts, as soon as it shows itself. */
async function otherDaemon(home: Home): Promise<number | undefined> {
  return (await findOwnProcesses(home)).find(({ role }) => role === 'daemon')?.pid;
}

async function startFault(home: Home, end: string): Promise<Fault> {
  const told = await readStartFault(home);
  if (told) return told;
  const { freeBytes } = await diskSpace(home.dir);
  if (freeBytes < noSpaceBytes) {
    return new Fault('DISK_FULL', `The daemon ended before it was ready (${end}): no space left in ${home.dir}`, {
      subject: home.dir,
      hint: 'Free some space; nothing was half written.',
    });
  }
  const log = join(home.logs, 'daemon.log');
  const text = (await readFile(log, 'utf8').catch(() => '')).slice(-logTailBytes);
  return new Fault('DAEMON_FAILED_TO_START', `The daemon ended before it was ready (${end}): ${tellingLine(text)}`, {
    subject: log,
    hint: `The whole story is in ${log}`,
  });
}

/** The line of a crash that says what it was: Node's `SomeError: ...`, or else the last one. */
function tellingLine(text: string): string {
  const lines = text.trim().split('\n');
  return oneLine(lines.findLast((line) => /^(\w+: )?\w*Error\b/.test(line)) ?? lines.at(-1) ?? '', 300);
}

/** The fault that a daemon wrote before it ended: `{"error": {...}, "at": ...}`. */
async function readStartFault(home: Home): Promise<Fault | undefined> {
  try {
    const body: unknown = JSON.parse(await readFile(daemonErrorFile(home), 'utf8'));
    const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
    if (typeof error !== 'object' || error === null) return undefined;
    const { code, message, hint, subject } = error as Readonly<Record<string, unknown>>;
    if (typeof code !== 'string' || !(code in faults)) return undefined;
    return new Fault(code as FaultCode, String(message), {
      ...(typeof hint === 'string' ? { hint } : {}),
      ...(typeof subject === 'string' ? { subject } : {}),
    });
  } catch {
    return undefined; // none was written: the daemon ended in a way that it did not foresee
  }
}

function notReady(home: Home, { kind, pid }: { readonly kind: 'starting' | 'silent'; readonly pid: number }): Fault {
  const log = join(home.logs, 'daemon.log');
  return kind === 'silent'
    ? new Fault('TIMED_OUT', `The daemon (pid ${pid}) runs but does not answer`, {
        subject: home.dir,
        hint: `Restart it, sessions live on: muster down --keep-sessions, muster up. Its log: ${log}`,
      })
    : new Fault('TIMED_OUT', `The daemon (pid ${pid}) is not ready after ${waitLimitMs / 1000} s`, {
        subject: home.dir,
        hint: `It may still become ready: muster status. Its log: ${log}`,
      });
}

function reportStarting(cli: Cli, pid: number): ExitCode {
  if (cli.json) cli.printJson({ state: 'starting', already: false, pid: pid || null, url: null, loginUrl: null });
  else cli.print(`${cli.paint('cyan', 'starting')}${pid ? ` (pid ${pid})` : ''}; see: muster status`);
  return 0;
}

interface Asked {
  readonly already: boolean;
  /** The port that was asked for. */
  readonly port: number | undefined;
}

async function reportRunning(cli: Cli, { daemon, url }: Status, { already, port }: Asked): Promise<ExitCode> {
  const client = await connect(cli.home);
  const login = await client.call('loginCode', { body: {}, timeoutMs: healthLimitMs });
  if (cli.json) cli.printJson({ state: 'running', already, pid: daemon.pid, url, loginUrl: login.url });
  else {
    cli.print(`${cli.paint('green', 'running')}${already ? ' already' : ''} (pid ${daemon.pid})`);
    cli.print(`web page: ${login.url}`);
  }
  if (port !== undefined && port !== 0 && new URL(url).port !== String(port)) {
    cli.note(
      `it listens on port ${new URL(url).port}; to change that: muster down --keep-sessions, muster up --port ${port}`,
    );
  }
  return 0;
}
