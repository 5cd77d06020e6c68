/**
 * When a changed screen is told: at most every `intervalMs`, only if something on it changed, not while the program is in the middle of a
 * synchronized update (`CSI ? 2026 h` to `l`) unless that lasts longer than `updateMsMax`. The last state is always told in the end.
 */
import type { Screen, TerminalModel } from '../terminal/terminal.ts';

export interface ScreenNotices {
  /** The model has parsed something. */
  readonly changed: () => void;
  /** Tells the screen even if it has not changed since the last time. */
  readonly showAgain: () => void;
  /** Tells what is left to tell, at once; nothing after that. */
  readonly finish: () => void;
}

const intervalMs = 50;
const updateMsMax = 1000;

export function openScreenNotices(terminal: TerminalModel, tell: (screen: Screen) => void): ScreenNotices {
  let last: Screen | undefined;
  let lastAt = 0;
  let dirtySince: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  let finished = false;

  const show = (): void => {
    const screen = terminal.screen();
    dirtySince = undefined;
    lastAt = performance.now();
    if (last !== undefined && sameScreen(last, screen)) return;
    last = screen;
    tell(screen);
  };
  const look = (): void => {
    timer = undefined;
    const waited = performance.now() - (dirtySince ?? 0);
    if (terminal.inSynchronizedUpdate() && waited < updateMsMax) timer = setTimeout(look, intervalMs);
    else show();
  };
  const changed = (): void => {
    if (finished) return;
    dirtySince ??= performance.now();
    timer ??= setTimeout(look, Math.max(0, lastAt + intervalMs - performance.now()));
  };
  return {
    changed,
    showAgain: () => {
      last = undefined;
      changed();
    },
    finish: () => {
      if (finished) return;
      finished = true;
      clearTimeout(timer);
      show();
    },
  };
}

function sameScreen(one: Screen, other: Screen): boolean {
  return (
    one.cursor.x === other.cursor.x &&
    one.cursor.y === other.cursor.y &&
    one.alternate === other.alternate &&
    one.rows.length === other.rows.length &&
    one.rows.every((row, index) => row === other.rows[index])
  );
}
