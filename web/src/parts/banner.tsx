/** Says when what is on the page may no longer be so, and since when. Present on every page, above everything. */
import { useLive, useStore } from '../live/store.tsx';
import { clockTime, shortDuration, useNow } from './time.tsx';

export function ConnectionBanner() {
  const connection = useLive((state) => state.connection);
  const heardAt = useLive((state) => state.heardAt);
  const host = useLive((state) => state.hostConnected);
  const unreadable = useLive((state) => state.unreadable);
  if (connection.kind === 'lost') return <Lost heardAt={heardAt} retryAt={connection.retryAt} />;
  if (connection.kind === 'live' && !host) {
    return (
      <Banner tone="bad">
        The daemon has lost the process that holds the terminals. Sessions are shown as they were;{' '}
        <code>muster doctor</code> says more.
      </Banner>
    );
  }
  if (connection.kind === 'live' && unreadable > 0) {
    return (
      <Banner tone="warn">
        {unreadable} {unreadable === 1 ? 'message' : 'messages'} of the daemon could not be read. Reload the page: it
        and the daemon are of different versions.
      </Banner>
    );
  }
  return null;
}

function Lost({ heardAt, retryAt }: { readonly heardAt: number | null; readonly retryAt: number }) {
  const { feed } = useStore();
  const now = useNow();
  const wait = retryAt - now;
  return (
    <Banner tone="bad">
      <strong>Connection lost</strong>
      {heardAt === null
        ? ', the daemon does not answer. '
        : `, showing what was true at ${clockTime(heardAt)}. Whether it still is, is not known. `}
      <span className="soft">{wait > 1_000 ? `Next try in ${shortDuration(wait)}.` : 'Trying again…'}</span>{' '}
      <button type="button" className="button small" onClick={feed.wake}>
        Try now
      </button>
      <span className="soft">
        {' '}
        <code>muster up</code> starts the daemon; sessions live on without it.
      </span>
    </Banner>
  );
}

function Banner({ tone, children }: { readonly tone: 'bad' | 'warn'; readonly children: React.ReactNode }) {
  return (
    <div className={`banner tone-${tone}`} role="alert" data-testid="banner">
      {children}
    </div>
  );
}
