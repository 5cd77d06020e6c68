/** Ends a process that we did not start, with what hangs below it. Nothing is known by a mark here, so only what was seen is ended. */
import { delay } from '../../base/wait.ts';
import { descendants, processTable } from '../../platform/process-tree.ts';
import { identify, isAlive, type ProcessIdentity, signalProcess } from '../../platform/processes.ts';

const endPollMs = 50;
/** Asked to end, then made to. Only what hung below the agent when it was asked; nothing is known by a mark here. */
export async function endTree(agent: ProcessIdentity, graceMs: number): Promise<void> {
  const rows = descendants(await processTable(), agent.pid);
  // If it was gone by then, its number may have been somebody else's, and so all that hung below it.
  if (!isAlive(agent)) return;
  const all = rows.flatMap((row) => identify(row.pid) ?? []);
  signalProcess(agent, 'SIGTERM');
  const until = performance.now() + graceMs;
  while (performance.now() < until && all.some(isAlive)) await delay(endPollMs);
  for (const one of all) signalProcess(one, 'SIGKILL');
  const limit = performance.now() + killLimitMs;
  while (performance.now() < limit && isAlive(agent)) await delay(endPollMs);
}

/** A killed process needs a moment to disappear. */
const killLimitMs = 2000;
