/** One session: its terminal in full, what can be done to it, and the story of its states. */
import { useState } from 'react';
import type { SessionView } from '../../../src/protocol/session.ts';
import { useJobsBySession } from '../jobs/by-session.ts';
import { describeFailure } from '../live/api.ts';
import { useLive, useQuery } from '../live/store.tsx';
import type { TerminalMode } from '../live/terminal-link.ts';
import { SessionBadge } from '../parts/badge.tsx';
import { useKeys } from '../parts/keys.tsx';
import { jobPath, Link } from '../parts/router.tsx';
import { Line } from '../parts/text.tsx';
import { Ago } from '../parts/time.tsx';
import { hasEnded } from '../parts/tones.ts';
import { TerminalView } from '../terminal/terminal-view.tsx';
import { Controls } from './controls.tsx';
import { Evidence, ExitLine, Facts, titleOf } from './facts.tsx';
import { answerFocused, PermissionAsk } from './permission.tsx';
import { SendText } from './send-text.tsx';
import { Story } from './story.tsx';

export function SessionPage({ id }: { readonly id: string }) {
  const live = useLive((state) => state.sessions.get(id));
  // A session that the feed no longer carries is still known to the ledger.
  const asked = useQuery(`session ${id}`, live === undefined ? 'absent' : 'present', (api) =>
    api.call('showSession', { id }),
  );
  const session = live ?? asked.value?.session;
  if (session !== undefined) return <Session session={session} />;
  return (
    <section className="empty" data-testid="no-session">
      <h1>{asked.loading ? 'Asking…' : 'No such session'}</h1>
      {asked.failure !== null && <p>{describeFailure(asked.failure)}</p>}
    </section>
  );
}

function Session({ session }: { readonly session: SessionView }) {
  const [mode, setMode] = useState<TerminalMode>('view');
  const [refusal, setRefusal] = useState<string | null>(null);
  const ended = hasEnded(session.state);
  const shown = ended ? 'view' : mode;
  const jobId = useJobsBySession().get(session.id) ?? null;
  const switchMode = (next: TerminalMode): void => {
    setRefusal(null);
    setMode(next);
  };
  useKeys([
    {
      keys: 'c',
      what: 'take control of the terminal',
      run: () => !ended && session.kind === 'own' && switchMode('control'),
    },
    { keys: 'A', what: 'allow what is asked', run: () => answerFocused('allow') },
    { keys: 'D', what: 'deny what is asked', run: () => answerFocused('deny') },
  ]);
  return (
    <article className="session" data-testid="session-page" data-session={session.id}>
      <div className="page-head">
        <h1>
          {jobId !== null && (
            <Link to={jobPath(jobId)} className="job-link">
              {jobId}
            </Link>
          )}{' '}
          <Line text={titleOf(session, jobId)} max={160} />
        </h1>
        <SessionBadge state={session.state} />
        <span className="soft">
          since <Ago at={session.since} />
        </span>
        {session.exit === null ? <Evidence session={session} /> : <ExitLine exit={session.exit} />}
      </div>
      {session.permission !== null && <PermissionAsk sessionId={session.id} ask={session.permission} />}
      {session.error !== null && (
        <p className="callout tone-bad" role="status">
          {session.error.kind}
          {session.error.http !== undefined && ` (HTTP ${session.error.http})`}:{' '}
          <Line text={session.error.message} max={500} />
        </p>
      )}
      <Controls session={session} mode={shown} onMode={switchMode} />
      {refusal !== null && (
        <p className="callout tone-warn" role="alert">
          The session took nothing of that: <Line text={refusal} />
        </p>
      )}
      <div className={`session-screen${shown === 'control' ? ' controlled' : ''}`}>
        <TerminalView
          key={shown}
          sessionId={session.id}
          cols={session.cols}
          rows={session.rows}
          mode={shown}
          large
          label={`Terminal of session ${session.id}`}
          onLeave={() => switchMode('view')}
          onRefused={setRefusal}
        />
      </div>
      {!ended && <SendText sessionId={session.id} />}
      <div className="columns">
        <section aria-labelledby="story-head">
          <h2 id="story-head">How it came to this state</h2>
          <Story session={session} />
        </section>
        <section aria-labelledby="facts-head">
          <h2 id="facts-head">Facts</h2>
          <Facts session={session} jobId={jobId} />
        </section>
      </div>
    </article>
  );
}
