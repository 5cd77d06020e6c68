import { useState } from 'react';
import type { JobView } from '../../../src/protocol/job.ts';
import { useStale } from '../live/store.tsx';
import { useAction } from '../parts/action.ts';
import { Confirm } from '../parts/confirm.tsx';
import { NoticeLine } from '../parts/notice.tsx';
import { Link, sessionPath } from '../parts/router.tsx';

/** Cancel while it is open, retry once it has ended without success, and the way to its session. */
export function JobControls({ job, onChange }: { readonly job: JobView; readonly onChange: () => void }) {
  const { busy, notice, run } = useAction();
  const [asking, setAsking] = useState(false);
  const stale = useStale();
  const open = job.state === 'queued' || job.state === 'running';
  const again = job.state === 'failed' || job.state === 'unknown' || job.state === 'cancelled';
  const cancel = (): void =>
    void run(
      (api) => api.call('cancelJob', { id: job.id }),
      ({ job: after }) => {
        onChange();
        return { tone: 'good', text: after.state === 'cancelled' ? 'cancelled' : 'cancel requested' };
      },
    );
  const retry = (): void =>
    void run(
      (api) => api.call('retryJob', { id: job.id }),
      ({ job: after }) => {
        onChange();
        return { tone: 'good', text: `a new attempt: ${after.state}` };
      },
    );
  return (
    <div className="row controls" data-testid="job-controls">
      {job.sessionId !== null && (
        <Link to={sessionPath(job.sessionId)} className="button primary" stop testId="to-session">
          Open session {job.sessionId}
        </Link>
      )}
      <span className="top-space" />
      <NoticeLine notice={notice} />
      {again && (
        <button type="button" className="button" disabled={busy || stale} onClick={retry}>
          Retry
        </button>
      )}
      {open && (
        <button
          type="button"
          className="button danger"
          disabled={busy || stale || job.cancelRequested}
          onClick={() => setAsking(true)}
        >
          {job.cancelRequested ? 'Cancel requested' : 'Cancel…'}
        </button>
      )}
      {asking && (
        <Confirm
          title={`Cancel job ${job.id}?`}
          text="Its session is stopped. What it has changed so far is kept as a commit, but is not put on its branch."
          yes="Cancel the job"
          onYes={cancel}
          onClose={() => setAsking(false)}
        />
      )}
    </div>
  );
}
