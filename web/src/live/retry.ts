/** Waiting between attempts to reach the daemon. It is tried for as long as the page is open; only the rate is limited. */

/** A restarted daemon is back within a second, so the first try comes soon. */
export const retryFirstMs = 250;
/** Sixty tabs that try every five seconds do not disturb a daemon. */
export const retryMaxMs = 5_000;

/** How long to wait before attempt number `attempt` (from 0), between half and all of the doubled time. `chance` is in [0, 1). */
export function retryDelayMs(attempt: number, chance: number): number {
  const full = Math.min(retryMaxMs, retryFirstMs * 2 ** Math.min(attempt, 10));
  return Math.round(full * (0.5 + chance / 2));
}
