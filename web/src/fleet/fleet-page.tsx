/** The wall: a tile per session. All tiles are children of one grid, so that a session that changes its section keeps its terminal. */
import { useMemo, useState } from 'react';
import type { SessionView } from '../../../src/protocol/session.ts';
import { useJobsBySession } from '../jobs/by-session.ts';
import { Totals } from '../jobs/totals.tsx';
import { useLive } from '../live/store.tsx';
import { useKeys } from '../parts/keys.tsx';
import { answerFocused } from '../session/permission.tsx';
import { arrange } from './order.ts';
import { Tile } from './tile.tsx';

/** Ended sessions shown before somebody asks for more: one screen of them. */
const endedShown = 6;

export function FleetPage() {
  const sessions = useLive((state) => state.sessions);
  const wall = useMemo(() => arrange(sessions.values()), [sessions]);
  const [allEnded, setAllEnded] = useState(false);
  const jobs = useJobsBySession();
  useKeys([
    { keys: 'A', what: 'allow what the session asks', run: () => answerFocused('allow') },
    { keys: 'D', what: 'deny what the session asks', run: () => answerFocused('deny') },
  ]);
  if (sessions.size === 0) return <NoSessions />;
  const ended = allEnded ? wall.ended : wall.ended.slice(0, endedShown);
  const tiles = (list: readonly SessionView[]) =>
    list.map((session) => <Tile key={session.id} session={session} jobId={jobs.get(session.id) ?? null} />);
  return (
    <>
      <Summary waiting={wall.waiting.length} running={wall.running.length} ended={wall.ended.length} />
      <div className="wall" data-testid="wall">
        {wall.waiting.length > 0 && (
          <h2 key="waiting" className="wall-head tone-person">
            Needs you <span className="count">{wall.waiting.length}</span>
          </h2>
        )}
        {tiles(wall.waiting)}
        {wall.running.length > 0 && (
          <h2 key="running" className="wall-head">
            Running <span className="count">{wall.running.length}</span>
          </h2>
        )}
        {tiles(wall.running)}
        {wall.ended.length > 0 && (
          <h2 key="ended" className="wall-head">
            Ended <span className="count">{wall.ended.length}</span>
          </h2>
        )}
        {tiles(ended)}
        {wall.ended.length > ended.length && (
          <button key="more" type="button" className="button wall-more" onClick={() => setAllEnded(true)}>
            Show {wall.ended.length - ended.length} more that ended
          </button>
        )}
      </div>
    </>
  );
}

function Summary({ waiting, running, ended }: { waiting: number; running: number; ended: number }) {
  return (
    <div className="page-head">
      <h1>Fleet</h1>
      <p className="soft" data-testid="fleet-summary">
        {waiting + running + ended === 1 ? '1 session' : `${waiting + running + ended} sessions`}: {waiting} waiting for
        you, {running} running, {ended} ended
      </p>
      <Totals compact />
    </div>
  );
}

function NoSessions() {
  return (
    <section className="empty" data-testid="empty">
      <h1>No sessions yet</h1>
      <p>A session starts when a job is handed in. In a terminal, inside a git repository:</p>
      <pre className="command">muster run "Fix the failing test in src/parse" --verify "npm test"</pre>
      <p className="soft">
        It appears here with its live terminal. <code>muster doctor</code> says which agents are installed.
      </p>
    </section>
  );
}
