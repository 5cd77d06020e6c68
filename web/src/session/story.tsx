/** The chain of states of a session, newest first, each with the evidence that made it. Asked again whenever the state changes. */
import type { SessionView, StateChange } from '../../../src/protocol/session.ts';
import { describeFailure } from '../live/api.ts';
import { useQuery } from '../live/store.tsx';
import { Line } from '../parts/text.tsx';
import { clockTime, dayTime, shortDuration } from '../parts/time.tsx';
import { sessionFaces } from '../parts/tones.ts';
import { reasonAfter } from './facts.tsx';

/** Enough to see how it came here; `muster why` prints all of it. */
const changesShown = 100;

export function Story({ session }: { readonly session: SessionView }) {
  const why = useQuery(`why ${session.id}`, `${session.state} ${session.since}`, (api) =>
    api.call('whySession', { id: session.id }),
  );
  if (why.value === null)
    return <p className="soft">{why.failure === null ? 'Asking…' : describeFailure(why.failure)}</p>;
  const changes = [...why.value.changes].reverse();
  if (changes.length === 0) return <p className="soft">No change of state yet.</p>;
  return (
    <>
      <ol className="story" data-testid="story">
        {changes.slice(0, changesShown).map((change, index) => (
          <Change
            key={`${change.at} ${change.to} ${changes.length - index}`}
            change={change}
            next={changes[index - 1]}
          />
        ))}
      </ol>
      {changes.length > changesShown && (
        <p className="soft">
          {changes.length - changesShown} earlier ones: <code>muster why {session.id}</code>
        </p>
      )}
    </>
  );
}

function Change({ change, next }: { readonly change: StateChange; readonly next: StateChange | undefined }) {
  const face = sessionFaces[change.to];
  return (
    <li className={`tone-${face.tone}`}>
      <time className="time" dateTime={new Date(change.at).toISOString()} title={dayTime(change.at, 0)}>
        {clockTime(change.at)}
      </time>
      <span className="story-state">
        {face.word}
        {next !== undefined && <span className="soft"> for {shortDuration(next.at - change.at)}</span>}
      </span>
      <span className="evidence">
        <span className="source">{change.evidence.source}</span>{' '}
        <Line text={reasonAfter(change.evidence.source, change.evidence.reason)} />
      </span>
    </li>
  );
}
