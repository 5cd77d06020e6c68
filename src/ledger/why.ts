/**
 * [L19] The story of a job, from its events: a chain of steps that a person can read, each with its time and the evidence it rests on, and one
 * sentence that says how the job stands and why. Pure.
 */
import { isoInstant } from '../base/clock.ts';
import { oneLine } from '../base/text.ts';
import type { JobWhy } from '../protocol/api.ts';
import {
  type AttemptView,
  type EventType,
  eventTypes,
  type JobView,
  type LedgerEvent,
  type Outcome,
} from '../protocol/job.ts';

type Step = JobWhy['steps'][number];
type Facts = Readonly<Record<string, unknown>>;
/** What happened, in words; the evidence, where the event holds some. */
type Telling = readonly [what: string, evidence?: string];

/** Steps told: a session that changed its state some thousand times is cut in the middle, where the least is learnt. */
const stepsMax = 400;
const lineMax = 300;

/** `events` are the job's, oldest first; some may be missing in the middle. */
export function explainJob(job: JobView, attempts: readonly AttemptView[], events: readonly LedgerEvent[]): JobWhy {
  const steps = events.flatMap((event): Step[] => {
    const [what, evidence = ''] = tell(event);
    return [{ at: event.at, what: oneLine(what, lineMax), evidence: oneLine(evidence, lineMax) }];
  });
  return {
    job,
    attempts: [...attempts],
    steps: shortened(steps),
    conclusion: oneLine(conclude(job, attempts, events), 1000),
  };
}

function shortened(steps: Step[]): Step[] {
  if (steps.length <= stepsMax) return steps;
  const half = Math.floor(stepsMax / 2);
  const left = steps.length - 2 * half;
  const cut = steps[half];
  return [
    ...steps.slice(0, half),
    ...(cut ? [{ at: cut.at, what: `${left} more steps`, evidence: '' }] : []),
    ...steps.slice(-half),
  ];
}

const isKnown = (type: string): type is EventType => (eventTypes as readonly string[]).includes(type);

/** An event of a type that this version does not know is told by its name. */
const tell = (event: LedgerEvent): Telling =>
  isKnown(event.type) ? tellings[event.type](event.data, event) : [event.type];

const text = (data: Facts, key: string): string => {
  const value = data[key];
  return typeof value === 'string'
    ? value
    : typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : '';
};

const short = (commit: string): string => commit.slice(0, 12);
const withWords = (label: string, value: string): string => (value === '' ? '' : `${label}${value}`);

/** Parts that are not empty, with commas. */
const joined = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(', ');

const tellings: Readonly<Record<EventType, (data: Facts, event: LedgerEvent) => Telling>> = {
  'daemon.started': (data) => ['the control plane started', withWords('version ', text(data, 'version'))],
  'daemon.stopped': () => ['the control plane stopped'],
  'host.connected': (data) => ['the PTY host answers', withWords('pid ', text(data, 'pid'))],
  'host.lost': (data) => ['the PTY host does not answer', text(data, 'reason')],
  'project.registered': (data) => [`project ${text(data, 'name')} was registered`, text(data, 'path')],
  'job.submitted': (data) => [
    `submitted by ${text(data, 'submittedBy') || 'somebody'} for ${text(data, 'agent') || 'an agent'}`,
    joined(withWords('base ', short(text(data, 'baseCommit'))), withWords('verify: ', text(data, 'verify'))),
  ],
  'job.waiting': (data) => [`it has to wait: ${text(data, 'reason')}`, withWords('until ', text(data, 'until'))],
  'job.claimed': (data, event) => [
    `attempt ${event.attemptId ?? text(data, 'fence')} claimed the job`,
    joined(withWords('branch ', text(data, 'branch')), withWords('session ', event.sessionId ?? '')),
  ],
  'job.cancel-requested': (data) => ['cancellation was asked for', withWords('by ', text(data, 'by'))],
  'job.retried': (data) => [
    'queued again',
    joined(withWords('was ', text(data, 'from')), withWords('attempts so far: ', text(data, 'attempts'))),
  ],
  'job.done': (data) => ['the job is done', evidenceOf(data)],
  'job.failed': (data) => ['the job failed', evidenceOf(data)],
  'job.unknown': (data) => ['how the job ended is unknown', evidenceOf(data)],
  'job.cancelled': (data) => ['the job was cancelled', evidenceOf(data)],
  'workspace.prepared': (data) => [
    'worktree and branch are there',
    joined(
      text(data, 'worktree'),
      withWords('branch ', text(data, 'branch')),
      withWords('persona in ', text(inner(data, 'persona'), 'path')),
    ),
  ],
  'persona.written': (data) => [
    `persona ${text(data, 'persona') || text(data, 'name')} was put into the worktree`,
    text(data, 'path'),
  ],
  'session.started': (data, event) => [
    `session ${event.sessionId ?? ''} started`,
    joined(`${text(data, 'agent')} ${text(data, 'version')}`.trim(), withWords('pid ', text(data, 'pid'))),
  ],
  'session.changed': (data) => [
    `the session went ${withWords('from ', text(data, 'from'))} to ${text(data, 'to') || 'another state'}`,
    joined(withWords('by ', text(data, 'source')), text(data, 'reason'), asked(data)),
  ],
  'session.ended': (data) => ['the session ended', exited(data)],
  'session.resumed': (data) => [
    'the agent goes on with its conversation in a new process',
    joined(text(data, 'reason'), withWords('conversation ', text(data, 'resumeId'))),
  ],
  'session.adopted': (data) => ['the session was adopted', text(data, 'place')],
  'session.released': (data) => ['the session was released', text(data, 'place')],
  'session.retired': (data) => ['the session was ended to free memory', text(data, 'reason')],
  'pool.started': (data) => ['a session was started to stand ready', withWords('persona ', text(data, 'persona'))],
  'pool.ready': (data) => ['the session stands ready', withWords('persona ', text(data, 'persona'))],
  'pool.retired': (data) => ['the session is not kept for further jobs', text(data, 'why')],
  'pool.failed': (data) => ['a session could not be made ready', text(data, 'reason')],
  'prompt.typing': (data) => ['the prompt is being typed', withWords('input ', text(data, 'inputId'))],
  'prompt.accepted': (data) => [
    'the agent received the prompt',
    joined(withWords('by ', text(data, 'by')), text(data, 'reason')),
  ],
  'prompt.refused': (data) => ['the prompt was not typed', text(data, 'reason')],
  'prompt.unconfirmed': (data) => ['the prompt was typed, and nothing showed that it arrived', text(data, 'tried')],
  'permission.answered': (data) => [`a permission was answered: ${text(data, 'decision')}`, asked(data, 'asked')],
  'turn.ended': (data) => [
    'the agent ended its turn',
    joined(withWords('by ', text(data, 'source')), text(data, 'reason')),
  ],
  'work.captured': (data) =>
    text(data, 'commit') === ''
      ? ['the agent changed no file']
      : [`the work was captured (${count(data)})`, `commit ${short(text(data, 'commit'))}`],
  'verification.started': (data) => ['verification began in a clean checkout', text(data, 'command')],
  'verification.passed': (data) =>
    text(data, 'command') === ''
      ? ['no verify command is set, so nothing was verified']
      : ['verification passed', verified(data)],
  'verification.failed': (data) => ['verification did not pass', joined(verified(data), text(data, 'reason'))],
  'branch.landed': (data) => [
    `branch ${text(data, 'branch')} points to the work`,
    withWords('commit ', short(text(data, 'commit'))),
  ],
  'attempt.resumed': (data, event) => [
    `attempt ${event.attemptId ?? ''} was taken up again after a restart`,
    withWords('phase ', text(data, 'phase')),
  ],
  'attempt.delayed': (data) => [
    `it can't go on: ${text(data, 'what') || 'something'} fails, and is tried again`,
    text(data, 'reason'),
  ],
  'attempt.settled': (data, event) => [
    `attempt ${event.attemptId ?? ''} ended: ${text(data, 'kind')}`,
    text(data, 'reason'),
  ],
  'worktree.removed': (data) => [
    text(data, 'kind') === 'kept' ? 'the worktree is kept' : 'the worktree was removed',
    joined(text(data, 'reason'), withWords('left work is saved as ', short(text(data, 'saved')))),
  ],
};

/** What the session asks permission for. */
function asked(data: Facts, key = 'permission'): string {
  const permission = inner(data, key);
  return `${text(permission, 'tool')} ${text(permission, 'summary')}`.trim();
}

function exited(data: Facts): string {
  const exit = inner(data, 'exit');
  return joined(withWords('code ', text(exit, 'code')), withWords('signal ', text(exit, 'signal')));
}

function inner(data: Facts, key: string): Facts {
  const value = data[key];
  return typeof value === 'object' && value !== null ? (value as Facts) : {};
}

function count(data: Facts): string {
  const files =
    typeof data.fileCount === 'number' ? data.fileCount : Array.isArray(data.files) ? data.files.length : undefined;
  return files === undefined ? 'files unknown' : files === 1 ? '1 file' : `${files} files`;
}

const verified = (data: Facts): string =>
  joined(
    text(data, 'command'),
    withWords('exit code ', text(data, 'exitCode')),
    withWords('on commit ', short(text(data, 'commit'))),
  );

/** `job.*` events carry the outcome. */
function evidenceOf(data: Facts): string {
  const facts = inner(data, 'outcome');
  return joined(
    text(facts, 'reason'),
    text(facts, 'detail'),
    text(facts, 'tried'),
    withWords('commit ', short(text(facts, 'commit'))),
  );
}

function conclude(job: JobView, attempts: readonly AttemptView[], events: readonly LedgerEvent[]): string {
  if (job.outcome) return concludeOutcome(job, job.outcome);
  if (job.state === 'queued') {
    const since =
      events.findLast((event) => event.type === 'job.submitted' || event.type === 'job.retried')?.at ?? job.submittedAt;
    const again = job.attempts > 0 ? `, for attempt ${job.attempts + 1}` : '';
    const because = job.waiting === null ? '' : `: ${job.waiting}`;
    return `Job ${job.id} waits to be started since ${isoInstant(since)}${again}${because}.`;
  }
  return concludeRunning(job, attempts.at(-1), events);
}

function concludeOutcome(job: JobView, outcome: Outcome): string {
  const attempt = job.attempts === 1 ? 'in its first attempt' : `in attempt ${job.attempts}`;
  switch (outcome.kind) {
    case 'done': {
      const proof = outcome.verification
        ? `and \`${outcome.verification.command}\` passed on it in a clean checkout`
        : 'and no verify command was set, so nothing but the agent says that it is right';
      return outcome.commit === null
        ? `Job ${job.id} is done ${attempt}: nothing had to change, and that was allowed.`
        : `Job ${job.id} is done ${attempt}: branch ${outcome.branch} points to commit ${short(outcome.commit)}, ${proof}.`;
    }
    case 'failed':
      return `Job ${job.id} failed ${attempt} (${outcome.reason}): ${outcome.detail}.${kept(outcome.commit)}`;
    case 'unknown':
      return `How job ${job.id} ended is unknown (${outcome.reason}). What was tried: ${outcome.tried}.${kept(outcome.commit)}`;
    case 'cancelled':
      return `Job ${job.id} was cancelled: ${outcome.detail}.${kept(outcome.commit)}`;
  }
}

const kept = (commit: string | null): string =>
  commit === null ? '' : ` What had been changed is kept as commit ${short(commit)}.`;

/** What is true in a phase that lasts; the phases in which a session works are told by its state. */
const phaseWords: Readonly<Record<AttemptView['phase'], string>> = {
  claimed: 'its worktree is being made',
  prepared: 'its session is being started',
  started: 'the agent is not at its prompt yet',
  delivering: 'its prompt is being delivered',
  delivered: 'the agent works on it',
  ended: 'the agent ended its turn and its work is being captured',
  captured: 'its work is being verified',
  verified: 'its branch is about to land',
  landed: 'its branch has landed and the outcome is being written',
  settled: 'its attempt has ended',
};

const sessionWords: Readonly<Record<string, string>> = {
  permission: 'the session waits for permission',
  question: 'the session waits for an answer to its question',
  setup: 'the session waits at a setup screen (trust, login or onboarding)',
  retrying: 'the model call failed and the agent tries again',
  limited: 'the session was stopped by a usage limit',
  stalled: 'nothing has been heard from the session for too long',
  unknown: 'what the session does is not known at the moment',
};

const phasesOfSession: readonly AttemptView['phase'][] = ['started', 'delivering', 'delivered'];

function concludeRunning(job: JobView, attempt: AttemptView | undefined, events: readonly LedgerEvent[]): string {
  if (!attempt) return `Job ${job.id} is running.`;
  const change = events.findLast((event) => event.type === 'session.changed' && event.attemptId === attempt.id);
  const state = change ? text(change.data, 'to') : '';
  const words = phasesOfSession.includes(attempt.phase) ? sessionWords[state] : undefined;
  const reason =
    words !== undefined && change ? withWords(': ', asked(change.data) || text(change.data, 'reason')) : '';
  const cancelled = job.cancelRequested ? ' Its cancellation has been asked for.' : '';
  const delayed = delayOf(attempt, events);
  return `Job ${job.id} has been running since ${isoInstant(attempt.startedAt)}, attempt ${attempt.fence}: ${delayed ?? `${words ?? phaseWords[attempt.phase]}${reason}`}.${cancelled}`;
}

/** What the attempt itself does: news of its session come meanwhile and say nothing about it. */
function delayOf(attempt: AttemptView, events: readonly LedgerEvent[]): string | undefined {
  const last = events.findLast(({ type, attemptId }) => attemptId === attempt.id && !type.startsWith('session.'));
  if (last?.type !== 'attempt.delayed') return undefined;
  return `${text(last.data, 'what')} fails and is tried again: ${text(last.data, 'reason')}`;
}
