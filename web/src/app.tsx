/** The frame of every page: top bar, the banner about the connection, the page of this address, and the keys that work everywhere. */
import { useEffect, useState } from 'react';
import { unreachable } from '../../src/base/assert.ts';
import { FleetPage } from './fleet/fleet-page.tsx';
import { JobPage } from './jobs/job-page.tsx';
import { JobsPage } from './jobs/jobs-page.tsx';
import { useLive, useStale } from './live/store.tsx';
import { ConnectionBanner } from './parts/banner.tsx';
import { Help } from './parts/help.tsx';
import { moveStop, useKeys } from './parts/keys.tsx';
import { LoggedOut } from './parts/logged-out.tsx';
import { go, type Route, useRoute } from './parts/router.tsx';
import { needsPerson, sessionFaces } from './parts/tones.ts';
import { TopBar } from './parts/top-bar.tsx';
import { SessionPage } from './session/session-page.tsx';

export function App() {
  const route = useRoute();
  const stale = useStale();
  const connection = useLive((state) => state.connection);
  const known = useLive((state) => state.heardAt !== null);
  const [help, setHelp] = useState(false);
  useTitle(route);
  useKeys([
    { keys: '?', what: 'this list', run: () => setHelp(true) },
    { keys: 'g f', what: 'go to the fleet', run: () => go('/') },
    { keys: 'g j', what: 'go to the jobs', run: () => go('/jobs') },
    { keys: 'j', what: 'next', run: () => moveStop('next') },
    { keys: 'k', what: 'previous', run: () => moveStop('previous') },
    { keys: 'ArrowRight', what: 'next', run: () => moveStop('next') },
    { keys: 'ArrowLeft', what: 'previous', run: () => moveStop('previous') },
    { keys: 'ArrowDown', what: 'the one below', run: () => moveStop('down') },
    { keys: 'ArrowUp', what: 'the one above', run: () => moveStop('up') },
    { keys: 'Escape', what: 'one level up', run: () => go(parentOf(route)) },
  ]);
  return (
    <div className="app" data-stale={stale ? '' : undefined} data-connection={connection.kind}>
      <TopBar route={route} onHelp={() => setHelp(true)} />
      <ConnectionBanner />
      <main id="main">
        {connection.kind === 'unauthorized' && <LoggedOut />}
        {connection.kind !== 'unauthorized' && (known ? <Page route={route} /> : <FirstContact />)}
      </main>
      {help && <Help onClose={() => setHelp(false)} />}
    </div>
  );
}

function Page({ route }: { readonly route: Route }) {
  switch (route.kind) {
    case 'fleet':
      return <FleetPage />;
    case 'session':
      return <SessionPage key={route.id} id={route.id} />;
    case 'jobs':
      return <JobsPage query={route.query} />;
    case 'job':
      return <JobPage key={route.id} id={route.id} />;
    case 'nowhere':
      return (
        <section className="empty">
          <h1>No such page</h1>
          <p>
            <code>{route.path}</code> is not an address of this page. <kbd>g</kbd> <kbd>f</kbd> goes to the fleet.
          </p>
        </section>
      );
    default:
      return unreachable(route);
  }
}

function FirstContact() {
  return (
    <section className="empty" role="status">
      <p>Asking the daemon…</p>
    </section>
  );
}

function parentOf(route: Route): string {
  return route.kind === 'job' ? '/jobs' : '/';
}

/** The tab says how many sessions wait for a person, so that it can stay in the background. */
function useTitle(route: Route): void {
  const waiting = useLive((state) => countWaiting(state.sessions));
  const stale = useStale();
  const place = { fleet: 'Fleet', jobs: 'Jobs', nowhere: 'Not found' } as const;
  const name = route.kind === 'session' || route.kind === 'job' ? route.id : place[route.kind];
  useEffect(() => {
    const mark = stale ? '(?) ' : waiting > 0 ? `(${waiting}!) ` : '';
    document.title = `${mark}${name} · Muster`;
  }, [name, waiting, stale]);
}

function countWaiting(sessions: ReadonlyMap<string, { readonly state: keyof typeof sessionFaces }>): number {
  let count = 0;
  for (const session of sessions.values()) if (needsPerson(session.state)) count += 1;
  return count;
}
