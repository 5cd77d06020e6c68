/**
 * Keeps sessions at their prompt for jobs to come, per project. What to do is decided by `plan.ts`; here it is done, and what was
 * done is known again after a restart: which sessions are the pool's stands in their records.
 *
 * An entry is taken in the same turn of the loop in which it is chosen, so two jobs never get one. It comes back only if nothing that a
 * job started is left in it and its conversation was provably begun anew; else it is ended.
 */
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/fault.ts';
import { newSessionId, randomToken, type SessionId } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { findByMark, type ProcessIdentity } from '../../platform/processes.ts';
import { processesIn } from '../../platform/processes-in.ts';
import type { Readiness, StartOutcome } from '../sessions.ts';
import {
  chooseEntry,
  nextPlanAt,
  type PoolEntry,
  type PoolPolicy,
  type PoolWant,
  planPool,
  type Version,
  whyNotKept,
} from './plan.ts';

/** What a pooled session's record keeps, so that the pool finds it again. */
export interface PoolMark extends Version {
  readonly project: string;
  readonly persona: string;
  readonly kind: 'warm' | 'cold';
}

export interface PooledSession {
  readonly id: SessionId;
  readonly agent: string;
  readonly instance: string;
  readonly cwd: string;
  readonly createdAt: number;
  readonly toolCalls: number;
  readonly ended: boolean;
  readonly pool: PoolMark;
  readonly atPrompt: boolean;
  /** When it was last prompted or typed into by anybody, also if no turn has come of it yet; 0: never. */
  readonly touchedAt: number;
  /** Since when it stands ready for a job; null: a job has or had it. Kept over restarts. */
  readonly readyAt: number | null;
  /** Processes of the session before any job worked in it: the agent and its own helpers. Null: not known. Kept over restarts. */
  readonly own: readonly string[] | null;
}

/** What the pool needs of the sessions room. */
export interface PoolSessions {
  readonly pooled: () => readonly PooledSession[];
  readonly ready: (
    id: SessionId,
    limits: { startMs: number; setupMs: number; signal: AbortSignal },
  ) => Promise<Readiness>;
  readonly markReady: (id: SessionId, at: number | null) => Promise<void>;
  readonly noteOwn: (id: SessionId, processes: readonly string[]) => Promise<void>;
  /** Begins a new conversation in the same process; false if that can't be proved. */
  readonly beginAnew: (id: SessionId) => Promise<boolean>;
  readonly end: (id: SessionId, how: { graceMs: number }) => Promise<void>;
}

export interface PoolOptions {
  readonly sessions: PoolSessions;
  /** Projects with a pool, by the path of their repository. */
  readonly policies: ReadonlyMap<string, PoolPolicy>;
  /** The persona as it is now; undefined if there is none of this name. */
  readonly personaOf: (project: string, persona: string) => Promise<(Version & { agent: string }) | undefined>;
  /** Makes the worktree and starts the agent in it. */
  readonly launch: (entry: { id: SessionId; mark: PoolMark; agent: string; worktree: string }) => Promise<StartOutcome>;
  /** Takes an entry's worktree away without losing anything in it, and tells what was saved or why it stays. */
  readonly removeWorktree: (entry: PoolEntry, why: string) => Promise<void>;
  readonly onNews: (
    type: 'pool.started' | 'pool.ready' | 'pool.retired' | 'pool.failed',
    id: SessionId,
    data: Record<string, unknown>,
  ) => void;
  /** Where an entry's worktree lies; `token` is another one each time. */
  readonly worktreeOf: (project: string, persona: string, token: string) => string;
  readonly limits: { readonly startMs: number; readonly setupMs: number };
  readonly clock: Clock;
  readonly log: Log;
}

export interface Pool {
  readonly hasPolicy: (project: string) => boolean;
  /** Reserves an entry for an attempt; the caller works in `worktree`. */
  readonly take: (
    want: Omit<PoolWant, keyof Version>,
  ) => Promise<{ readonly id: SessionId; readonly worktree: string } | undefined>;
  /** Gives back what was taken and not used. */
  readonly putBack: (id: SessionId) => void;
  /** Ends what was taken and can't be used. */
  readonly discard: (id: SessionId, why: string) => void;
  /** Its attempt did not end well: the pool has nothing to do with it any more. */
  readonly forget: (id: SessionId) => void;
  /** A session that a job started in a project with a pool. */
  readonly joined: (id: SessionId) => void;
  /** Whether the session stays when its attempt is over. Then nothing of the attempt runs in it any more. */
  readonly keeps: (id: SessionId) => Promise<boolean>;
  /** Makes a kept session ready for the next job. */
  readonly refresh: (id: SessionId) => Promise<void>;
  /** After a restart, of a session that no job has: it stands ready as before, or is made ready, or is a person's. */
  readonly recover: (id: SessionId) => Promise<void>;
  /** Ends a session that stands ready, and saves what lies in its worktree; false if it does not stand ready. */
  readonly retire: (id: SessionId, why: string) => Promise<boolean>;
  /** As they are at this moment: one that a person has begun to use since the last look is theirs. */
  readonly entries: () => readonly PoolEntry[];
  /** Looks what there is to do; also called by time. */
  readonly look: () => void;
  readonly close: () => Promise<void>;
}

/** After a start that failed, doubled with each further one; at `failuresMax` the persona is left alone until the daemon restarts. */
const retryFirstMs = 5000;
const failuresMax = 5;
const endGraceMs = 1500;
/** Personas of a project are read again so often at the least, to see that they have changed. */
const lookMs = 30_000;

interface Live extends PoolEntry {
  /** What could not be done for it (the disk was full, its end is not known); it is done again at each look until it is. */
  readonly again?: (() => Promise<void>) | undefined;
}

const nameOf = ({ pid, startTicks }: ProcessIdentity): string => `${pid} ${startTicks}`;

export function openPool(options: PoolOptions): Pool {
  const { sessions, policies, clock, log } = options;
  const live = new Map<SessionId, Live>();
  const failures = new Map<string, { count: number; notBefore: number }>();
  const working = new Set<Promise<void>>();
  const closing = new AbortController();
  let closed = false;
  let looking = false;
  let timer: NodeJS.Timeout | undefined;

  const set = (id: SessionId, part: Partial<Live>): void => {
    const entry = live.get(id);
    if (entry) live.set(id, { ...entry, ...part, ...(part.phase ? { since: clock() } : {}) });
  };
  const inBackground = (what: string, work: Promise<void>): void => {
    const told = work
      .catch((error: unknown) => (closed ? undefined : log.warn({ cause: messageOf(error) }, what)))
      .finally(() => working.delete(told));
    working.add(told);
  };

  /** A step without which an entry would stay for ever as it is. */
  const insist = async (id: SessionId, step: () => Promise<void>): Promise<void> => {
    set(id, { again: undefined });
    try {
      await step();
    } catch (error) {
      set(id, { again: step });
      throw error;
    }
  };

  const adopt = (session: PooledSession, phase: PoolEntry['phase']): void => {
    const { id, agent, cwd, createdAt, pool } = session;
    live.set(id, {
      id,
      agent,
      ...pool,
      phase,
      createdAt,
      since: clock(),
      worktree: cwd,
      toolCalls: session.toolCalls,
    });
  };
  const noteOwn = async (id: SessionId): Promise<void> => {
    const session = known().get(id);
    if (session) await sessions.noteOwn(id, (await findByMark(session.instance)).map(nameOf));
  };
  /** Processes that a job left: of the session by their mark, or, without it, at work in its folder. */
  const strangersIn = async (own: readonly string[], instance: string, worktree: string): Promise<number> => {
    const marked = (await findByMark(instance)).filter((one) => !own.includes(nameOf(one)));
    const ownPids = new Set(own.map((name) => Number(name.split(' ')[0])));
    const present = (await processesIn(worktree)).filter(({ pid }) => !ownPids.has(pid));
    return new Set([...marked, ...present].map(({ pid }) => pid)).size;
  };
  /** Why it can't be said that nothing of the job is left in it; undefined: nothing is. */
  const whyNotEmpty = async ({ id, worktree }: Live): Promise<string | undefined> => {
    const session = known().get(id);
    if (!session?.own) return 'which processes it had before the job is not known';
    const strangers = await strangersIn(session.own, session.instance, worktree);
    return strangers > 0 ? `the job left ${strangers} processes running in it` : undefined;
  };
  const readiness = (id: SessionId): Promise<Readiness> =>
    sessions.ready(id, { ...options.limits, signal: closing.signal });
  const becomeReady = async (id: SessionId, is: Readiness): Promise<void> => {
    const entry = live.get(id);
    if (!entry) return;
    if (is.kind !== 'ready') return retire(entry, is.reason);
    // Who types while this is written down has typed after it stood ready.
    const at = clock();
    await insist(id, async () => {
      await noteOwn(id);
      // On disk first: whoever prompts it from here on makes it his own, also over a restart.
      await sessions.markReady(id, at);
      set(id, { phase: 'ready' });
      options.onNews('pool.ready', id, { persona: entry.persona, kind: entry.kind });
      look();
    });
  };

  const retire = async (entry: Live, why: string): Promise<void> => {
    set(entry.id, { phase: 'leaving' });
    await insist(entry.id, async () => {
      await sessions.end(entry.id, { graceMs: endGraceMs });
      live.delete(entry.id);
      options.onNews('pool.retired', entry.id, { persona: entry.persona, kind: entry.kind, why });
      await options.removeWorktree(entry, why);
      look();
    });
  };

  const start = async (project: string, persona: string): Promise<void> => {
    const key = `${project}\n${persona}`;
    const now = await options.personaOf(project, persona);
    if (!now || closed) return;
    const id = newSessionId();
    const { personaVersion, launch } = now;
    const mark: PoolMark = { project, persona, personaVersion, launch, kind: 'warm' };
    const worktree = options.worktreeOf(project, persona, randomToken(8));
    live.set(id, {
      id,
      ...mark,
      agent: now.agent,
      phase: 'starting',
      createdAt: clock(),
      since: clock(),
      worktree,
      toolCalls: 0,
    });
    const outcome = await options
      .launch({ id, mark, agent: now.agent, worktree })
      .catch((error: unknown): StartOutcome => ({ kind: 'failed', reason: messageOf(error) }));
    if (outcome.kind === 'started') options.onNews('pool.started', id, { persona, kind: 'warm', worktree });
    const is = outcome.kind === 'started' ? await readiness(id) : undefined;
    if (is?.kind === 'ready') {
      failures.delete(key);
      const session = sessions.pooled().find((one) => one.id === id);
      if (session) adopt(session, 'starting');
      return becomeReady(id, is);
    }
    const count = (failures.get(key)?.count ?? 0) + 1;
    failures.set(key, { count, notBefore: clock() + retryFirstMs * 2 ** (count - 1) });
    const reason =
      outcome.kind === 'failed' ? outcome.reason : is && 'reason' in is ? is.reason : 'it did not become ready';
    options.onNews('pool.failed', id, {
      persona,
      reason,
      tried: count,
      ...(count >= failuresMax ? { gaveUp: true } : {}),
    });
    const entry = live.get(id);
    if (entry) await retire(entry, reason);
  };
  const mayStart = (project: string, persona: string): boolean => {
    const failed = failures.get(`${project}\n${persona}`);
    return failed === undefined || (failed.count < failuresMax && clock() >= failed.notBefore);
  };

  const lookAt = async (project: string, policy: PoolPolicy): Promise<void> => {
    const names = new Set([
      ...Object.keys(policy.warm),
      ...[...live.values()].filter((entry) => entry.project === project).map((entry) => entry.persona),
    ]);
    const versions: Record<string, Version> = {};
    for (const name of names) {
      const found = await options.personaOf(project, name);
      if (found) versions[name] = found;
    }
    refreshFacts();
    const entries = [...live.values()].filter((entry) => entry.project === project);
    for (const action of planPool(entries, policy, versions, clock())) {
      if (closed) return;
      const entry = action.kind === 'retire' ? live.get(action.id) : undefined;
      if (action.kind === 'retire' && entry?.phase === 'ready')
        inBackground('a pooled session could not be retired', retire(entry, action.why));
      if (action.kind === 'start' && mayStart(project, action.persona))
        inBackground('a warm session could not be started', start(project, action.persona));
    }
  };
  const known = (): ReadonlyMap<SessionId, PooledSession> =>
    new Map(sessions.pooled().map((session) => [session.id, session]));
  const belongsToPerson = ({ touchedAt, readyAt }: PooledSession): boolean => readyAt !== null && touchedAt > readyAt;
  const giveToPerson = (entry: Live): void => {
    set(entry.id, { phase: 'personal' });
    const why = 'a person works in it, and it is theirs until they end it';
    options.onNews('pool.retired', entry.id, { persona: entry.persona, kind: entry.kind, why });
    // Another in its place.
    look();
  };
  /** Tool calls go on counting; a session that stands ready may end by itself, or a person may begin to work in it. */
  const refreshFacts = (): void => {
    const now = known();
    for (const entry of live.values()) {
      const session = now.get(entry.id);
      if (!session) continue;
      set(entry.id, { toolCalls: session.toolCalls });
      const idle = entry.phase === 'ready' || entry.phase === 'personal';
      if (session.ended && idle) inBackground('a session could not leave its pool', retire(entry, 'it has ended'));
      else if (entry.phase === 'ready' && belongsToPerson(session)) giveToPerson(entry);
    }
  };
  const look = (): void => {
    if (closed || looking) return;
    looking = true;
    clearTimeout(timer);
    for (const { id, again } of live.values())
      if (again) inBackground('what could not be done for a pooled session failed again', insist(id, again));
    const all = (async () => {
      for (const [project, policy] of policies) await lookAt(project, policy);
    })().finally(() => {
      looking = false;
      const due = [...policies].map(
        ([project, policy]) =>
          nextPlanAt(
            [...live.values()].filter((entry) => entry.project === project),
            policy,
          ) ?? Number.POSITIVE_INFINITY,
      );
      if (!closed && policies.size > 0)
        timer = setTimeout(look, Math.max(100, Math.min(lookMs, Math.min(...due) - clock())));
    });
    inBackground('a pool could not be looked at', all);
  };

  const refresh = async (id: SessionId): Promise<void> => {
    const entry = live.get(id);
    if (!entry || closed) return;
    set(id, { phase: 'resetting' });
    const anew = await sessions.beginAnew(id).catch(() => false);
    const current = live.get(id);
    if (!current) return;
    if (!anew) return retire(current, 'its conversation could not be begun anew');
    await becomeReady(id, await readiness(id));
  };

  for (const session of sessions.pooled())
    if (!session.ended && policies.has(session.pool.project)) adopt(session, 'taken');

  return {
    hasPolicy: (project) => policies.has(project),
    take: async (want) => {
      const policy = policies.get(want.project);
      const persona = policy && !closed ? await options.personaOf(want.project, want.persona) : undefined;
      if (!policy || !persona) return undefined;
      // From here to the mark nothing is awaited: one entry is given to one job.
      refreshFacts();
      const now = known();
      const atPrompt = [...live.values()].filter(({ id }) => now.get(id)?.atPrompt === true);
      const entry = chooseEntry(
        atPrompt,
        { ...want, personaVersion: persona.personaVersion, launch: persona.launch },
        policy,
      );
      if (!entry) return undefined;
      const readyAt = now.get(entry.id)?.readyAt ?? null;
      set(entry.id, { phase: 'taken' });
      try {
        await sessions.markReady(entry.id, null);
      } catch (error) {
        // It is known again at once, by which a person's own is told apart; on disk it has never been another.
        await sessions.markReady(entry.id, readyAt).catch(() => undefined);
        set(entry.id, { phase: 'ready' });
        throw error;
      }
      return { id: entry.id, worktree: live.get(entry.id)?.worktree ?? '' };
    },
    putBack: (id) => {
      // As if it had never been taken: what a person has done in it since then makes it theirs.
      const takenAt = live.get(id)?.since ?? clock();
      const back = async (): Promise<void> => {
        await sessions.markReady(id, takenAt);
        set(id, { phase: 'ready' });
      };
      inBackground('a session could not be put back into its pool', insist(id, back));
    },
    discard: (id, why) => {
      const entry = live.get(id);
      if (entry) inBackground('a session could not be ended', retire(entry, why));
    },
    forget: (id) => {
      if (live.delete(id)) look();
    },
    joined: (id) => {
      const session = known().get(id);
      if (!session) return;
      if (!live.has(id)) adopt(session, 'taken');
      if (session.own !== null) return;
      // At its prompt, before the first tool runs: an agent that starts through a launcher is several processes by then.
      const know = async (): Promise<void> => {
        const is = await readiness(id);
        if (is.kind === 'ready') await noteOwn(id);
      };
      inBackground('a session could not join its pool', know());
    },
    keeps: async (id) => {
      refreshFacts();
      const entry = live.get(id);
      const policy = entry && policies.get(entry.project);
      if (!entry || !policy || closed) return false;
      const now = await options.personaOf(entry.project, entry.persona);
      const colds = [...live.values()].filter(
        (one) =>
          one.kind === 'cold' &&
          one.project === entry.project &&
          one.id !== id &&
          !['leaving', 'personal'].includes(one.phase),
      ).length;
      const why =
        entry.kind === 'cold' && colds >= policy.coldMax
          ? 'there are cold sessions enough'
          : whyNotKept(entry, policy, clock(), now);
      const unfit = why ?? (await whyNotEmpty(entry));
      if (unfit === undefined) return true;
      options.onNews('pool.retired', id, { persona: entry.persona, kind: entry.kind, why: unfit });
      live.delete(id);
      look();
      return false;
    },
    refresh,
    recover: async (id) => {
      const session = known().get(id);
      if (!session || closed) return;
      if (session.readyAt === null) return refresh(id);
      set(id, { phase: 'resetting' });
      const is = await readiness(id);
      const entry = live.get(id);
      const now = known().get(id);
      if (entry && now && belongsToPerson(now)) giveToPerson(entry);
      else await becomeReady(id, is);
    },
    retire: async (id, why) => {
      refreshFacts();
      const entry = live.get(id);
      if (entry?.phase !== 'ready') return false;
      await retire(entry, why);
      return true;
    },
    entries: () => {
      refreshFacts();
      return [...live.values()];
    },
    look,
    close: async () => {
      closed = true;
      closing.abort();
      clearTimeout(timer);
      await Promise.all(working);
    },
  };
}
