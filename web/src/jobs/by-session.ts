/** Which job a session works on: sessions don't know it, jobs do. */
import { useMemo } from 'react';
import type { JobView } from '../../../src/protocol/job.ts';
import { useLive, useQuery } from '../live/store.tsx';

/** The longest page that the daemon gives; the job of an older session is not shown. */
const jobsLookedAt = 500;

export function useJobsBySession(): ReadonlyMap<string, string> {
  const revision = useLive((state) => state.jobsSeq);
  const { value } = useQuery('jobs-by-session', revision, (api) =>
    api.call('listJobs', { query: { limit: jobsLookedAt } }),
  );
  return useMemo(() => jobsBySession(value?.jobs ?? []), [value]);
}

/** Session → job, of jobs that come newest first. A pooled session has had several: it is the one that runs, else the newest. */
export function jobsBySession(
  jobs: readonly Pick<JobView, 'id' | 'sessionId' | 'state'>[],
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const running = jobs.filter(({ state }) => state === 'running');
  for (const { id, sessionId } of [...running, ...jobs])
    if (sessionId !== null && !found.has(sessionId)) found.set(sessionId, id);
  return found;
}
