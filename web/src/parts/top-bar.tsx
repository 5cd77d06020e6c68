import { useState } from 'react';
import { useLive } from '../live/store.tsx';
import { Link, type Route } from './router.tsx';
import { applyTheme, nextTheme, rememberedTheme } from './theme.ts';

const themeSigns = { system: '◐', light: '☀', dark: '☾' } as const;

export function TopBar({ route, onHelp }: { readonly route: Route; readonly onHelp: () => void }) {
  const [theme, setTheme] = useState(rememberedTheme);
  const fleet = route.kind === 'fleet' || route.kind === 'session';
  return (
    <header className="top">
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <Link to="/" className="brand" label="Muster, to the fleet">
        <img src="/favicon.svg" alt="" width="22" height="22" />
        <span>Muster</span>
      </Link>
      <nav aria-label="Pages">
        <Link to="/" current={fleet}>
          Fleet
        </Link>
        <Link to="/jobs" current={route.kind === 'jobs' || route.kind === 'job'}>
          Jobs
        </Link>
      </nav>
      <span className="top-space" />
      <ConnectionSign />
      <button
        type="button"
        className="button icon"
        aria-label={`Colours: ${theme}. Change`}
        title={`Colours: ${theme}`}
        onClick={() => {
          const next = nextTheme(theme);
          applyTheme(next);
          setTheme(next);
        }}
      >
        {themeSigns[theme]}
      </button>
      <button type="button" className="button icon" aria-label="Keys" title="Keys (?)" onClick={onHelp}>
        ?
      </button>
    </header>
  );
}

const words = {
  connecting: 'connecting',
  live: 'live',
  lost: 'connection lost',
  unauthorized: 'not logged in',
} as const;

function ConnectionSign() {
  const kind = useLive((state) => state.connection.kind);
  const version = useLive((state) => state.version);
  return (
    <span
      className="connection"
      data-testid="connection"
      data-kind={kind}
      title={version === null ? undefined : `daemon ${version}`}
    >
      <span className="connection-dot" aria-hidden="true" />
      {words[kind]}
    </span>
  );
}
