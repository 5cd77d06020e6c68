/** One session on the wall. The whole tile is one stop of the keyboard; Enter opens its page, A and D answer its permission. */
import { memo } from 'react';
import type { SessionView } from '../../../src/protocol/session.ts';
import { SessionBadge } from '../parts/badge.tsx';
import { go, jobPath, Link, sessionPath } from '../parts/router.tsx';
import { Line } from '../parts/text.tsx';
import { Ago } from '../parts/time.tsx';
import { hasEnded, needsPerson, sessionFaces } from '../parts/tones.ts';
import { AgentName, Evidence, ExitLine, titleOf } from '../session/facts.tsx';
import { PermissionAsk } from '../session/permission.tsx';
import { TerminalView } from '../terminal/terminal-view.tsx';

export interface TileProps {
  readonly session: SessionView;
  readonly jobId: string | null;
}

export const Tile = memo(function Tile({ session, jobId }: TileProps) {
  const ended = hasEnded(session.state);
  return (
    <article
      className={`tile${needsPerson(session.state) ? ' waits' : ''}${ended ? ' ended' : ''}`}
      data-testid="tile"
      data-session={session.id}
      aria-label={`Session ${session.id}`}
    >
      <header className="tile-head">
        <SessionBadge state={session.state} />
        <span className="soft tile-since">
          <Ago at={session.since} />
        </span>
        <Link
          to={sessionPath(session.id)}
          className="tile-id"
          stop
          testId="tile-link"
          label={`Open session ${session.id}`}
        >
          {session.id}
        </Link>
      </header>
      <h3 className="tile-title">
        {jobId !== null && (
          <Link to={jobPath(jobId)} className="job-link">
            {jobId}
          </Link>
        )}
        <Line text={titleOf(session, jobId)} max={160} />
      </h3>
      <button
        type="button"
        className="tile-screen"
        tabIndex={-1}
        aria-label={`Open the terminal of session ${session.id}`}
        onClick={() => go(sessionPath(session.id))}
      >
        <TerminalView
          sessionId={session.id}
          cols={session.cols}
          rows={session.rows}
          mode="view"
          label={`${ended ? 'Last screen' : 'Live terminal'} of session ${session.id}`}
        />
      </button>
      {session.permission !== null && <PermissionAsk sessionId={session.id} ask={session.permission} compact />}
      {session.permission === null && needsPerson(session.state) && (
        <p className="tile-hint">
          {sessionFaces[session.state].meaning} <Link to={sessionPath(session.id)}>Answer in its terminal</Link>
        </p>
      )}
      {session.error !== null && (
        <p className="tile-error">
          {session.error.kind}: <Line text={session.error.message} max={160} />
        </p>
      )}
      <footer className="tile-foot">
        {session.exit === null ? <Evidence session={session} /> : <ExitLine exit={session.exit} />}
        <span className="tile-agent">
          <AgentName session={session} /> ·{' '}
          <Line text={session.kind === 'own' ? session.persona : session.kind} max={40} />
        </span>
      </footer>
    </article>
  );
});
