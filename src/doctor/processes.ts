/** The daemon, the host, their port, locks and sockets, and what sessions left behind. All asked of the system, none of the daemon. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { get } from 'node:http';
import { connect } from 'node:net';
import { oneLine } from '../base/text.ts';
import type { Home } from '../platform/home.ts';
import { findOwnProcesses, type Role } from '../platform/own-processes.ts';
import { describeHolder, listenersOn } from '../platform/ports.ts';
import { type ProcessRecord, readProcessRecord } from '../platform/process-record.ts';
import { isAlive } from '../platform/processes.ts';
import { type Check, type Finding, failure, fine, warning } from './check.ts';
import { markedProcesses } from './leftovers.ts';

/** A local socket answers at once or not at all. */
const connectLimitMs = 1000;
/** A daemon under load answers later than an idle one, but not this late. */
const requestLimitMs = 3000;
const namedMax = 5;

export const portCheck = (home: Home, port: number): Check => ({
  id: 'port',
  what: port === 0 ? 'port' : `port ${port}`,
  expected: 'free, or held by our daemon',
  run: async () => {
    if (port === 0) return fine('any free port is taken');
    const holders = await listenersOn(port);
    const record = await readProcessRecord(home.daemonFile);
    const [first] = holders;
    if (first === undefined) return fine('free');
    if (record.kind === 'found' && isAlive(record.record) && first.pid === record.record.pid)
      return fine(`our daemon (pid ${first.pid})`);
    return failure(
      `held by ${oneLine(describeHolder(first), 300)}`,
      'End that program if it is yours, or set another "port" in the configuration, or: muster up --port 0',
    );
  },
});

export const daemonCheck = (home: Home): Check => ({
  id: 'daemon',
  what: 'daemon',
  expected: 'running as its record says, or no record',
  run: () =>
    processFinding(home, 'daemon', async (record) => {
      if (record.url === undefined) return failure(`pid ${record.pid} has written no address`, restart);
      const port = Number(new URL(record.url).port);
      const listens = (await listenersOn(port)).some((holder) => holder.pid === record.pid);
      if (!listens) return failure(`pid ${record.pid} lives but does not listen on port ${port}`, restart);
      if (!(await answersRequests(record.url)))
        return failure(`pid ${record.pid} does not answer at ${record.url}`, restart);
      return fine(`pid ${record.pid}, version ${record.version}, ${record.url}`);
    }),
});

/** Any answer counts, also a refusal: a process that hangs gives none, though the kernel still accepts connections for it. */
function answersRequests(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = get(new URL('/api/status', url), { agent: false, timeout: requestLimitMs }, (response) => {
      response.destroy();
      resolve(true);
    });
    asked.once('timeout', () => asked.destroy());
    asked.once('error', () => resolve(false));
    asked.once('close', () => resolve(false));
  });
}

export const hostCheck = (home: Home): Check => ({
  id: 'host',
  what: 'PTY host',
  expected: 'running as its record says, or no record',
  run: () =>
    processFinding(home, 'host', async (record) => {
      const answers = await accepts(home.hostSocket);
      return answers
        ? fine(`pid ${record.pid}, version ${record.version}`)
        : failure(`pid ${record.pid} lives but its socket ${home.hostSocket} does not answer`, 'End it: muster down');
    }),
});

const restart = 'Restart it: muster down --keep-sessions, muster up';

async function processFinding(
  home: Home,
  role: Role,
  judge: (record: ProcessRecord) => Promise<Finding>,
): Promise<Finding> {
  const found = await readProcessRecord(role === 'daemon' ? home.daemonFile : home.hostFile);
  const strays = (await findOwnProcesses(home)).filter(
    (one) => one.role === role && !(found.kind === 'found' && found.record.pid === one.pid),
  );
  if (strays.length > 0) {
    return failure(
      `pid ${strays.map(({ pid }) => pid).join(', ')} runs without being in the record`,
      'End it: muster down',
    );
  }
  if (found.kind === 'absent') return fine('not running');
  if (found.kind === 'unreadable') return failure(oneLine(found.reason, 300), 'Make it anew: muster down, muster up');
  if (!isAlive(found.record)) {
    return warning(
      `a stale record: pid ${found.record.pid} is gone`,
      role === 'daemon' ? 'Start it: muster up' : 'muster up starts another; muster down removes the record',
    );
  }
  return judge(found.record);
}

function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const end = (answer: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(end, connectLimitMs, false);
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

export const leftoverFilesCheck = (home: Home): Check => ({
  id: 'locks',
  what: 'locks and sockets',
  expected: 'none without its process',
  run: async () => {
    const stale = [...(await staleSocket(home)), ...(await staleLock(home))];
    return stale.length === 0
      ? fine('none left over')
      : warning(stale.join('; '), 'They do no harm; muster down removes them.');
  },
});

async function staleSocket(home: Home): Promise<readonly string[]> {
  return existsSync(home.hostSocket) && !(await accepts(home.hostSocket))
    ? [`nobody answers at ${home.hostSocket}`]
    : [];
}

/** The lock itself is the kernel's and can't be stale; the note of who holds it can. */
async function staleLock(home: Home): Promise<readonly string[]> {
  const file = `${home.daemonLock}.holder`;
  try {
    const { pid, startTicks, bootId } = JSON.parse(await readFile(file, 'utf8')) as Readonly<Record<string, unknown>>;
    if (typeof pid !== 'number' || typeof startTicks !== 'string' || typeof bootId !== 'string') return [];
    return isAlive({ pid, startTicks, bootId }) ? [] : [`${file} names pid ${pid}, which is gone`];
  } catch {
    return []; // absent or half written: nobody holds the lock, or it is being taken right now
  }
}

export const orphansCheck = (home: Home): Check => ({
  id: 'orphans',
  what: 'left-over processes',
  expected: 'none',
  run: async () => {
    const { ours, others } = await markedProcesses(home);
    const [daemonLives, hostLives] = await Promise.all([recordLives(home.daemonFile), recordLives(home.hostFile)]);
    const orphans = ours.filter(({ owner }) => (owner.kind === 'command' ? !daemonLives : owner.ended || !hostLives));
    const elsewhere = others === 0 ? '' : ` (${others} with marks that are not of this home, not looked at)`;
    if (orphans.length === 0) return fine(`none${elsewhere}`);
    const named = orphans.slice(0, namedMax).map(({ process, owner }) => {
      const whose = owner.kind === 'session' ? `of ${owner.id}` : 'of a verify command';
      return `pid ${process.pid} ${whose}: ${oneLine(process.command, 80)}`;
    });
    const more = orphans.length > namedMax ? ` and ${orphans.length - namedMax} more` : '';
    return failure(`${named.join('; ')}${more}${elsewhere}`, 'End them together with everything else: muster down');
  },
});

async function recordLives(file: string): Promise<boolean> {
  const found = await readProcessRecord(file);
  return found.kind === 'found' && isAlive(found.record);
}
