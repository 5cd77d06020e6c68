/** What is known about one session, in small pieces that the tile and the session's page share. */
import type { SessionExit, SessionView } from '../../../src/protocol/session.ts';
import { jobPath, Link } from '../parts/router.tsx';
import { Line } from '../parts/text.tsx';
import { Ago, At } from '../parts/time.tsx';

export function AgentName({ session }: { readonly session: SessionView }) {
  return (
    <span className="agent">
      <Line text={`${session.agent} ${session.agentVersion}`} max={60} />
      {!session.agentTested && (
        <span
          className="untested"
          title="This version is outside the range that Muster was tested with; its states may be read wrongly."
        >
          untested
        </span>
      )}
    </span>
  );
}

/** What the session is about: without the id of its job, which stands before it, and never empty. */
export function titleOf(session: SessionView, jobId: string | null): string {
  const { title } = session;
  if (title === '') return session.cwd;
  return jobId !== null && title.startsWith(`${jobId} `) ? title.slice(jobId.length + 1) : title;
}

/** Reasons often begin with the name of their source, which stands before them already. */
export const reasonAfter = (source: string, reason: string): string =>
  reason.startsWith(`${source} `) ? reason.slice(source.length + 1) : reason;

/** The source and the words of the evidence that made the state. */
export function Evidence({ session }: { readonly session: SessionView }) {
  return (
    <span className="evidence" data-testid="evidence">
      <span className="source">{session.source}</span>{' '}
      <Line text={reasonAfter(session.source, session.reason)} max={160} />
    </span>
  );
}

export function ExitLine({ exit }: { readonly exit: SessionExit }) {
  const how = exit.signal === null ? `code ${exit.code ?? 'not known'}` : `signal ${exit.signal}`;
  return (
    <span className="evidence" data-testid="exit">
      ended with {how} at <At at={exit.at} />
    </span>
  );
}

export function Facts({ session, jobId }: { readonly session: SessionView; readonly jobId: string | null }) {
  return (
    <dl className="facts">
      <dt>Agent</dt>
      <dd>
        <AgentName session={session} />
      </dd>
      {session.place !== null && (
        <>
          <dt>Adopted from</dt>
          <dd className="mono">
            <Line text={session.place} />
          </dd>
        </>
      )}
      {session.resumes !== undefined && (
        <>
          <dt>Resumed</dt>
          <dd>after the PTY host had died, with its own conversation</dd>
        </>
      )}
      <dt>Persona</dt>
      <dd>
        <Line text={session.persona} max={100} />
        {session.personaVersion !== null && <span className="mono"> {session.personaVersion.slice(0, 8)}</span>}
      </dd>
      {session.unkeptRules.length > 0 && (
        <>
          <dt>Rules not kept</dt>
          <dd>
            {session.unkeptRules.map(({ rule, reason }) => (
              <div key={rule}>
                <Line text={`${rule}: ${reason}`} max={300} />
              </div>
            ))}
          </dd>
        </>
      )}
      {jobId !== null && (
        <>
          <dt>Job</dt>
          <dd>
            <Link to={jobPath(jobId)}>{jobId}</Link>
          </dd>
        </>
      )}
      <dt>Folder</dt>
      <dd className="mono">
        <Line text={session.cwd} />
      </dd>
      <dt>Started</dt>
      <dd>
        <At at={session.startedAt} /> <span className="soft">({<Ago at={session.startedAt} />} ago)</span>
      </dd>
      <dt>Last output</dt>
      <dd>{session.lastOutputAt === null ? 'none yet' : <At at={session.lastOutputAt} />}</dd>
      <dt>Memory</dt>
      <dd>{session.memoryBytes === null ? 'not measured' : megabytes(session.memoryBytes)}</dd>
      <dt>Turns, tool calls</dt>
      <dd>
        {session.turns}, {session.toolCalls}
      </dd>
      <dt>Process</dt>
      <dd>{session.pid ?? 'none'}</dd>
      <dt>Resume id</dt>
      <dd className="mono">{session.resumeId === null ? 'not known' : <Line text={session.resumeId} />}</dd>
      <dt>Size</dt>
      <dd>
        {session.cols} × {session.rows}
      </dd>
    </dl>
  );
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MB`;
