/** The page's addresses over the history API: `/`, `/sessions/:id`, `/jobs`, `/jobs/:id`. The server answers each with the same page. */
import { type MouseEvent, type ReactNode, useSyncExternalStore } from 'react';

export type Route =
  | { readonly kind: 'fleet' }
  | { readonly kind: 'session'; readonly id: string }
  | { readonly kind: 'jobs'; readonly query: URLSearchParams }
  | { readonly kind: 'job'; readonly id: string }
  | { readonly kind: 'nowhere'; readonly path: string };

export function routeOf(path: string, search: string): Route {
  const [room, id, more] = path.split('/').filter((part) => part !== '');
  if (more !== undefined) return { kind: 'nowhere', path };
  if (room === undefined) return { kind: 'fleet' };
  if (room === 'jobs')
    return id === undefined ? { kind: 'jobs', query: new URLSearchParams(search) } : { kind: 'job', id: decode(id) };
  if (room === 'sessions') return id === undefined ? { kind: 'fleet' } : { kind: 'session', id: decode(id) };
  return { kind: 'nowhere', path };
}

/** A broken escape is looked up as it stands, and not found. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const sessionPath = (id: string): string => `/sessions/${encodeURIComponent(id)}`;
export const jobPath = (id: string): string => `/jobs/${encodeURIComponent(id)}`;

const moved = 'muster:moved';

export function go(path: string): void {
  if (path === location.pathname + location.search) return;
  history.pushState(null, '', path);
  window.dispatchEvent(new Event(moved));
  window.scrollTo(0, 0);
}

function subscribe(listener: () => void): () => void {
  window.addEventListener('popstate', listener);
  window.addEventListener(moved, listener);
  return () => {
    window.removeEventListener('popstate', listener);
    window.removeEventListener(moved, listener);
  };
}

export function useRoute(): Route {
  const address = useSyncExternalStore(subscribe, () => location.pathname + location.search);
  const [path = '/', search = ''] = address.split('?', 2);
  return routeOf(path, search);
}

export interface LinkProps {
  readonly to: string;
  readonly children: ReactNode;
  readonly className?: string;
  readonly label?: string;
  readonly current?: boolean;
  /** Reached with j and k. */
  readonly stop?: boolean;
  readonly testId?: string;
}

export function Link({ to, children, className, label, current, stop, testId }: LinkProps) {
  const follow = (event: MouseEvent): void => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a
      href={to}
      onClick={follow}
      className={className}
      aria-label={label}
      aria-current={current === true ? 'page' : undefined}
      data-stop={stop === true ? '' : undefined}
      data-testid={testId}
    >
      {children}
    </a>
  );
}
