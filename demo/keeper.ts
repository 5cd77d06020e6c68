/**
 * Keeps the demo going when its daemon dies: starts it again, and lets what needs it wait. Sessions live in the host and go on meanwhile.
 * A daemon that was stopped in order leaves no record: then somebody wants the demo to end.
 */
import { Fault, messageOf } from '../src/base/fault.ts';
import { delay } from '../src/base/wait.ts';
import type { Home } from '../src/platform/home.ts';
import { readProcessRecord } from '../src/platform/process-record.ts';
import { isAlive } from '../src/platform/processes.ts';
import type { Live } from './live.ts';
import { startMuster } from './muster.ts';

export interface Keeping {
  readonly home: Home;
  readonly live: Live;
  readonly signal: AbortSignal;
}

/** A daemon that dies more often than this is not saved by starting it again. */
const restartsMax = 20;
const lookEveryMs = 400;
/** `up --wait` itself gives up after half of this. */
const awayLimitMs = 60_000;
const askAgainMs = 200;

/** What `act` gives; fails as soon as the daemon can't be kept. */
export async function withDaemon<T>(keeping: Keeping, act: () => Promise<T>): Promise<T> {
  const closed = new AbortController();
  const signal = AbortSignal.any([keeping.signal, closed.signal]);
  const { promise: lost, reject } = Promise.withResolvers<never>();
  const keeper = keepAlive({ ...keeping, signal }).catch(reject);
  try {
    return await Promise.race([act(), lost]);
  } finally {
    closed.abort();
    await keeper;
  }
}

async function keepAlive({ home, live, signal }: Keeping): Promise<void> {
  for (let restarts = 0; !signal.aborted; await delay(lookEveryMs)) {
    const found = await readProcessRecord(home.daemonFile);
    if (found.kind === 'absent') {
      throw new Fault('DAEMON_DOWN', 'Somebody stopped Muster', { hint: 'Start again: npm run demo' });
    }
    if (found.kind !== 'found' || isAlive(found.record)) continue;
    restarts += 1;
    if (restarts > restartsMax) throw new Fault('DAEMON_DOWN', `The daemon died ${restarts} times`);
    live.note(`The daemon (pid ${found.record.pid}) died. Starting it again; its sessions go on.`);
    await startMuster(home).catch((error: unknown) => live.note(`It did not start: ${messageOf(error)}`));
  }
}

/** For requests that may be made twice: asks again while the daemon is away. */
export async function persist<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  const until = performance.now() + awayLimitMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const isAway = error instanceof Fault && (error.code === 'DAEMON_DOWN' || error.code === 'TIMED_OUT');
      if (!isAway || signal.aborted || performance.now() > until) throw error;
    }
    await delay(askAgainMs);
  }
}
