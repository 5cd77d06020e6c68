/**
 * An interrupted demo leaves no open jobs: the next daemon of this home would go on with them, and their model server is gone by then.
 * Only jobs in the demo's own repositories are touched.
 */
import { join, sep } from 'node:path';
import { Fault } from '../src/base/fault.ts';
import { delay } from '../src/base/wait.ts';
import { type Client, connect } from '../src/cli/client.ts';
import type { Home } from '../src/platform/home.ts';
import type { JobView } from '../src/protocol/job.ts';

/** A session that is asked to end has its grace; what is still open after this is ended by `down`. */
const cancelLimitMs = 10_000;
const pollMs = 100;
/** More than a demo has; those of many crashed ones come in the next round. */
const jobsPerRound = 100;

/** Cancels what is open and waits for its end, as long as the limit allows. Without a daemon there is nothing to do. */
export async function cancelOpenJobs(folder: string, home: Home): Promise<void> {
  try {
    const client = await connect(home);
    const until = performance.now() + cancelLimitMs;
    for (;;) {
      const open = await openJobs(client, join(folder, 'runs') + sep);
      if (open.length === 0 || performance.now() > until) return;
      for (const { id, cancelRequested } of open) {
        if (!cancelRequested) await client.call('cancelJob', { params: { id }, body: {} }).catch(ignoreEnded);
      }
      await delay(pollMs);
    }
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'DAEMON_DOWN') throw error;
  }
}

async function openJobs(client: Client, under: string): Promise<readonly JobView[]> {
  const pages = await Promise.all(
    (['queued', 'running'] as const).map((state) => client.call('listJobs', { query: { state, limit: jobsPerRound } })),
  );
  return pages.flatMap(({ jobs }) => jobs).filter(({ projectPath }) => projectPath.startsWith(under));
}

/** It ended between the question and the request. */
function ignoreEnded(error: unknown): void {
  if (!(error instanceof Fault) || error.code !== 'WRONG_STATE') throw error;
}
