/** Jobs that run in the ledger and whose daemon is gone. */
import { systemClock } from '../base/clock.ts';
import { openLedger } from '../ledger/index.ts';
import { exists } from '../platform/atomic-file.ts';
import type { Home } from '../platform/home.ts';

/**
 * [D14] Writes down that they are cancelled: the daemon that starts next settles them and starts no agent for them. Gives their ids. Only
 * for when no daemon of this home is left: it takes the ledger for itself. Faults: LEDGER_*, DISK_FULL.
 */
export async function cancelOpenJobs(home: Home): Promise<readonly string[]> {
  if (!(await exists(home.ledger))) return [];
  const ledger = await openLedger({ file: home.ledger, now: systemClock });
  try {
    const open = await ledger.openAttempts();
    for (const { job } of open) await ledger.requestCancel(job.id, 'muster down');
    return open.map(({ job }) => job.id);
  } finally {
    await ledger.close();
  }
}
