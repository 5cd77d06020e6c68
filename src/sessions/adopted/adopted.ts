/**
 * All adopted sessions of one home: agents that a person started in tmux or cmux, shown and spoken to beside our own. SPEC.md has the
 * rules.
 *
 * Order of the parts: opening (records of earlier lives), adopting, looking, speaking, ending and releasing. The room owns the lookouts
 * (one per tmux server, one for cmux) and closes them; it owns nothing in the person's terminals and leaves nothing there.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Agent } from '../../agents/agent.ts';
import type { Clock } from '../../base/clock.ts';
import { type Dispose, emitter } from '../../base/disposal.ts';
import { Fault, messageOf } from '../../base/fault.ts';
import { newSessionId, type SessionId } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { type Cmux, openCmux } from '../../platform/cmux.ts';
import type { Home } from '../../platform/home.ts';
import { environmentOf, startedAt, workingFolder } from '../../platform/process-tree.ts';
import { identify } from '../../platform/processes.ts';
import { openTmux, type Tmux } from '../../platform/tmux.ts';
import type { AgentId, Receipt, SessionView, SessionWhy, StateChange } from '../../protocol/session.ts';
import type { Tree } from '../../protocol/tree.ts';
import { initialFacts } from '../../state/index.ts';
import { type Answer, type Answered, answerPermission } from '../answer.ts';
import { interruptTurn, type Keyboard, type PromptInput } from '../input.ts';
import { LiveSession } from '../live-session.ts';
import { type AdoptedRecord, newRecord, readRecords, type SessionRecord } from '../record.ts';
import type { TerminalStream, TerminalViewer } from '../terminal-stream.ts';
import { AdoptedSession } from './adopted-session.ts';
import { versionOf } from './agent-in.ts';
import { cmuxPlace, lookAtSurfaces } from './cmux-place.ts';
import { deliverAdopted } from './deliver.ts';
import { endTree } from './end-tree.ts';
import { type Adoptable, findAdoptable } from './find.ts';
import { Lookout } from './lookout.ts';
import type { Look, Seen } from './place.ts';
import { lookAtPanes, tmuxPlace } from './tmux-place.ts';
import { readTree } from './tree.ts';

export interface AdoptedOptions {
  readonly home: Home;
  readonly agents: ReadonlyMap<AgentId, Agent>;
  readonly clock: Clock;
  readonly log: Log;
  readonly env: NodeJS.ProcessEnv;
  /** Programs, where they are not on PATH. */
  readonly tmux: string | undefined;
  readonly cmux: string | undefined;
  /** How long one cmux command may take; by default 15 s. */
  readonly cmuxLimitMs?: number;
  /** Told from the first moment on, also of what is found at the start. */
  readonly onChange: (news: { change: StateChange; session: SessionView }) => void;
}

export interface AdoptRequest {
  /** `tmux:PANE`, `tmux:SOCKET/PANE` or `cmux:SURFACE`. */
  readonly target: string;
  readonly agent: string | undefined;
  readonly role: string | undefined;
}

export interface Adopted {
  readonly has: (id: string) => boolean;
  readonly list: () => readonly SessionView[];
  readonly get: (id: SessionId) => SessionView | undefined;
  readonly why: (id: SessionId) => SessionWhy | undefined;
  /** Asking twice for the same terminal gives the session that is there. Faults: BAD_REQUEST, NOT_FOUND, WRONG_STATE, AGENT_UNKNOWN, TERMINAL_UNREACHABLE. */
  readonly adopt: (request: AdoptRequest) => Promise<{ session: SessionView; already: boolean }>;
  /** Forgets it; whatever runs there goes on untouched. */
  readonly release: (id: SessionId) => Promise<SessionView>;
  readonly deliver: (id: SessionId, input: PromptInput) => Promise<Receipt>;
  readonly answer: (id: SessionId, answer: Answer) => Promise<Answered>;
  readonly interrupt: (id: SessionId) => Promise<Receipt>;
  /** Ends the agent's process and what it started; its pane or surface stays. Only with `force`. */
  readonly end: (id: SessionId, how: { graceMs: number; force: boolean }) => Promise<void>;
  readonly tail: (id: SessionId, lines: number) => Promise<readonly string[]>;
  readonly openTerminal: (
    id: SessionId,
    viewer: TerminalViewer,
  ) => Promise<Pick<TerminalStream, 'acknowledge' | 'input' | 'resize' | 'close'> | undefined>;
  readonly onView: (listener: (view: SessionView) => void) => Dispose;
  readonly onReleased: (listener: (session: SessionView) => void) => Dispose;
  readonly tree: () => Promise<Tree>;
  readonly close: () => Promise<void>;
}

/** Adopted ones at once: each is looked at several times a second. */
const adoptedMax = 100;
/** Ended ones that are still listed. */
const endedListedMax = 20;
/** cmux answers slower than tmux, and worse the more it is asked. */
const cmuxSlowness = 4;

export async function openAdopted(options: AdoptedOptions): Promise<Adopted> {
  const room = new AdoptedRoom(options);
  await room.open();
  return room.face();
}

class AdoptedRoom {
  readonly #options: AdoptedOptions;
  readonly #dir: string;
  readonly #tmux: Tmux;
  readonly #cmux: Cmux;
  readonly #sessions = new Map<SessionId, AdoptedSession>();
  readonly #lookouts = new Map<string, Lookout<AdoptedSession>>();
  readonly #views: ReturnType<typeof emitter<SessionView>>;
  readonly #released: ReturnType<typeof emitter<SessionView>>;
  #adopting: Promise<unknown> = Promise.resolve();

  constructor(options: AdoptedOptions) {
    const { home, env, tmux, cmux, cmuxLimitMs, log } = options;
    this.#options = options;
    this.#dir = join(home.dir, 'adopted');
    this.#tmux = openTmux({ program: tmux, env });
    this.#cmux = openCmux({ program: cmux, env, ...(cmuxLimitMs === undefined ? {} : { limitMs: cmuxLimitMs }) });
    const threw = (error: unknown): void =>
      log.error({ cause: messageOf(error) }, 'a listener of adopted sessions threw');
    this.#views = emitter(threw);
    this.#released = emitter(threw);
  }

  /** [A2] Every one is unknown until it is looked at again; what ended meanwhile is told then. */
  async open(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    for (const record of await readRecords(this.#dir, this.#options.log)) {
      if (!record.adopted) continue;
      const session = await this.#take(record, record.adopted);
      if (session && !session.live.ended) await session.live.forget();
      if (session) await this.#watch(session);
    }
    await this.#forgetOldest();
  }

  face(): Adopted {
    const of = (id: SessionId): AdoptedSession => this.#session(id);
    return {
      has: (id) => this.#sessions.has(id as SessionId),
      list: () => [...this.#sessions.values()].map(({ live }) => live.view()),
      get: (id) => this.#sessions.get(id)?.live.view(),
      why: (id) => this.#sessions.get(id)?.live.why(),
      adopt: (request) => this.#adopt(request),
      release: (id) => this.#release(of(id)),
      deliver: (id, input) => of(id).alone(() => deliverAdopted(of(id).live, of(id), input, this.#options.clock)),
      answer: (id, answer) => answerPermission(of(id).live, this.#keyboard(of(id)), answer, this.#options.clock),
      interrupt: (id) => interruptTurn(of(id).live, this.#keyboard(of(id)), this.#options.clock),
      end: (id, how) => this.#end(of(id), how),
      tail: (id, lines) => of(id).place.tail(lines),
      openTerminal: (id, viewer) => this.#openTerminal(id, viewer),
      onView: this.#views.on,
      onReleased: this.#released.on,
      tree: () =>
        readTree({
          tmux: this.#tmux,
          cmux: this.#cmux,
          agents: this.#options.agents,
          adopted: [...this.#sessions.values()].map(({ live }) => live.view()),
        }),
      close: () => this.#close(),
    };
  }

  // --- adopting

  /** One at a time, so that the same terminal asked for twice at once is one session. */
  #adopt(request: AdoptRequest): Promise<{ session: SessionView; already: boolean }> {
    const done = this.#adopting.then(() => this.#adoptOne(request));
    this.#adopting = done.catch(() => undefined);
    return done;
  }

  async #adoptOne(request: AdoptRequest): Promise<{ session: SessionView; already: boolean }> {
    const { agents } = this.#options;
    const found = await findAdoptable(request, { tmux: this.#tmux, cmux: this.#cmux, agents });
    const open = [...this.#sessions.values()].filter(({ live }) => !live.ended);
    const same = open.find((session) => isSamePlace(session, found));
    if (same) return { session: same.live.view(), already: true };
    if (open.length >= adoptedMax)
      throw new Fault('WRONG_STATE', `${adoptedMax} sessions are adopted already`, { hint: 'Release one first.' });
    const record = await this.#newRecord(found, request.role);
    const session = await this.#take(record, found.adopted(record.adopted?.role ?? ''));
    if (!session) throw new Error('assertion failed: a record that was just made has its agent');
    try {
      await session.live.save();
    } catch (error) {
      // [A2] One that no later life would find is not adopted.
      this.#sessions.delete(record.id);
      await session.close();
      throw error;
    }
    await this.#watch(session);
    await session.look();
    await this.#forgetOldest();
    return { session: session.live.view(), already: false };
  }

  async #newRecord({ agent, process, adopted, cwd }: Adoptable, wanted: string | undefined): Promise<SessionRecord> {
    const id = newSessionId();
    const now = this.#options.clock();
    const role = wanted ?? this.#nextRole(agent);
    const identity = process && identify(process.pid);
    const { place, target } = adopted(role);
    if (place.kind === 'tmux' && identity === undefined)
      throw new Fault('NOT_FOUND', `target: the agent in "${target}" has ended just now`);
    // The agent's own: files from before it belong to an earlier process of that number.
    const createdAt = Math.min(now, (identity && (await startedAt(identity))) ?? now);
    const env = process ? await environmentOf(process.pid, agent.adopted.environment) : {};
    const version = process ? await versionOf({ agent, row: process }) : '';
    const start = { source: 'control', at: now, state: 'unknown', reason: 'adopted; not looked at yet' } as const;
    return newRecord({
      id,
      // It carries no mark of ours, and nothing that it started may be swept.
      instance: '',
      agent: agent.id,
      agentVersion: version === '' ? 'of unknown version' : version,
      agentTested: version !== '' && agent.isTested(version),
      persona: '',
      personaVersion: null,
      unkeptRules: [],
      title: role,
      cwd: (process && (await workingFolder(process.pid))) ?? cwd,
      cols: 80,
      rows: 24,
      createdAt,
      pid: identity?.pid ?? null,
      startTicks: identity?.startTicks ?? null,
      watches: process ? [...agent.adopted.traces(env).watches] : [],
      rowsOffset: 0,
      endAsked: false,
      exit: null,
      lastOutputAt: null,
      memory: agent.memory(),
      facts: { ...initialFacts(now), launchedAt: createdAt, state: 'unknown', evidence: start, recent: [start] },
      adopted: adopted(role),
    });
  }

  /** `Codex 1`, `Codex 2`: the first number that no other one has. */
  #nextRole(agent: Agent): string {
    const taken = new Set([...this.#sessions.values()].map((session) => session.adopted.role));
    for (let number = 1; ; number += 1) {
      const role = `${agent.title} ${number}`;
      if (!taken.has(role)) return role;
    }
  }

  async #take(record: SessionRecord, adopted: AdoptedRecord): Promise<AdoptedSession | undefined> {
    const { agents, clock, log } = this.#options;
    const agent = agents.get(record.agent);
    if (!agent) return undefined;
    const dir = join(this.#dir, record.id);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const live = new LiveSession(record, {
      agent,
      dir,
      clock,
      log,
      onView: this.#views.emit,
      onChange: (change, session) => this.#options.onChange({ change, session }),
      recordNote: () => undefined,
    });
    const { place: mark } = adopted;
    const place = mark.kind === 'tmux' ? tmuxPlace(this.#tmux, mark) : cmuxPlace(this.#cmux, mark);
    const session = new AdoptedSession({
      live,
      place,
      clock,
      log,
      fresh: () => this.#lookout(place.group).fresh(),
    });
    this.#sessions.set(record.id, session);
    return session;
  }

  // --- looking

  /** Files first: they tell what happened, a screen only how it is now. */
  async #watch(session: AdoptedSession): Promise<void> {
    if (session.live.ended) return;
    await session.live.startWatches();
    this.#lookout(session.place.group).add(session);
  }

  #lookout(group: string): Lookout<AdoptedSession> {
    const known = this.#lookouts.get(group);
    if (known) return known;
    const made = new Lookout<AdoptedSession>({
      slowness: group === 'cmux' ? cmuxSlowness : 1,
      lookAll: (members) => this.#lookAll(members),
      onError: (error) =>
        this.#options.log.error({ group, cause: messageOf(error) }, 'a look at adopted sessions failed'),
    });
    this.#lookouts.set(group, made);
    return made;
  }

  /** All of one group; one that has ended is looked at no more. */
  async #lookAll(members: readonly AdoptedSession[]): Promise<readonly Look[]> {
    const { clock } = this.#options;
    for (const member of members) if (member.live.ended) this.#lookout(member.place.group).remove(member);
    const marks = members.map((member) => ({ mark: member.adopted.place, agent: member.agentProcess ?? null }));
    const surfaces = marks.flatMap(({ mark, agent }) => (mark.kind === 'cmux' ? [{ mark, agent }] : []));
    if (surfaces.length > 0) return lookAtSurfaces(this.#cmux, surfaces, clock);
    // In a pane its process is what was adopted: nobody is there without one.
    const panes = marks.flatMap(({ mark, agent }) => (mark.kind === 'tmux' && agent ? [{ mark, agent }] : []));
    const looks = new Map<AdoptedRecord['place'] | undefined, Look>(
      (await lookAtPanes(this.#tmux, panes, clock)).map((look, index) => [panes[index]?.mark, look]),
    );
    return marks.map(({ mark }) => looks.get(mark) ?? { kind: 'gone', reason: 'its process is not known' });
  }

  async #openTerminal(id: SessionId, viewer: TerminalViewer): ReturnType<Adopted['openTerminal']> {
    const session = this.#sessions.get(id);
    if (!session) return undefined;
    if (!session.live.ended) await session.look();
    const leave = session.watch(viewer.onMessage);
    const no = async (what: string): Promise<never> => {
      throw new Fault(
        'WRONG_STATE',
        `${what} belongs to the person whose terminal it is; use send, approve, deny or interrupt`,
        {
          subject: id,
        },
      );
    };
    return {
      acknowledge: () => undefined,
      input: () => no('the keyboard of an adopted session'),
      resize: () => no('the size of an adopted session'),
      close: leave,
    };
  }

  // --- speaking

  /** For keys that answer or interrupt: only where they reach the agent and it alone. */
  #keyboard(session: AdoptedSession): Keyboard {
    const { clock } = this.#options;
    const seen = async (): Promise<Seen> => {
      const look = await session.look();
      if (look.kind !== 'seen') throw new Fault('WRONG_STATE', look.reason);
      if (look.obstacle !== undefined) throw new Fault('WRONG_STATE', look.obstacle);
      return look;
    };
    return {
      write: async (_, data) => {
        await seen();
        const typed = await session.keys(data);
        if (typed.kind === 'refused') throw new Fault('WRONG_STATE', typed.reason);
        return clock();
      },
      written: async (ids) => Object.fromEntries(ids.map((one) => [one, null])),
      screen: async () => {
        const { screen, solid } = await seen();
        return { ...screen, rows: solid };
      },
      inTurn: (act) => session.alone(act),
    };
  }

  // --- ending and releasing

  async #end(session: AdoptedSession, { graceMs, force }: { graceMs: number; force: boolean }): Promise<void> {
    if (session.live.ended) return;
    const { id } = session.record;
    const agent = session.agentProcess;
    if (!force)
      throw new Fault('WRONG_STATE', `${id} was started by a person in ${session.adopted.target}, not by Muster`, {
        subject: id,
        hint: 'End it there; or `muster session stop --force`; or `muster session release` to only stop watching it.',
      });
    if (!agent)
      throw new Fault('WRONG_STATE', `the process of ${id} is not known, so that it can't be ended from here`, {
        subject: id,
        hint: `End it in ${session.adopted.target}.`,
      });
    await session.live.note({ endAsked: true });
    await endTree(agent, graceMs);
    await session.look();
  }

  /** [A11] The record goes first: what is not on disk any more comes back in no later life. */
  async #release(session: AdoptedSession): Promise<SessionView> {
    const { id } = session.record;
    const view = session.live.view();
    const lookout = this.#lookout(session.place.group);
    lookout.remove(session);
    this.#sessions.delete(id);
    await lookout.idle();
    await session.close();
    await rm(session.live.dir, { recursive: true, force: true });
    this.#released.emit(view);
    return view;
  }

  async #forgetOldest(): Promise<void> {
    const ended = [...this.#sessions.values()].filter(({ live }) => live.ended);
    for (const session of ended.slice(0, Math.max(0, ended.length - endedListedMax))) await this.#release(session);
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#lookouts.values()].map((lookout) => lookout.close()));
    await Promise.all([...this.#sessions.values()].map((session) => session.close()));
  }

  #session(id: SessionId): AdoptedSession {
    const session = this.#sessions.get(id);
    if (session) return session;
    throw new Fault('NOT_FOUND', `There is no adopted session ${id}`, {
      subject: id,
      hint: '`muster session list` shows all sessions, `muster session tree` what can be adopted.',
    });
  }
}

function isSamePlace(session: AdoptedSession, { adopted, process }: Adoptable): boolean {
  const here = session.adopted.place;
  const there = adopted('').place;
  if (here.kind === 'tmux' && there.kind === 'tmux')
    return (
      here.socket === there.socket &&
      here.pane === there.pane &&
      here.panePid === there.panePid &&
      session.record.pid === (process?.pid ?? null)
    );
  return here.kind === 'cmux' && there.kind === 'cmux' && here.surface === there.surface;
}
