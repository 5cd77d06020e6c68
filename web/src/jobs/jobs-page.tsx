/** The jobs, newest first, by state and page. The address holds both, so that a view can be kept and sent. */
import { type JobState, type JobView, jobStateSchema } from '../../../src/protocol/job.ts';
import { describeFailure } from '../live/api.ts';
import { useLive, useQuery } from '../live/store.tsx';
import { JobBadge } from '../parts/badge.tsx';
import { useKeys } from '../parts/keys.tsx';
import { go, jobPath, Link } from '../parts/router.tsx';
import { Line } from '../parts/text.tsx';
import { At } from '../parts/time.tsx';
import { summarise } from './summary.ts';
import { Totals } from './totals.tsx';

/** One screen and a half; the daemon gives at most 500. */
const pageSize = 50;

export function JobsPage({ query }: { readonly query: URLSearchParams }) {
  const chosen = jobStateSchema.safeParse(query.get('state'));
  const state = chosen.success ? chosen.data : null;
  const before = query.get('before');
  const revision = useLive((live) => live.jobsSeq);
  const page = useQuery(`jobs ${state ?? ''} ${before ?? ''}`, revision, (api) =>
    api.call('listJobs', { query: { limit: pageSize, state: state ?? undefined, before: before ?? undefined } }),
  );
  const older = page.value?.next ?? null;
  useKeys([{ keys: 'n', what: 'older jobs', run: () => older !== null && go(jobsPath(state, older)) }]);
  const jobs = page.value?.jobs ?? [];
  return (
    <>
      <div className="page-head">
        <h1>Jobs</h1>
        <Totals chosen={state} />
      </div>
      {page.failure !== null && (
        <p className="callout tone-bad" role="alert">
          {describeFailure(page.failure)}
        </p>
      )}
      {page.value !== null &&
        jobs.length === 0 &&
        (before === null ? <NoJobs state={state} /> : <p className="empty">No older jobs.</p>)}
      {jobs.length > 0 && (
        <ol className="jobs" data-testid="jobs">
          {jobs.map((job) => (
            <JobRow key={job.id} job={job} />
          ))}
        </ol>
      )}
      {(before !== null || older !== null) && (
        <nav className="row pager" aria-label="Pages of jobs">
          {before !== null && (
            <Link to={jobsPath(state, null)} className="button">
              Newest
            </Link>
          )}
          {older !== null && (
            <Link to={jobsPath(state, older)} className="button" testId="older">
              Older
            </Link>
          )}
        </nav>
      )}
    </>
  );
}

function jobsPath(state: JobState | null, before: string | null): string {
  const query = new URLSearchParams();
  if (state !== null) query.set('state', state);
  if (before !== null) query.set('before', before);
  return query.size === 0 ? '/jobs' : `/jobs?${query.toString()}`;
}

function JobRow({ job }: { readonly job: JobView }) {
  return (
    <li className="job-row" data-testid="job-row" data-job={job.id}>
      <Link to={jobPath(job.id)} className="job-row-link" stop label={`Job ${job.id}`}>
        <span className="job-id">{job.id}</span>
        <JobBadge state={job.state} />
        <span className="job-text">
          <Line text={job.text} max={240} />
        </span>
        <span className="job-outcome">
          <Line text={summarise(job)} max={160} />
        </span>
        <span className="job-agent">
          <Line text={`${job.agent} · ${job.project}`} max={80} />
        </span>
        <span className="job-branch mono">{job.branch === null ? '' : <Line text={job.branch} max={80} />}</span>
        <span className="job-when">
          <At at={job.endedAt ?? job.submittedAt} />
        </span>
      </Link>
    </li>
  );
}

function NoJobs({ state }: { readonly state: JobState | null }) {
  if (state !== null) {
    return (
      <section className="empty" data-testid="empty">
        <h2>No job is {state}</h2>
        <p>
          <Link to="/jobs">All jobs</Link>
        </p>
      </section>
    );
  }
  return (
    <section className="empty" data-testid="empty">
      <h2>No jobs yet</h2>
      <p>Hand one in from a terminal, inside a git repository:</p>
      <pre className="command">muster run "Fix the failing test in src/parse" --verify "npm test"</pre>
      <p className="soft">
        It is done on a branch of its own; the command after <code>--verify</code> decides in a clean checkout whether
        it counts.
      </p>
    </section>
  );
}
