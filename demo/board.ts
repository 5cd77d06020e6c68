/** What the demo shows of its jobs while they run: three lines each, made from values only. Everything from outside is cleaned and cut to the width. */
import { formatDuration } from '../src/base/clock.ts';
import { oneLine } from '../src/base/text.ts';
import { outcomeText } from '../src/cli/render/job.ts';
import { type Colour, jobColours, type Paint, sessionColours } from '../src/cli/render/style.ts';
import { fit, pad } from '../src/cli/render/width.ts';
import type { JobView, LedgerEvent } from '../src/protocol/job.ts';
import type { SessionView } from '../src/protocol/session.ts';
import type { ScenarioJob } from './scenario.ts';

/** One job of the scenario and what is known of it; `view` is there once it was submitted. */
export interface Row {
  readonly job: ScenarioJob;
  view: JobView | undefined;
  session: SessionView | undefined;
  /** The last telling line of its terminal. */
  screen: string;
  /** All its events so far, in order. */
  readonly events: LedgerEvent[];
}

export interface Look {
  readonly width: number;
  readonly paint: Paint;
  readonly now: number;
}

/** A line of a terminal is never longer than this, however wide the window is. */
const lineMax = 400;
const stateColumns = 11;

export const isEnded = ({ view }: Row): boolean =>
  view !== undefined && view.state !== 'queued' && view.state !== 'running';

export function boardLines(rows: readonly Row[], look: Look): readonly string[] {
  const titleColumns = Math.max(...rows.map(({ job }) => job.title.length));
  return rows.flatMap((row) => [headLine(row, look, titleColumns).trimEnd(), ...detailLines(row, look), '']);
}

function headLine(row: Row, { width, paint, now }: Look, titleColumns: number): string {
  const { word, colour } = stateOf(row);
  const { view, job } = row;
  const took = view ? formatDuration(Math.max(0, (view.endedAt ?? now) - view.submittedAt)) : '';
  const rest = [took.padEnd(7), view?.id ?? '', view?.branch ?? ''].join('  ').trimEnd();
  const title = pad(job.title, titleColumns);
  const used = titleColumns + stateColumns + 4;
  return `${paint('bold', title)}  ${paint(colour, word.padEnd(stateColumns))}  ${fit(rest, Math.max(0, width - used))}`;
}

export function stateOf({ view, session }: Row): { readonly word: string; readonly colour: Colour } {
  if (!view) return { word: 'waiting', colour: 'dim' };
  if (view.state !== 'running') return { word: view.state, colour: jobColours[view.state] };
  if (!session || session.exit || ['captured', 'verified', 'landed'].includes(view.phase ?? '')) {
    return { word: phaseWords[view.phase ?? ''] ?? view.phase ?? 'running', colour: 'cyan' };
  }
  return { word: session.state, colour: sessionColours[session.state] };
}

/** What is going on where no session tells it. */
const phaseWords: Readonly<Record<string, string>> = {
  claimed: 'preparing',
  prepared: 'starting',
  ended: 'capturing',
  captured: 'verifying',
  verified: 'landing',
  landed: 'finishing',
};

function detailLines(row: Row, { width, paint }: Look): readonly string[] {
  const line = (text: string, colour: Colour) => paint(colour, fit(`  ${oneLine(text, lineMax)}`, width));
  const { view, session, job, screen } = row;
  if (!view) return [line(`comes after: ${job.after.join(', ') || 'the start'}`, 'dim'), ''];
  if (view.outcome)
    return [
      line(outcomeText(view.outcome), 'plain'),
      line(`verified: ${verificationText(row) || 'nothing was asked for'}`, 'dim'),
    ];
  const because = session ? `because: ${session.reason} (${session.source})` : lastEvent(row);
  return [line(because, 'plain'), line(screen ? `screen: ${screen}` : '', 'dim')];
}

const lastEvent = ({ events }: Row): string => events.at(-1)?.type ?? '';

/** What test runners print below the line that tells how it went. */
const countersOnly = /^\W*(?:cancelled|skipped|todo|duration_ms)\b/;

/** How its verify command ended, with the last line that it printed. */
export function verificationText({ view }: Row): string {
  const outcome = view?.outcome;
  const verification = outcome && 'verification' in outcome ? outcome.verification : null;
  if (!verification) return '';
  const tail =
    verification.tail
      .trim()
      .split('\n')
      .findLast((line) => !countersOnly.test(line)) ?? '';
  const took = formatDuration(verification.durationMs);
  return `exit code ${verification.exitCode ?? 'none'} in a clean checkout, after ${took}: ${oneLine(tail, 120)}`;
}

/** Frames of boxes, input lines, footers and greetings, which say nothing about the work. */
const untelling =
  /^[\s│╭╮╰╯─┌┐└┘▀▄█*>]*$|Type your message|YOLO mode|shift\s*\+\s*tab|esc to cancel|\? for shortcuts|context (used|left)|^\s*[>*]\s|Initializing\.\.\.|^\s*Tips: /i;

/** The last line of a terminal that is about the work, without the frame around it. */
export function tellingLine(lines: readonly string[]): string {
  const line = lines.findLast((each) => !untelling.test(each));
  return oneLine((line ?? '').replace(/^[\s│]+|[\s│]+$/g, ''), lineMax);
}
