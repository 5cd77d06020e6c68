/**
 * `down`: end the daemon and, unless sessions are kept, the host with everything it started; then prove that they are gone.
 *
 * It asks first (the daemon's own stop ends sessions in order) and insists later: SIGTERM, then SIGKILL, always to an identity and never to
 * a bare pid. It needs neither a configuration nor an answering daemon. A round that finds nothing more ends it: a daemon that was just
 * starting may have brought up a host while we looked. Only when no process is left are their records and sockets removed, and are jobs
 * that no daemon has settled marked as cancelled: the next start settles them, and starts no agent for them.
 */
import { rm, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Fault, messageOf } from '../base/fault.ts';
import { delay } from '../base/wait.ts';
import { cancelOpenJobs, sweepLeftovers } from '../doctor/index.ts';
import type { Home } from '../platform/home.ts';
import { findOwnProcesses, type OwnProcess, type Role } from '../platform/own-processes.ts';
import { readProcessRecord } from '../platform/process-record.ts';
import { isAlive, type ProcessIdentity, signalProcess } from '../platform/processes.ts';
import { connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';

export interface DownOptions {
  readonly keepSessions?: boolean;
}

/** The answer to "stop" comes before the stopping. */
const askLimitMs = 5000;
/** A daemon that is just starting can soon be asked, and then leaves nothing half made. */
const startingLimitMs = 2000;
/** Every session has its grace, side by side; then the host sweeps. */
const politeLimitMs: Readonly<Record<Role, number>> = { daemon: 30_000, host: 15_000 };
const termLimitMs = 5000;
const killLimitMs = 3000;
const pollMs = 20;
/** One round ends what is there; a second what that had just started. More rounds mean that something keeps starting it. */
const roundsMax = 4;

interface Ended {
  readonly role: Role;
  readonly pid: number;
  readonly how: 'asked' | 'SIGTERM' | 'SIGKILL';
}

export async function down(cli: Cli, { keepSessions = false }: DownOptions): Promise<ExitCode> {
  const roles: readonly Role[] = keepSessions ? ['daemon'] : ['daemon', 'host'];
  const ended: Ended[] = [];
  for (let round = 0; round < roundsMax; round += 1) {
    const living = await livingOf(cli.home, roles);
    if (living.length === 0) break;
    if (round === roundsMax - 1) throw keepsComing(living);
    for (const one of living) if (isAlive(one)) ended.push(await end(cli, one, keepSessions));
  }
  const swept = keepSessions ? 0 : await sweepLeftovers(cli.home);
  await removeStaleFiles(cli.home, roles);
  const leftOpen = keepSessions ? [] : await leftOpenJobs(cli);
  return report(cli, { ended, swept, leftOpen, keepSessions });
}

/** Null: nobody knows. */
async function leftOpenJobs(cli: Cli): Promise<readonly string[] | null> {
  try {
    return await cancelOpenJobs(cli.home);
  } catch (error) {
    cli.note(`whether jobs are left open is unknown: ${messageOf(error)}`);
    return null;
  }
}

/** Daemons before hosts: a daemon would start the host again. From records and from the process list. */
async function livingOf(home: Home, roles: readonly Role[]): Promise<readonly OwnProcess[]> {
  const seen = await findOwnProcesses(home);
  const found: OwnProcess[] = [];
  for (const role of roles) {
    const record = await readProcessRecord(role === 'daemon' ? home.daemonFile : home.hostFile);
    const recorded: readonly ProcessIdentity[] =
      record.kind === 'found' && isAlive(record.record) ? [record.record] : [];
    for (const one of [...recorded, ...seen.filter((process) => process.role === role)]) {
      if (!found.some((other) => other.pid === one.pid)) found.push({ ...identityOf(one), role });
    }
  }
  return found;
}

const identityOf = ({ pid, startTicks, bootId }: ProcessIdentity): ProcessIdentity => ({ pid, startTicks, bootId });

async function end(cli: Cli, one: OwnProcess, keepSessions: boolean): Promise<Ended> {
  const { role, pid } = one;
  if (role === 'daemon' && (await askDaemon(cli, one, keepSessions))) {
    if (await goneWithin(one, politeLimitMs.daemon)) return { role, pid, how: 'asked' };
    cli.note(`the daemon (pid ${pid}) did not end within ${politeLimitMs.daemon / 1000} s; ending it by signal`);
  }
  signalProcess(one, 'SIGTERM');
  if (await goneWithin(one, role === 'host' ? politeLimitMs.host : termLimitMs)) return { role, pid, how: 'SIGTERM' };
  signalProcess(one, 'SIGKILL');
  if (await goneWithin(one, killLimitMs)) return { role, pid, how: 'SIGKILL' };
  throw new Fault('TIMED_OUT', `The ${role} (pid ${pid}) is still there after SIGKILL`, {
    subject: String(pid),
    hint: 'It hangs in the kernel (a dead network file system?) or belongs to another user.',
  });
}

/** False if this very process can't be asked: it is not the one that answers, or nobody answers. */
async function askDaemon(cli: Cli, one: OwnProcess, keepSessions: boolean): Promise<boolean> {
  try {
    const client = await connect(cli.home, startingLimitMs);
    if (client.record.pid !== one.pid) return false;
    await client.call('stopDaemon', { body: { sessions: keepSessions ? 'keep' : 'end' }, timeoutMs: askLimitMs });
    return true;
  } catch (error) {
    if (isAlive(one)) cli.note(`the daemon (pid ${one.pid}) can't be asked: ${messageOf(error)}; ending it by signal`);
    return !isAlive(one);
  }
}

async function goneWithin(identity: ProcessIdentity, limitMs: number): Promise<boolean> {
  const until = performance.now() + limitMs;
  while (isAlive(identity)) {
    if (performance.now() > until) return false;
    await delay(pollMs);
  }
  return true;
}

const keepsComing = (living: readonly OwnProcess[]): Fault =>
  new Fault(
    'TIMED_OUT',
    `Still running after ${roundsMax} rounds: ${living.map(({ role, pid }) => `${role} (pid ${pid})`).join(', ')}`,
    {
      hint: 'Something starts it again and again; end that first.',
    },
  );

/** Of processes that are proved dead. Locks are the kernel's and went with their holders. */
async function removeStaleFiles(home: Home, roles: readonly Role[]): Promise<void> {
  if ((await livingOf(home, roles)).length > 0) return;
  const files = roles.flatMap((role) =>
    role === 'daemon' ? [home.daemonFile, `${home.daemonLock}.holder`] : [home.hostFile, home.hostSocket],
  );
  for (const file of files) await rm(file, { force: true });
  const socketFolder = dirname(home.hostSocket);
  // A home with a long path has its socket in the temporary folder. Not empty: then it is not only ours.
  if (socketFolder !== home.run && roles.includes('host')) await rmdir(socketFolder).catch(() => undefined);
}

interface Report {
  readonly ended: readonly Ended[];
  readonly swept: number;
  readonly leftOpen: readonly string[] | null;
  readonly keepSessions: boolean;
}

function report(cli: Cli, { ended, swept, leftOpen, keepSessions }: Report): ExitCode {
  const exit = leftOpen === null ? 4 : 0;
  if (cli.json) {
    cli.printJson({ ended, swept, leftOpen, sessions: keepSessions ? 'kept' : 'ended' });
    return exit;
  }
  if (ended.length === 0 && swept === 0) cli.print('nothing was running');
  cli.print(...ended.map(({ role, pid, how }) => `${role} ended (pid ${pid}${how === 'asked' ? '' : `, by ${how}`})`));
  if (swept > 0) cli.print(`${swept} process${swept === 1 ? '' : 'es'} left behind swept`);
  if (leftOpen !== null && leftOpen.length > 0)
    cli.print(`left open; settled when muster starts again: ${leftOpen.join(', ')}`);
  if (keepSessions) cli.print('sessions go on; muster up finds them again');
  return exit;
}
