/**
 * A control group of its own for a session that has a memory limit: the kernel keeps it under the limit, and what is in it can be ended
 * exactly, whatever it did to lose its mark. Where none can be made the session runs without, and the log says why.
 */
import type { Log } from '../../base/log.ts';
import { findSessionGroup, openSessionGroup } from '../../platform/cgroup.ts';
import type { Spawn } from '../../protocol/host.ts';

/** Right after the fork: what the program starts from now on is in it too. */
export function placeInGroup({ sessionId, memoryBytesMax }: Spawn, pid: number, log: Log): void {
  if (memoryBytesMax === undefined) return;
  const opened = openSessionGroup({ name: sessionId, pid, memoryBytesMax });
  if (opened.kind === 'none') log.warn({ sessionId, reason: opened.reason }, 'the session runs without a memory limit');
  else if (!opened.group.limited)
    log.warn(
      { sessionId, group: opened.group.path },
      'the control group of the session has no memory controller: no limit',
    );
}

/** After the sweep by mark, before the end is told. */
export function endGroup({ sessionId, memoryBytesMax }: Spawn, log: Log): void {
  const group = memoryBytesMax === undefined ? undefined : findSessionGroup(sessionId);
  if (!group) return;
  const kernelKills = group.oomKills() ?? 0;
  if (kernelKills > 0)
    log.warn(
      { sessionId, kernelKills, memoryBytesMax },
      'the kernel ended processes of the session at its memory limit',
    );
  group.kill();
  void group.remove().then((removed) => {
    if (!removed) log.warn({ sessionId, group: group.path }, 'the control group of the session is not empty and stays');
  });
}
