/**
 * The host becomes its next version in place (`exec`): the process, its number, its children and their exit codes, and the descriptors of
 * the terminals stay; rings, models, inputs and recordings go through a file.
 *
 * Order: what would be carried is written out and the next version is started once as a rehearsal, which must read it, build every model
 * from it and know every terminal → watchers are told → recordings are held → one turn of the loop in which everything is captured, written
 * and the image replaced. Up to that very last call everything can be let go, and the host goes on as if nothing had happened. What the
 * next version does when it fails after that: `main.ts`, it goes back.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { messageOf } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { delay } from '../../base/wait.ts';
import type { Home } from '../../platform/home.ts';
import { canReplaceImage, type OwnCommand, replaceImage, staysOpenAcrossExec } from '../../platform/own-node.ts';
import type { ProcessIdentity } from '../../platform/processes.ts';
import {
  type CarriedHost,
  type CarriedSession,
  carriedFile,
  forgetUpgrade,
  markUpgrade,
  writeCarried,
} from './carried.ts';
import { HostError } from './errors.ts';
import type { HostedSession } from './session.ts';

export interface UpgradeOptions {
  readonly home: Home;
  readonly log: Log;
  readonly self: ProcessIdentity;
  /** The command line of this image. */
  readonly previous: OwnCommand;
  readonly startedAt: number;
  readonly upgrades: number;
  readonly sessions: () => readonly HostedSession[];
  /** Starts that are under way. */
  readonly starting: () => number;
  /** Tells whoever watches, and gives them a moment to hear it. */
  readonly announce: () => Promise<void>;
}

/** The next version starts in a fifth of a second; with hundreds of models it may need some. */
const rehearsalMs = 20_000;
const rehearsalTextMax = 4000;
/** Starting and ending sessions are waited for: an end takes at most its grace and the sweep. */
const quietMs = 10_000;
const quietPollMs = 20;

/** Returns only by an error: `upgrade-failed`, and nothing has changed. */
export async function upgradeInPlace(next: OwnCommand, options: UpgradeOptions): Promise<never> {
  const { home, log } = options;
  if (!canReplaceImage()) throw refusal('this system or this Node has no exec in place; it takes Linux and Node 22.15');
  const path = carriedFile(home);
  const command = { ...next, args: [...next.args, '--takeover', path] };
  try {
    writeCarried(path, await captureSlowly(options));
    await rehearse(command);
    log.info({ next: command.args }, 'the host is being upgraded');
    await options.announce();
    return await replaceWhenQuiet(command, path, options);
  } catch (error) {
    for (const session of options.sessions()) session.release();
    forgetUpgrade(home);
    throw error instanceof HostError ? error : refusal(messageOf(error));
  }
}

const refusal = (reason: string): HostError => new HostError('upgrade-failed', reason);

async function replaceWhenQuiet(command: OwnCommand, path: string, options: UpgradeOptions): Promise<never> {
  for (const until = performance.now() + quietMs; performance.now() < until; ) {
    const sessions = options.sessions();
    await Promise.all(sessions.map((session) => session.hold()));
    // A turn of its own, so that nothing that has happened is still on its way through promises.
    await nextTurn();
    if (isQuiet(options, sessions.length)) {
      const carried = options.sessions().map((session) => session.carry());
      const lost = carried.find(({ pty }) => pty !== null && !staysOpenAcrossExec(pty.fd));
      if (lost !== undefined) throw refusal(`the terminal of ${lost.spec.sessionId} would be closed`);
      markUpgrade(options.home, options.self);
      writeCarried(path, captured(options, carried));
      // One that has ended since has been waited for by a thread that would die with what it knows.
      if (options.sessions().every((session) => !session.running || existsSync(`/proc/${session.identity.pid}`))) {
        replaceImage(command);
      }
    }
    for (const session of options.sessions()) session.release();
    await delay(quietPollMs);
  }
  throw refusal(`a session was starting or ending all the time, for ${quietMs / 1000} s`);
}

function isQuiet({ sessions, starting }: UpgradeOptions, held: number): boolean {
  return starting() === 0 && sessions().length === held && sessions().every((session) => !session.ending);
}

const captured = (options: UpgradeOptions, sessions: readonly CarriedSession[]): CarriedHost => ({
  format: 1,
  previous: { ...options.previous, args: [...options.previous.args], env: { ...options.previous.env } },
  startedAt: options.startedAt,
  upgrades: options.upgrades + 1,
  sessions,
});

/** For the rehearsal, while everything goes on. */
async function captureSlowly(options: UpgradeOptions): Promise<CarriedHost> {
  const sessions: CarriedSession[] = [];
  for (const session of options.sessions()) {
    if (!session.ending) sessions.push(session.carry());
    await nextTurn();
  }
  return captured(options, sessions);
}

/** It inherits the terminals as the real one will, and is to end with code 0. */
async function rehearse({ file, args, env }: OwnCommand): Promise<void> {
  const child = spawn(file, [...args, '--rehearse'], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: rehearsalMs,
    killSignal: 'SIGKILL',
  });
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said = (said + text.toString()).slice(-rehearsalTextMax);
  });
  const end = await new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code === 0 ? undefined : `it ended with ${code ?? signal}`));
  });
  if (end !== undefined) throw refusal(`the next version can not go on for this one: ${end}: ${said.trim()}`);
}
