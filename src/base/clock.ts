/** Instants are epoch milliseconds (`...At`), durations are milliseconds (`...Ms`). Time is always handed in, so that tests own it. */
export type Clock = () => number;

export const systemClock: Clock = () => Date.now();

/** `2026-11-20T09:04:55.123Z`, the one form in which instants are shown and exported. */
export const isoInstant = (at: number): string => new Date(at).toISOString();

/** A short human duration: `0.3s`, `12s`, `4m 10s`, `2h 05m`. */
export function formatDuration(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${String(seconds % 60).padStart(2, '0')}s`;
  return `${Math.floor(minutes / 60)}h ${String(minutes % 60).padStart(2, '0')}m`;
}
