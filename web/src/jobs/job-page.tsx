/** One job: what was asked, how each attempt went, how it ended and on what evidence, and every event of it. */
import type { JobDetail } from '../../../src/protocol/api.ts';
import type { JobView } from '../../../src/protocol/job.ts';
import { describeFailure } from '../live/api.ts';
import { useLive, useQuery } from '../live/store.tsx';
import { JobBadge } from '../parts/badge.tsx';
import { Block, Line } from '../parts/text.tsx';
import { At } from '../parts/time.tsx';
import { Attempts } from './attempts.tsx';
import { JobControls } from './job-controls.tsx';
import { OutcomePart } from './outcome.tsx';
import { summarise } from './summary.ts';
import { Timeline } from './timeline.tsx';

export function JobPage({ id }: { readonly id: string }) {
  const revision = useLive((state) => state.jobSeq.get(id) ?? 0);
  const asked = useQuery(`job ${id}`, revision, (api) => api.call('showJob', { id }));
  if (asked.value !== null) return <Job detail={asked.value} revision={revision} onChange={asked.refresh} />;
  return (
    <section className="empty" data-testid="no-job">
      <h1>{asked.failure === null ? 'Asking…' : 'No job to show'}</h1>
      {asked.failure !== null && <p>{describeFailure(asked.failure)}</p>}
    </section>
  );
}

interface JobProps {
  readonly detail: JobDetail;
  readonly revision: number;
  readonly onChange: () => void;
}

function Job({ detail: { job, attempts }, revision, onChange }: JobProps) {
  return (
    <article className="job" data-testid="job-page" data-job={job.id}>
      <div className="page-head">
        <h1>
          <span className="job-id">{job.id}</span> <Line text={firstLine(job.text)} max={140} />
        </h1>
        <JobBadge state={job.state} />
        <span className="soft">
          <Line text={summarise(job)} max={200} />
        </span>
      </div>
      <JobControls job={job} onChange={onChange} />
      <div className="columns">
        <div>
          <section aria-labelledby="text-head">
            <h2 id="text-head">What was asked</h2>
            <Block text={job.text} label="Text of the job" />
          </section>
          {job.outcome !== null && <OutcomePart outcome={job.outcome} />}
          <Attempts attempts={attempts} />
        </div>
        <div>
          <section aria-labelledby="facts-head">
            <h2 id="facts-head">Facts</h2>
            <JobFacts job={job} />
          </section>
          <Timeline jobId={job.id} revision={revision} />
        </div>
      </div>
    </article>
  );
}

const firstLine = (text: string): string => text.trim().split('\n', 1)[0] ?? '';

function JobFacts({ job }: { readonly job: JobView }) {
  return (
    <dl className="facts">
      <dt>Project</dt>
      <dd>
        <Line text={job.project} /> <span className="soft mono">{<Line text={job.projectPath} />}</span>
      </dd>
      <dt>Agent, persona</dt>
      <dd>
        <Line text={`${job.agent}, ${job.persona}`} />
      </dd>
      <dt>Verified by</dt>
      <dd className="mono">
        {job.verify === null ? <span className="soft">no command</span> : <Line text={job.verify} />}
      </dd>
      <dt>Branch</dt>
      <dd className="mono">
        {job.branch === null ? <span className="soft">not yet</span> : <Line text={job.branch} />}
      </dd>
      <dt>Started from</dt>
      <dd className="mono">
        <Line text={`${job.baseRef} ${job.baseCommit.slice(0, 12)}`} />
      </dd>
      <dt>Handed in</dt>
      <dd>
        <At at={job.submittedAt} /> by <Line text={job.submittedBy} />
      </dd>
      {job.endedAt !== null && (
        <>
          <dt>Ended</dt>
          <dd>
            <At at={job.endedAt} />
          </dd>
        </>
      )}
    </dl>
  );
}
