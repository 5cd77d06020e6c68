/**
 * Gathers what `policy` needs to decide whether one more session may start, and carries out what it decides.
 *
 * Order of the parts: `ask` (somebody wants to start one), the look every few seconds at whether memory got short by itself, gathering
 * the facts, retiring.
 *
 * Invariants: questions are answered one after the other; a session counts as busy unless its owners say that nobody needs it; a
 * retirement is told before the session is ended, so that a daemon that dies in between has said why.
 */
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/fault.ts';
import type { SessionId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { sessionMemory, sessionPressure } from '../platform/machine.ts';
import {
  type AdmissionSession,
  admit,
  expectedBytes,
  type MemoryFacts,
  type Retire,
  relieve,
  type Shortage,
} from '../policy/index.ts';
import type { AgentId, SessionView } from '../protocol/session.ts';
import type { Sessions } from './sessions.ts';

/** A session that a job has or is about to start. */
export interface InUse {
  readonly sessionId: string;
  readonly agent: string;
}

export interface Question {
  readonly agent: string;
  readonly purpose: 'job' | 'warm';
  /** All that are in use, also those of which there is no process yet; asked when it is this question's turn. */
  readonly inUse: () => readonly InUse[];
  /** A session that stands ready and that the job will have: only its growth is wanted, and it is not retired for it. */
  readonly reuses?: string;
}

export type Answer =
  | { readonly kind: 'admit' }
  /** Ask again after `retryMs`: memory comes back without a word. */
  | {
      readonly kind: 'wait';
      readonly shortage: Shortage;
      readonly reason: string;
      readonly until: string;
      readonly retryMs: number;
    };

export interface Retired {
  readonly session: SessionView;
  readonly shortage: Shortage;
  readonly reason: string;
  /** Null: it was at work. */
  readonly idleForMs: number | null;
}

export interface AdmissionOptions {
  readonly sessions: Pick<Sessions, 'list' | 'end' | 'measure' | 'host' | 'onView'>;
  /** Ends one that a pool keeps, and gives it to no job from here on; false: it is not the pool's to end. */
  readonly retireFromPool?: (id: SessionId, why: string) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
  /** Undefined: a tenth of the memory there is, within bounds. */
  readonly reserveBytes: number | undefined;
  readonly pressurePercent: number;
  /** What a session of an agent takes as long as too few were measured; undefined: our own guess. */
  readonly configuredBytes: (agent: string) => number | undefined;
  /** Undefined while it can't be told: then nothing is retired by itself. */
  readonly inUse: () => readonly InUse[] | undefined;
  /** Kept ready by a pool. */
  readonly isWarm: (sessionId: string) => boolean;
  readonly onRetired: (news: Retired) => void;
}

export interface Admission {
  readonly ask: (question: Question) => Promise<Answer>;
  readonly close: () => Promise<void>;
}

/** Memory of an agent at work with its tools, from looking at each for a day; the real sizes take their place after three sessions. */
const guessedMegabytes: Readonly<Record<AgentId, number>> = {
  claude: 600,
  codex: 300,
  qwen: 450,
  gemini: 450,
  opencode: 500,
  pi: 300,
};
const otherMegabytes = 500;
const megabyte = 1024 * 1024;
/** Default reserve: this share of what there is, but enough for a build and never more than is useful. */
const reserve = { share: 0.1, leastBytes: 256 * megabyte, mostBytes: 4096 * megabyte };
/** A measurement older than this is made anew before a decision. */
const freshMs = 1000;
const retryMs = 1000;
/** So long after a job was told to wait nothing that is only to stand ready takes its place. */
const jobTurnMs = 3 * retryMs;
/** How often it is looked whether memory is short, in good times and in bad ones. */
const lookMs = { calm: 5000, short: 1000 };
/** Largest sizes kept of each agent. */
const measuredMax = 20;
/** An agent saves its conversation at SIGTERM within a second. */
const retireGraceMs = 1500;

export function openAdmission(options: AdmissionOptions): Admission {
  const { sessions, clock, log } = options;
  const sizes = openSizes(options);
  const waiting = new Map<Question['purpose'], Shortage | undefined>();
  let retiredAt = Number.NEGATIVE_INFINITY;
  let jobWaitedAt = Number.NEGATIVE_INFINITY;
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;

  /** Who uses what is asked last: the one before may have been let in a moment ago. */
  const gather = async (inUse: () => readonly InUse[]): Promise<MemoryFacts & { inUse: readonly InUse[] }> => {
    await sessions.measure(freshMs);
    const host = sessions.host().pid ?? 'self';
    const { availableBytes, totalBytes } = await sessionMemory([host, 'self']);
    const pressure = await sessionPressure(host);
    const now = inUse();
    return {
      inUse: now,
      freeBytes: availableBytes,
      totalBytes,
      pressure,
      sessions: sessionsOf(options, sizes, now),
      limits: {
        reserveBytes: options.reserveBytes ?? defaultReserve(totalBytes),
        pressurePercent: options.pressurePercent,
      },
      sinceRetiredMs: performance.now() - retiredAt,
    };
  };
  const answer = async ({ agent, purpose, inUse, reuses }: Question): Promise<Answer> => {
    const facts = await gather(reuses === undefined ? inUse : () => [...inUse(), { sessionId: reuses, agent }]);
    const wantBytes = reuses === undefined ? sizes.expected(agent) : 0;
    // What is freed is for the job that waits, and it asks again in a moment.
    const shortage = waiting.get('job');
    if (purpose === 'warm' && shortage !== undefined && performance.now() - jobWaitedAt < jobTurnMs)
      return { kind: 'wait', shortage, reason: 'a job waits for memory', until: 'it has started', retryMs };
    const said = admit({ ...facts, wantBytes, purpose, waiting: waiting.get(purpose) });
    if (said.kind === 'admit') {
      waiting.delete(purpose);
      return said;
    }
    waiting.set(purpose, said.shortage);
    if (purpose === 'job') jobWaitedAt = performance.now();
    if (said.kind === 'wait') return { ...said, retryMs };
    await retire(said, facts.inUse);
    const { reason } = said;
    return { kind: 'wait', shortage: said.shortage, reason, until: `${said.ids.join(', ')} has made room`, retryMs };
  };
  /** `inUse` as it was decided with: whoever has got a job since then is left alone. */
  const retire = async ({ ids, shortage, reason }: Retire, inUse: readonly InUse[]): Promise<void> => {
    const now = clock();
    const busy = new Set(options.inUse()?.map(({ sessionId }) => sessionId));
    const wasBusy = new Set(inUse.map(({ sessionId }) => sessionId));
    const leaving = sessions
      .list()
      .filter(({ id, exit }) => ids.includes(id) && exit === null && (wasBusy.has(id) || !busy.has(id)));
    for (const session of leaving)
      options.onRetired({ session, shortage, reason, idleForMs: busy.has(session.id) ? null : now - session.since });
    await Promise.all(
      leaving.map(({ id }) =>
        end(id as SessionId, reason).catch((error: unknown) =>
          log.warn({ session: id, cause: messageOf(error) }, 'a session could not be retired'),
        ),
      ),
    );
    retiredAt = performance.now();
  };
  const end = async (id: SessionId, why: string): Promise<void> => {
    if (await options.retireFromPool?.(id, why)) return;
    await sessions.end(id, { graceMs: retireGraceMs });
  };
  /** One question or look after the other: each sees what the one before has started or ended. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = queue.then(work);
    queue = done.catch(() => undefined);
    return done;
  };
  const look = async (): Promise<number> => {
    const inUse = options.inUse();
    if (inUse === undefined || !sessions.list().some(({ exit }) => exit === null)) return lookMs.calm;
    const facts = await gather(() => options.inUse() ?? inUse);
    const said = relieve(facts);
    if (said) await retire(said, facts.inUse);
    return said || facts.freeBytes < facts.limits.reserveBytes ? lookMs.short : lookMs.calm;
  };
  let timer: NodeJS.Timeout;
  const lookLater = (ms: number): void => {
    if (closed) return;
    timer = setTimeout(() => {
      inTurn(look)
        .catch((error: unknown) => {
          log.warn({ cause: messageOf(error) }, 'memory could not be looked at');
          return lookMs.calm;
        })
        .then(lookLater, () => undefined);
    }, ms);
  };
  lookLater(lookMs.calm);

  return {
    ask: (question) => inTurn(() => answer(question)),
    close: async () => {
      closed = true;
      clearTimeout(timer);
      sizes.close();
      await queue;
    },
  };
}

const defaultReserve = (totalBytes: number): number =>
  Math.min(reserve.mostBytes, Math.max(reserve.leastBytes, totalBytes * reserve.share));

interface Sizes {
  readonly expected: (agent: string) => number;
  readonly close: () => void;
}

/** [M5] The largest size that each session reached, by agent, of those that worked and have ended. */
function openSizes({ sessions, configuredBytes }: AdmissionOptions): Sizes {
  const largest = new Map<string, number>();
  const measured = new Map<string, number[]>();
  const leave = sessions.onView(({ id, agent, memoryBytes, turns, exit }) => {
    if (exit === null) return void largest.set(id, Math.max(largest.get(id) ?? 0, memoryBytes ?? 0));
    const size = largest.get(id);
    largest.delete(id);
    if (size === undefined || size === 0 || turns === 0) return;
    measured.set(agent, [...(measured.get(agent) ?? []), size].slice(-measuredMax));
  });
  const configured = (agent: string): number =>
    configuredBytes(agent) ?? (guessedMegabytes[agent as AgentId] ?? otherMegabytes) * megabyte;
  return { expected: (agent) => expectedBytes(measured.get(agent) ?? [], configured(agent)), close: leave };
}

/** Those that have a process, and those that are in use and will have one in a moment. */
function sessionsOf(options: AdmissionOptions, sizes: Sizes, inUse: readonly InUse[]): AdmissionSession[] {
  const now = options.clock();
  const used = new Set(inUse.map(({ sessionId }) => sessionId));
  const all = options.sessions.list();
  const known = new Set(all.map(({ id }) => id));
  const living = all.filter(({ exit }) => exit === null);
  const coming = inUse.filter(({ sessionId }) => !known.has(sessionId));
  return [
    ...living.map((session) => ({
      id: session.id,
      use: useOf(session, used),
      memoryBytes: session.memoryBytes ?? 0,
      expectedBytes: sizes.expected(session.agent),
      idleForMs: now - session.since,
      ageMs: now - session.startedAt,
      cold: !options.isWarm(session.id),
    })),
    ...coming.map(({ sessionId, agent }) => ({
      id: sessionId,
      use: 'busy' as const,
      memoryBytes: 0,
      expectedBytes: sizes.expected(agent),
      idleForMs: 0,
      ageMs: 0,
      cold: true,
    })),
  ];
}

const idleStates: readonly SessionView['state'][] = ['idle', 'done', 'failed'];

/** Only one that stands at its prompt and that nobody has is idle; what is starting still grows. */
function useOf({ id, kind, state }: SessionView, used: ReadonlySet<string>): AdmissionSession['use'] {
  if (kind !== 'own') return 'kept';
  return !used.has(id) && idleStates.includes(state) ? 'idle' : 'busy';
}
