/** Jobs, their outcomes and events as lines. Texts come from people and agents: they are cleaned before they reach the terminal. */
import { formatDuration } from '../../base/clock.ts';
import { oneLine } from '../../base/text.ts';
import type { AttemptView, JobView, LedgerEvent, Outcome } from '../../protocol/job.ts';
import type { Cli } from '../context.ts';
import { type Colour, jobColours } from './style.ts';
import { tableLines } from './table.ts';
import { localTime } from './time.ts';

type Screen = Pick<Cli, 'width' | 'paint'>;
const textMax = 200;
const commitLength = 10;

const short = (commit: string): string => commit.slice(0, commitLength);

/** How it ended, in one line without the word of the state. */
export function outcomeText(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'done': {
      const verified = outcome.verification ? `, verified by "${oneLine(outcome.verification.command, 80)}"` : '';
      return outcome.commit === null
        ? `no changes${verified}`
        : `commit ${short(outcome.commit)} on ${outcome.branch}, ${outcome.files.length} file${outcome.files.length === 1 ? '' : 's'}${verified}`;
    }
    case 'failed':
      return `${outcome.reason}: ${oneLine(outcome.detail, textMax)}`;
    case 'unknown':
      return `${outcome.reason}: tried ${oneLine(outcome.tried, textMax)}`;
    case 'cancelled':
      return oneLine(outcome.detail, textMax);
  }
}

const waitingText = ({ waiting }: JobView): string | undefined =>
  waiting === null ? undefined : oneLine(waiting, textMax);

export function jobTable({ width, paint }: Screen, jobs: readonly JobView[], now: number): readonly string[] {
  return tableLines({
    width,
    paint,
    columns: [
      { title: 'JOB' },
      { title: 'STATE' },
      { title: 'AT' },
      { title: 'TOOK' },
      { title: 'AGENT' },
      { title: 'PROJECT', flexible: true },
      { title: 'TEXT', flexible: true },
      { title: 'RESULT', flexible: true },
    ],
    rows: jobs.map((job) => [
      job.id,
      { text: job.state, colour: jobColours[job.state] },
      localTime(job.submittedAt, now),
      formatDuration(Math.max(0, (job.endedAt ?? now) - job.submittedAt)),
      job.agent,
      oneLine(job.project, textMax),
      oneLine(job.text, textMax),
      job.outcome ? outcomeText(job.outcome) : (waitingText(job) ?? job.phase ?? ''),
    ]),
  });
}

export function jobLines({ paint }: Screen, job: JobView, now: number): readonly string[] {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['job', job.id],
    [
      'state',
      `${paint(jobColours[job.state], job.state)}${job.cancelRequested && job.endedAt === null ? ' (cancel asked for)' : ''}`,
    ],
    ['result', job.outcome ? outcomeText(job.outcome) : undefined],
    ['waits', waitingText(job)],
    ['text', oneLine(job.text, 1000)],
    ['project', `${oneLine(job.project, textMax)}  ${oneLine(job.projectPath, 1000)}`],
    ['base', `${short(job.baseCommit)} (${oneLine(job.baseRef, textMax)})`],
    ['agent', `${job.agent} as ${oneLine(job.persona, textMax)}`],
    ['verify', job.verify === null ? undefined : oneLine(job.verify, 500)],
    ['submitted', `${localTime(job.submittedAt, now)} by ${oneLine(job.submittedBy, 100)}`],
    [
      'ended',
      job.endedAt === null
        ? undefined
        : `${localTime(job.endedAt, now)} after ${formatDuration(job.endedAt - job.submittedAt)}`,
    ],
    ['session', job.sessionId ?? undefined],
    ['branch', job.branch ?? undefined],
  ];
  return rows.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [`${name.padEnd(10)} ${value}`]));
}

export function attemptTable(
  { width, paint }: Screen,
  attempts: readonly AttemptView[],
  now: number,
): readonly string[] {
  return tableLines({
    width,
    paint,
    columns: [
      { title: 'ATTEMPT' },
      { title: 'PHASE' },
      { title: 'SESSION' },
      { title: 'PERSONA' },
      { title: 'AT' },
      { title: 'TOOK' },
      { title: 'OUTCOME' },
      { title: 'DETAIL', flexible: true },
    ],
    rows: attempts.map((attempt) => [
      attempt.id,
      attempt.phase,
      attempt.sessionId,
      attempt.personaVersion?.slice(0, 8) ?? '',
      localTime(attempt.startedAt, now),
      formatDuration(Math.max(0, (attempt.endedAt ?? now) - attempt.startedAt)),
      attempt.outcome ? { text: attempt.outcome.kind, colour: jobColours[attempt.outcome.kind] } : '',
      attempt.outcome ? outcomeText(attempt.outcome) : '',
    ]),
  });
}

const eventColours: Readonly<Record<string, Colour>> = {
  'job.done': 'green',
  'job.failed': 'red',
  'job.unknown': 'magenta',
  'job.cancelled': 'dim',
  'verification.passed': 'green',
  'verification.failed': 'red',
  'prompt.refused': 'red',
  'prompt.unconfirmed': 'magenta',
  'job.waiting': 'yellow',
  'session.retired': 'yellow',
  'host.lost': 'red',
};

/** `12:03:04  j1  verification.passed  command=npm test exitCode=0` */
export function eventLine(
  { paint }: Screen,
  event: LedgerEvent,
  options: { readonly now: number; readonly withJob: boolean },
): string {
  const about = options.withJob ? `${(event.jobId ?? event.sessionId ?? '').padEnd(12)}  ` : '';
  const type = oneLine(event.type, 60);
  const colour = eventColours[type] ?? 'plain';
  return `${localTime(event.at, options.now)}  ${about}${paint(colour, type.padEnd(22))}  ${eventDetail(event)}`.trimEnd();
}

const detailMax = 240;

/** The simple values of an event's data as `name=value`, in their order; a state change as `from → to: reason`. */
function eventDetail({ type, data }: LedgerEvent): string {
  if (type === 'session.changed' && typeof data.from === 'string' && typeof data.to === 'string') {
    const reason = typeof data.reason === 'string' ? `: ${data.reason}` : '';
    return oneLine(`${data.from} → ${data.to}${reason}`, detailMax);
  }
  const parts = Object.entries(data).flatMap(([name, value]) => {
    if (typeof value === 'string') return value === '' ? [] : [`${name}=${oneLine(value, 80)}`];
    return typeof value === 'number' || typeof value === 'boolean' ? [`${name}=${value}`] : [];
  });
  return oneLine(parts.join('  '), detailMax);
}
