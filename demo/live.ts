/**
 * The demo's output. On a terminal: a region at the bottom that is drawn in place, and notes that scroll up above it. Anywhere else (a
 * file, a pipe, CI): plain lines, appended when something changes.
 *
 * Invariants: after `close` the cursor is visible and stands below everything; a region is never taller than the terminal.
 */
import { isoInstant } from '../src/base/clock.ts';
import { oneLine } from '../src/base/text.ts';
import { type Paint, painter, wantsColour } from '../src/cli/render/style.ts';
import { boardLines, isEnded, type Row, stateOf } from './board.ts';

export interface Live {
  readonly paint: Paint;
  /** A line that stays. */
  readonly note: (text: string) => void;
  /** From now on the rows are shown, until `close`. */
  readonly show: (rows: readonly Row[]) => void;
  readonly close: () => void;
}

/** Often enough for a clock that counts tenths, seldom enough to cost nothing. */
const drawEveryMs = 200;
const widthWithoutTerminal = 120;
/** A streaming answer must not fill a log: its screen is printed at most this often, a new state always. */
const screenLineEveryMs = 1000;

export function openLive(output: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Live {
  const paint = painter(wantsColour(output, env));
  const isTerminal = output.isTTY === true && env.TERM !== 'dumb';
  return isTerminal ? openRegion(output, paint) : openLines(output, paint);
}

const hideCursor = '\u001b[?25l';
const showCursor = '\u001b[?25h';
const clearBelow = '\u001b[0J';

function openRegion(output: NodeJS.WriteStream, paint: Paint): Live {
  let rows: readonly Row[] = [];
  let height = 0;
  let drawn = '';
  const erase = () => (height === 0 ? '' : `\u001b[${height}A\r${clearBelow}`);
  const draw = () => {
    const width = Math.max(20, output.columns - 1);
    const lines = boardLines(rows, { width, paint, now: Date.now() }).slice(0, Math.max(1, output.rows - 2));
    const text = lines.map((line) => `${line}\n`).join('');
    if (text === drawn) return;
    output.write(erase() + text);
    [height, drawn] = [lines.length, text];
  };
  const timer = setInterval(() => {
    if (rows.length > 0) draw();
  }, drawEveryMs);
  /** Lines of another width have wrapped: how many there are is not known any more, so a new region begins. */
  const resized = () => {
    [height, drawn] = [0, ''];
    output.write('\u001b[2J\u001b[H');
  };
  output.on('resize', resized);
  output.write(hideCursor);
  const restore = () => output.write(showCursor);
  process.once('exit', restore);
  return {
    paint,
    note: (text) => {
      output.write(`${erase()}${text}\n`);
      [height, drawn] = [0, ''];
      if (rows.length > 0) draw();
    },
    show: (shown) => {
      rows = shown;
    },
    close: () => {
      clearInterval(timer);
      output.off('resize', resized);
      if (rows.length > 0) draw();
      rows = [];
      [height, drawn] = [0, ''];
      process.off('exit', restore);
      restore();
    },
  };
}

function openLines(output: NodeJS.WriteStream, paint: Paint): Live {
  const last = new Map<string, { readonly state: string; readonly line: string; readonly at: number }>();
  let rows: readonly Row[] = [];
  const print = (text: string) => void output.write(`${text}\n`);
  const look = () => {
    const now = Date.now();
    for (const { job, state, line } of rows.flatMap(plainLine)) {
      const before = last.get(job.id);
      const isFresh = before?.state !== state || (before.line !== line && now - before.at > screenLineEveryMs);
      if (!isFresh) continue;
      last.set(job.id, { state, line, at: now });
      print(`${isoInstant(now).slice(11, 19)}  ${job.id.padEnd(8)}  ${line}`);
    }
  };
  const timer = setInterval(look, drawEveryMs);
  return {
    paint,
    note: print,
    show: (shown) => {
      rows = shown;
      look();
    },
    close: () => {
      clearInterval(timer);
      look();
      rows = [];
    },
  };
}

/** State and evidence, and beside them what the screen says. */
function plainLine(row: Row): readonly { readonly job: Row['job']; readonly state: string; readonly line: string }[] {
  if (!row.view) return [];
  const { word } = stateOf(row);
  if (isEnded(row)) return [{ job: row.job, state: word, line: word }];
  const because = row.session ? `${row.session.reason} (${row.session.source})` : (row.events.at(-1)?.type ?? '');
  const state = `${word.padEnd(11)} ${because}`;
  return [
    { job: row.job, state, line: oneLine(row.screen ? `${state}  | ${row.screen}` : state, widthWithoutTerminal) },
  ];
}
