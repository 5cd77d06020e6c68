/** What the scripted daemon of `web-api.ts` answers to each request, from its world. `undefined` is "nothing has this id". */
import { unreachable } from '../../src/base/assert.ts';
import type { RouteName } from '../../src/protocol/api.ts';
import type { JobView, LedgerEvent } from '../../src/protocol/job.ts';
import type { Receipt, SessionView, StateChange } from '../../src/protocol/session.ts';
import { anAttempt, totalsOf } from './web-world.ts';

export interface World {
  readonly sessions: Map<string, SessionView>;
  readonly jobs: Map<string, JobView>;
  readonly events: LedgerEvent[];
  /** The story of a session, by its id. */
  readonly changes: Map<string, StateChange[]>;
  /** What the next input is answered with; accepted if not given. */
  receipt?: Receipt;
}

export interface Seen {
  readonly requests: { readonly route: RouteName; readonly id: string; readonly body: unknown }[];
}

export interface Asked {
  readonly world: World;
  readonly peer: { readonly setSession: (session: SessionView) => void; readonly setJob: (job: JobView) => void };
  readonly name: RouteName;
  readonly id: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
}

export function answerRoute(asked: Asked): unknown {
  const { world, name, id } = asked;
  const session = world.sessions.get(id);
  const job = world.jobs.get(id);
  switch (name) {
    case 'status':
      return status(world);
    case 'listJobs':
      return listJobs(asked);
    case 'showJob':
      return job && { job, attempts: job.attempts > 0 ? [anAttempt(job)] : [] };
    case 'jobEvents':
      return job && { events: world.events.filter((event) => event.jobId === id), next: null };
    case 'cancelJob':
      return job && changeJob(asked, { ...job, cancelRequested: true });
    case 'retryJob':
      return job && changeJob(asked, { ...job, state: 'queued', outcome: null, endedAt: null, phase: null });
    case 'listSessions':
      return { sessions: [...world.sessions.values()] };
    case 'showSession':
      return session && { session };
    case 'whySession':
      return session && { session, changes: world.changes.get(id) ?? [], evidence: [] };
    case 'sendSession':
    case 'interruptSession':
      return session && { receipt: receipt(world, 'hook UserPromptSubmit') };
    case 'answerSession':
      return session && answerPermission(asked, session);
    case 'stopSession':
      return session && stop(asked, session);
    // The page does not ask for these.
    case 'submitJob':
    case 'whyJob':
    case 'listEvents':
    case 'tailSession':
    case 'adoptSession':
    case 'releaseSession':
    case 'sessionTree':
    case 'listPersonas':
    case 'showPersona':
    case 'checkPersona':
    case 'writePersona':
    case 'listProjects':
    case 'showProject':
    case 'trustProject':
    case 'distrustProject':
    case 'listWorktrees':
    case 'showWorktree':
    case 'removeWorktree':
    case 'pruneWorktrees':
    case 'config':
    case 'agents':
    case 'loginCode':
    case 'showHost':
    case 'upgradeHost':
    case 'stopDaemon':
      return undefined;
    default:
      return unreachable(name);
  }
}

const receipt = (world: World, reason: string): Receipt =>
  world.receipt ?? { kind: 'accepted', at: Date.now(), by: 'hook', reason };

function status(world: World): unknown {
  const now = Date.now();
  return {
    version: '0.1.0',
    home: '/home/dev/.muster',
    url: 'http://127.0.0.1',
    daemon: { pid: 1, startedAt: now, rssBytes: 1, node: '24' },
    host: { connected: true, pid: 2, startedAt: now, rssBytes: 1 },
    jobs: totalsOf(world.jobs.values()),
    waiting: null,
    sessions: [...world.sessions.values()],
    lastEvent: world.events.length,
  };
}

const numberOf = (id: string): number => Number(id.slice(1));

function listJobs({ world, query }: Asked): unknown {
  const limit = Number(query.get('limit') ?? 50);
  const before = query.get('before');
  const state = query.get('state');
  const matching = [...world.jobs.values()]
    .filter(
      (job) => (state === null || job.state === state) && (before === null || numberOf(job.id) < numberOf(before)),
    )
    .sort((a, b) => numberOf(b.id) - numberOf(a.id));
  const jobs = matching.slice(0, limit);
  const next = matching.length > limit ? (jobs.at(-1)?.id ?? null) : null;
  return { jobs, next, totals: totalsOf(world.jobs.values()) };
}

function changeJob({ peer }: Asked, job: JobView): unknown {
  peer.setJob(job);
  return { job };
}

function answerPermission({ world, peer, body }: Asked, session: SessionView): unknown {
  const given = (body as { permissionId?: string }).permissionId;
  if (session.permission === null || session.permission.id !== given) {
    return { receipt: { kind: 'refused', at: Date.now(), reason: 'nothing with this id is asked any more' } };
  }
  peer.setSession({ ...session, state: 'working', since: Date.now(), permission: null, reason: 'hook PostToolUse' });
  return { receipt: receipt(world, 'hook PostToolUse') };
}

function stop({ peer }: Asked, session: SessionView): unknown {
  const at = Date.now();
  const ended: SessionView = {
    ...session,
    state: 'exited',
    since: at,
    source: 'process',
    reason: 'ended as asked',
    permission: null,
    exit: { code: 0, signal: null, at },
  };
  peer.setSession(ended);
  return { session: ended };
}
