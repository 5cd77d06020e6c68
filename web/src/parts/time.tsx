/** Times on the page: durations that tick while the connection is live, and clock times with the full instant as a title. */
import { useSyncExternalStore } from 'react';
import { isoInstant } from '../../../src/base/clock.ts';
import { useLive } from '../live/store.tsx';

/** One timer for the whole page, running while something shows a duration. */
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let now = Date.now();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

export const useNow = (): number => useSyncExternalStore(subscribe, () => now);

/** `4s`, `12m 05s`, `3h 20m`, `2d 4h`; whole seconds, so that a wall of them stays calm. */
export function shortDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${two(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h ${two(minutes % 60)}m` : `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

const two = (value: number): string => String(value).padStart(2, '0');

export function clockTime(at: number): string {
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The day is added when it is not today's. */
export function dayTime(at: number, today: number): string {
  const date = new Date(at);
  if (date.toDateString() === new Date(today).toDateString()) return clockTime(at);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clockTime(at)}`;
}

/** Stands still while the connection is lost: how long something has gone on is not known then. */
export function Ago({ at }: { readonly at: number }) {
  const now = useNow();
  const heardAt = useLive((state) => (state.connection.kind === 'live' ? null : state.heardAt));
  const current = heardAt ?? now;
  return (
    <time className="time" dateTime={isoInstant(at)} title={isoInstant(at)}>
      {shortDuration(current - at)}
    </time>
  );
}

export function At({ at }: { readonly at: number }) {
  return (
    <time className="time" dateTime={isoInstant(at)} title={isoInstant(at)}>
      {dayTime(at, Date.now())}
    </time>
  );
}
