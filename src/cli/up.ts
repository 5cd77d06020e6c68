/**
 * `up`: start the daemon detached and be back within a second, whatever happens. Steps: does one answer already → does one live that does
 * not answer yet → start → wait for its record and its first answer, as long as the second allows. What is not known by then is said to be
 * `starting`; a daemon that ended meanwhile has left its fault in `run/daemon-error.json`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Fault } from '../base/fault.ts';
import { type FaultCode, faults } from '../base/faults.ts';
import { oneLine } from '../base/text.ts';
import { delay } from '../base/wait.ts';
import type { Home } from '../platform/home.ts';
import { findOwnProcesses } from '../platform/own-processes.ts';
import { readProcessRecord } from '../platform/process-record.ts';
import { isAlive } from '../platform/processes.ts';
import { type Answer, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';

export interface UpOptions {
  readonly port?: number;
  readonly wait?: boolean;
}

/** Counted from the start of this process, so that the whole command stays below a second even where an older Node had to start the right one. */
const returnWithinMs = 800;
const waitLimitMs = 30_000;
/** A healthy daemon answers its status in milliseconds. */
const healthLimitMs = 400;
const pollMs = 20;
const logTailBytes = 4000;

type Status = Answer<'status'>;
type Progress =
  | { readonly kind: 'running'; readonly status: Status }
  /** A process is there, or was started by us, and does not answer yet. */
  | { readonly kind: 'starting'; readonly pid: number };

export async function up(cli: Cli, options: UpOptions): Promise<ExitCode> {
  const until = options.wait ? performance.now() + waitLimitMs : returnWithinMs;
  const before = await look(cli.home);
  if (before?.kind === 'running') return report(cli, before, true);
  const started = before ? undefined : await startDaemon(cli, options.port);
  const progress = await waitUntilReady(cli.home, started, until);
  if (progress.kind === 'starting' && options.wait) throw notReady(cli.home, progress.pid);
  return report(cli, progress, false);
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
      return { kind: 'starting', pid: found.record.pid };
    }
    throw error;
  }
}

interface Started {
  readonly child: ChildProcess;
  /** Set when the process has ended. */
  readonly ended: () => string | undefined;
}

export const daemonErrorFile = (home: Home): string => join(home.run, 'daemon-error.json');

async function startDaemon(cli: Cli, port: number | undefined): Promise<Started> {
  const { home } = cli;
  for (const folder of [home.dir, home.run, home.logs]) await mkdir(folder, { recursive: true, mode: 0o700 });
  await rm(daemonErrorFile(home), { force: true });
  const log = openSync(join(home.logs, 'daemon.log'), 'a', 0o600);
  try {
    const main = fileURLToPath(new URL('../daemon/main.ts', import.meta.url));
    const args = [main, '--home', home.dir, ...(port === undefined ? [] : ['--port', String(port)])];
    // No pipe: whoever waits for our output must not wait for the daemon's as well.
    const child = spawn(process.execPath, args, {
      cwd: home.dir,
      detached: true,
      env: daemonEnvironment(cli.env),
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

/** The daemon must not carry the mark of a session from whose shell it was started: it would be ended together with that session. */
function daemonEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { MUSTER_INSTANCE: _instance, MUSTER_SESSION: _session, MUSTER_RELAUNCHED: _relaunched, ...rest } = env;
  // Halves the daemon's start. The same folder as the command line's own.
  const compiled = fileURLToPath(new URL('../../node_modules/.cache/muster', import.meta.url));
  return { NODE_COMPILE_CACHE: compiled, ...rest };
}

async function waitUntilReady(home: Home, started: Started | undefined, until: number): Promise<Progress> {
  let pid = started?.child.pid ?? 0;
  for (;;) {
    const seen = await look(home);
    if (seen?.kind === 'running') return seen;
    if (seen) pid = seen.pid;
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

const notReady = (home: Home, pid: number): Fault =>
  new Fault('TIMED_OUT', `The daemon (pid ${pid}) is not ready after ${waitLimitMs / 1000} s`, {
    subject: home.dir,
    hint: `It may still become ready: muster status. Its log: ${join(home.logs, 'daemon.log')}`,
  });

async function report(cli: Cli, progress: Progress, already: boolean): Promise<ExitCode> {
  if (progress.kind === 'starting') {
    const { pid } = progress;
    if (cli.json) cli.printJson({ state: 'starting', already, pid: pid || null, url: null, loginUrl: null });
    else cli.print(`${cli.paint('cyan', 'starting')}${pid ? ` (pid ${pid})` : ''}; see: muster status`);
    return 0;
  }
  const { daemon, url } = progress.status;
  const login = await (await connect(cli.home)).call('loginCode', { body: {} });
  if (cli.json) cli.printJson({ state: 'running', already, pid: daemon.pid, url, loginUrl: login.url });
  else
    cli.print(
      `${cli.paint('green', 'running')}${already ? ' already' : ''} (pid ${daemon.pid})`,
      `web page: ${login.url}`,
    );
  return 0;
}
