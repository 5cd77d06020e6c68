/**
 * All sessions of one home, as the daemon sees them. SPEC.md has the rules; the processes live in the PTY host.
 *
 * Order of the parts: starting (`start`), bringing records and host in line (`reconcile`), routing what the host tells (`onNotice`),
 * waiting for a session to be ready or to end its turn, ending.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Agent, type FoundAgent, promptStates } from '../agents/agent.ts';
import type { Clock } from '../base/clock.ts';
import { type Dispose, emitter } from '../base/disposal.ts';
import { Fault, messageOf } from '../base/fault.ts';
import { randomToken, type SessionId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { clip } from '../base/text.ts';
import type { Home } from '../platform/home.ts';
import { sweep } from '../platform/processes.ts';
import type { RunningHost } from '../protocol/api.ts';
import type { HostNotice, HostSession } from '../protocol/host.ts';
import type { PermissionRule } from '../protocol/rules.ts';
import type { AgentId, Receipt, SessionExit, SessionView, SessionWhy, StateChange } from '../protocol/session.ts';
import type { EvidenceSource, SessionState, TurnError } from '../protocol/state.ts';
import { initialFacts, isSettled, restStates } from '../state/index.ts';
import { type Answer, type Answered, answerPermission } from './answer.ts';
import { lastBegun } from './begun.ts';
import { type HostClient, hostErrorOf } from './host-client.ts';
import { describeHost, type UpgradedHost, upgradeHost } from './host-launch.ts';
import { type HostLink, openHostLink } from './host-link.ts';
import { hostKeyboard, interruptTurn, type PromptInput, whereItStands } from './input.ts';
import { readLastScreen, writeLastScreen } from './last-screen.ts';
import { LiveSession } from './live-session.ts';
import { type Measured, type MemoryWatch, openMemoryWatch } from './memory-watch.ts';
import { beginAnew } from './pool/begin-anew.ts';
import type { PooledSession, PoolMark } from './pool/pool.ts';
import { deliverPrompt, mayBeTyped, sendPrompt } from './prompt.ts';
import { newRecord, readRecords, type SessionRecord } from './record.ts';
import { relaunchPlan, renewedRecord, resumable } from './resume.ts';
import { openTerminalStream, type TerminalStream, type TerminalViewer } from './terminal-stream.ts';
import { readTombstone, removeTombstone, type Tombstone } from './tombstone.ts';

export interface StartSession {
  /** Chosen by the caller before: starting the same id twice starts it once. */
  readonly id: SessionId;
  readonly agent: Agent;
  readonly found: FoundAgent;
  readonly persona: string;
  readonly personaVersion?: string;
  /** Permission rules over the mode; by default none. */
  readonly rules?: readonly PermissionRule[];
  readonly title: string;
  readonly cwd: string;
  /** The whole environment of the agent, before what the adapter adds. */
  readonly env: Readonly<Record<string, string>>;
  readonly permissions: 'ask' | 'edits' | 'all';
  readonly model: string | undefined;
  readonly resumeId: string | undefined;
  readonly extraArgs: readonly string[];
  /** Set if a pool keeps it for jobs to come. */
  readonly pool?: PoolMark;
}

export type StartOutcome =
  | { readonly kind: 'started'; readonly session: SessionView }
  | { readonly kind: 'failed'; readonly reason: string };

export type Readiness =
  | { readonly kind: 'ready'; readonly state: SessionState; readonly source: EvidenceSource }
  | { readonly kind: 'ended'; readonly crashed: boolean; readonly hostLost: boolean; readonly reason: string }
  | { readonly kind: 'needs-setup'; readonly reason: string }
  | { readonly kind: 'late'; readonly reason: string };

/** How a turn ended. `lost`: the session can't be found any more, so nobody knows. */
export type TurnEnd =
  | {
      readonly kind: 'done';
      readonly source: EvidenceSource;
      readonly reason: string;
      readonly message: string;
      readonly toolCalls: number;
    }
  | { readonly kind: 'failed'; readonly reason: string; readonly error: TurnError | undefined }
  /** cut: the host died in the turn, and the conversation is gone on with: it needs a word. host-lost: it could not be. */
  | {
      readonly kind: 'interrupted' | 'exited' | 'crashed' | 'late' | 'lost' | 'cut' | 'host-lost';
      readonly reason: string;
    };

export interface Sessions {
  readonly start: (spec: StartSession) => Promise<StartOutcome>;
  readonly list: () => readonly SessionView[];
  readonly get: (id: SessionId) => SessionView | undefined;
  readonly why: (id: SessionId) => SessionWhy | undefined;
  /** At its prompt, or why not. A setup screen waits `setupMs` for a person. */
  readonly ready: (
    id: SessionId,
    limits: { startMs: number; setupMs: number; signal?: AbortSignal },
  ) => Promise<Readiness>;
  /** Throws where the way to the agent breaks off, and is then asked again with the same id. */
  readonly deliver: (id: SessionId, input: PromptInput) => Promise<Receipt>;
  /** True if this input was typed, or part of it, or may have been. */
  readonly mayBeTyped: (id: SessionId, inputId: string) => boolean;
  /** The same as `deliver` for one who will not ask again. */
  readonly send: (id: SessionId, input: PromptInput) => Promise<Receipt>;
  readonly turnEnd: (id: SessionId, limits: { limitMs: number; signal?: AbortSignal }) => Promise<TurnEnd>;
  readonly answer: (id: SessionId, answer: Answer) => Promise<Answered>;
  readonly interrupt: (id: SessionId) => Promise<Receipt>;
  /** Ends the agent and everything it started. Ending an ended or unknown session is harmless. */
  readonly end: (id: SessionId, how: { graceMs: number }) => Promise<void>;
  /** Sessions that a pool keeps, also ended ones. */
  readonly pooled: () => readonly PooledSession[];
  /** A new conversation in the same process; false if that can't be proved. */
  readonly beginAnew: (id: SessionId) => Promise<boolean>;
  /** Of a pooled session: since when it stands ready for a job; null: a job gets it. Resolves when that is on disk. */
  readonly markReady: (id: SessionId, at: number | null) => Promise<void>;
  /** Of a pooled session: the processes it has before a job works in it. Resolves when that is on disk. */
  readonly noteOwn: (id: SessionId, processes: readonly string[]) => Promise<void>;
  readonly tail: (id: SessionId, lines: number) => Promise<readonly string[]>;
  /** Undefined if there is no such session. */
  readonly openTerminal: (
    id: SessionId,
    viewer: TerminalViewer,
  ) => Promise<Pick<TerminalStream, 'acknowledge' | 'input' | 'resize' | 'close'> | undefined>;
  readonly onView: (listener: (view: SessionView) => void) => Dispose;
  readonly host: HostLink['state'];
  readonly hostMemory: () => Promise<number | null>;
  readonly describeHost: () => Promise<RunningHost>;
  /** The host becomes the version that is installed, with all its sessions. Fault HOST_UPGRADE: it could not and goes on as it was. */
  readonly upgradeHost: () => Promise<UpgradedHost>;
  /** Brings the `memoryBytes` of all views up to date, unless the last measurement is younger. */
  readonly measure: (maxAgeMs: number) => Promise<void>;
  /** `end` also ends every session and the host; `keep` leaves them for the next daemon. */
  readonly close: (sessions: 'end' | 'keep') => Promise<void>;
}

export interface SessionsOptions {
  readonly home: Home;
  readonly agents: ReadonlyMap<AgentId, Agent>;
  readonly clock: Clock;
  readonly log: Log;
  readonly recordingBytesMax: number;
  /** Of one session, where the host can have the kernel keep it; by default none. */
  readonly memoryBytesMax?: number | undefined;
  /** The environment of an agent that is started again; without it nothing is resumed. Never kept on disk, because it may hold keys. */
  readonly environmentOf?: (agent: Agent) => Readonly<Record<string, string>>;
  /** Whether a session that the host does not have is to end, so that no agent is started to go on with it; by default none is. */
  readonly isToEnd?: (id: SessionId) => Promise<boolean>;
  /** Told from the first moment on, also of what is found at the start. */
  readonly news: {
    /** `before`: pid of the process that died with its host. */
    readonly onResumed?: (news: { session: SessionView; before: number | null }) => void;
    readonly onChange: (news: { change: StateChange; session: SessionView }) => void;
    readonly onHost: (news: HostNews) => void;
  };
}

export interface HostNews {
  readonly connected: boolean;
  readonly reason: string;
  readonly pid: number | null;
}

/** The terminal an agent gets: wide enough for a table, as on the recordings. A viewer in control may change it. */
const size = { cols: 110, rows: 36 };
/** Ended sessions that are still listed; their folders stay. */
const endedListedMax = 100;
/** Lines of history kept of an ended session. */
const lastLinesMax = 1000;
const spawnErrorChars = 500;

export async function openSessions(options: SessionsOptions): Promise<Sessions> {
  const room = new SessionsRoom(options);
  await room.open();
  return room.face();
}

class SessionsRoom {
  readonly #options: SessionsOptions;
  readonly #live = new Map<SessionId, LiveSession>();
  readonly #starting = new Map<SessionId, Promise<StartOutcome>>();
  readonly #streams = new Map<SessionId, Set<TerminalStream>>();
  readonly #views: ReturnType<typeof emitter<SessionView>>;
  /** The connection over which notices come; there before it is open to callers. */
  #client: HostClient | undefined;
  readonly #memory: MemoryWatch;
  #host: HostLink | undefined;
  #inLine: Promise<void> = Promise.resolve();
  readonly #ending = new Set<SessionId>();
  readonly #burying = new Map<SessionId, Promise<void>>();
  /** Sessions that could not be brought in line with the host: the wait before the next try, and its timer until it runs. */
  readonly #misaligned = new Map<LiveSession, { waitMs: number; timer: NodeJS.Timeout | undefined }>();
  #closed = false;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#memory = openMemoryWatch({ log: options.log, sessions: () => this.#measured() });
    const listenerThrew = (error: unknown): void =>
      options.log.error({ cause: messageOf(error) }, 'a listener of sessions threw');
    this.#views = emitter(listenerThrew);
  }

  async open(): Promise<void> {
    const { home, log } = this.#options;
    await mkdir(home.sessions, { recursive: true, mode: 0o700 });
    const records = await readRecords(home.sessions, log);
    const ended = records.filter((record) => record.exit !== null).slice(-endedListedMax);
    for (const record of [...ended, ...records.filter((one) => one.exit === null)]) this.#adopt(record);
    await Promise.all([...this.#live.values()].filter((session) => !session.ended).map((session) => session.forget()));
    this.#host = await openHostLink({
      home,
      log,
      onNotice: (notice) => this.#onNotice(notice),
      onConnected: (client) => this.#reconcile(client),
      onOpen: () => {
        for (const streams of this.#streams.values()) for (const stream of streams) stream.resume();
      },
      onLost: (reason) => this.#onHostLost(reason),
    });
  }

  face(): Sessions {
    return {
      start: (spec) => this.#start(spec),
      list: () => [...this.#live.values()].map((session) => session.view()),
      get: (id) => this.#live.get(id)?.view(),
      why: (id) => this.#live.get(id)?.why(),
      ready: (id, limits) => this.#ready(id, limits),
      deliver: (id, input) =>
        deliverPrompt(this.#session(id), hostKeyboard(this.#link(), id), input, this.#options.clock),
      mayBeTyped: (id, inputId) => mayBeTyped(this.#session(id), inputId),
      send: (id, input) => sendPrompt(this.#session(id), hostKeyboard(this.#link(), id), input, this.#options.clock),
      turnEnd: (id, limits) => this.#turnEnd(id, limits),
      answer: (id, answer) =>
        answerPermission(this.#session(id), hostKeyboard(this.#link(), id), answer, this.#options.clock),
      interrupt: (id) => interruptTurn(this.#session(id), hostKeyboard(this.#link(), id), this.#options.clock),
      end: (id, how) => this.#end(id, how),
      pooled: () => [...this.#live.values()].flatMap(pooledSession),
      beginAnew: (id) => beginAnew(this.#session(id), hostKeyboard(this.#link(), id), this.#options.clock),
      markReady: (id, at) => this.#session(id).amend({ readyAt: at }),
      noteOwn: (id, processes) => {
        const session = this.#session(id);
        return session.amend({ own: { instance: session.record.instance, processes: [...processes] } });
      },
      tail: (id, lines) => this.#tail(id, lines),
      openTerminal: (id, viewer) => this.#openTerminal(id, viewer),
      onView: this.#views.on,
      host: () => this.#host?.state() ?? { connected: false, pid: null, startedAt: null },
      hostMemory: () => this.#hostMemory(),
      describeHost: () => describeHost(this.#options.home),
      upgradeHost: () => upgradeHost(this.#options.home),
      measure: (maxAgeMs) => this.#memory.measure(maxAgeMs),
      close: (sessions) => this.#close(sessions),
    };
  }

  // --- starting

  #start(spec: StartSession): Promise<StartOutcome> {
    const running = this.#starting.get(spec.id);
    if (running) return running;
    const started = this.#startOnce(spec).finally(() => this.#starting.delete(spec.id));
    this.#starting.set(spec.id, started);
    return started;
  }

  /** [C1] The record is written before the process exists; [C2] the host starts one id once. */
  async #startOnce(spec: StartSession): Promise<StartOutcome> {
    const known = this.#live.get(spec.id);
    // One that goes on after its host had died was started once, though its next process may not be there yet.
    if (known && (known.record.pid !== null || known.record.resumed !== undefined)) {
      // A pooled session goes on to its next job.
      if (known.record.title !== clip(spec.title, 100)) await known.note({ title: clip(spec.title, 100) });
      return { kind: 'started', session: known.view() };
    }
    if (known?.ended) return { kind: 'failed', reason: `it could not be started: ${whereItStands(known)}` };
    const dir = join(this.#options.home.sessions, spec.id);
    for (const folder of ['spool', 'answers']) await mkdir(join(dir, folder), { recursive: true, mode: 0o700 });
    const launch = await spec.agent.prepare({ ...spec, dir });
    const now = this.#options.clock();
    const session =
      known ??
      this.#adopt(
        newRecord({
          id: spec.id,
          instance: randomToken(32),
          agent: spec.agent.id,
          agentVersion: spec.found.version,
          agentTested: spec.agent.isTested(spec.found.version),
          persona: spec.persona,
          personaVersion: spec.personaVersion ?? null,
          unkeptRules: [...spec.agent.unkeptRules(spec.rules ?? [], spec.permissions)],
          title: clip(spec.title, 100),
          cwd: spec.cwd,
          ...size,
          createdAt: now,
          pid: null,
          startTicks: null,
          watches: [...launch.watches],
          rowsOffset: 0,
          endAsked: false,
          exit: null,
          lastOutputAt: null,
          memory: spec.agent.memory(),
          startedWith: {
            file: spec.found.file,
            args: [...spec.found.args],
            permissions: spec.permissions,
            rules: [...(spec.rules ?? [])],
            model: spec.model ?? null,
            extraArgs: [...spec.extraArgs],
          },
          ...(spec.pool ? { pool: spec.pool } : {}),
          facts: { ...initialFacts(now), resumeId: launch.resumeId ?? null },
        }),
      );
    try {
      await session.save();
    } catch (error) {
      if (!known) this.#live.delete(spec.id);
      if (!known) await session.close();
      throw error;
    }
    return this.#spawn(session, launch);
  }

  /** `host` is given where the link is not open to others yet. */
  async #spawn(
    session: LiveSession,
    launch: Awaited<ReturnType<Agent['prepare']>>,
    host?: Pick<HostClient, 'call'>,
  ): Promise<StartOutcome> {
    const { record, dir } = session;
    const { memoryBytesMax } = this.#options;
    try {
      const { session: held } = await (host ?? this.#link()).call('spawn', {
        sessionId: record.id,
        instance: record.instance,
        file: launch.file,
        args: [...launch.args],
        cwd: record.cwd,
        env: { ...launch.env },
        cols: record.cols,
        rows: record.rows,
        dir,
        recordingBytesMax: this.#options.recordingBytesMax,
        ...(memoryBytesMax === undefined ? {} : { memoryBytesMax }),
        title: `${record.agent} ${record.agentVersion} ${record.title}`.slice(0, 200),
      });
      await session.note({ pid: held.pid, startTicks: held.startTicks });
      void session.startWatches();
      return { kind: 'started', session: session.view() };
    } catch (error) {
      if (hostErrorOf(error) !== 'spawn-failed') throw error;
      const reason = clip(messageOf(error), spawnErrorChars);
      await session.exited({ code: null, signal: null, at: this.#options.clock() });
      return { kind: 'failed', reason };
    }
  }

  #adopt(record: SessionRecord): LiveSession {
    const agent = this.#options.agents.get(record.agent);
    if (!agent)
      throw new Fault('AGENT_UNKNOWN', `session ${record.id} runs ${record.agent}, for which there is no adapter`);
    const session = new LiveSession(record, {
      agent,
      dir: join(this.#options.home.sessions, record.id),
      clock: this.#options.clock,
      log: this.#options.log,
      onView: this.#views.emit,
      onChange: (change, view) => this.#options.news.onChange({ change, session: view }),
      recordNote: (observation) => {
        if (observation.source === 'process') return;
        this.#host
          ?.call('note', { sessionId: record.id, source: observation.source, payload: observation.payload })
          .catch(() => undefined);
      },
    });
    this.#live.set(record.id, session);
    this.#forgetOldest();
    return session;
  }

  #forgetOldest(): void {
    const ended = [...this.#live.values()].filter((session) => session.ended);
    for (const session of ended.slice(0, Math.max(0, ended.length - endedListedMax))) {
      this.#live.delete(session.record.id);
      void session.close();
    }
  }

  // --- in line with the host

  /** What goes through the sessions one by one does so alone: two that found the same one lost would start it twice. */
  #alone(work: () => Promise<void>): Promise<void> {
    const done = this.#inLine.then(work);
    this.#inLine = done.catch(() => undefined);
    return done;
  }

  #reconcile(client: HostClient): Promise<void> {
    return this.#alone(async () => {
      this.#client = client;
      await client.call('watch', {});
      const { sessions } = await client.call('list', {});
      const held = new Map(sessions.map((session) => [session.sessionId, session]));
      for (const session of this.#live.values()) await this.#align(session, held.get(session.record.id), client);
      await this.#endUnknown(sessions, client);
      this.#options.news.onHost({ connected: true, reason: 'connected', pid: client.hello.pid });
    });
  }

  /** One session about which the host says no, or that can't be written, must not keep the others from being found. */
  async #align(session: LiveSession, held: HostSession | undefined, client: HostClient): Promise<void> {
    try {
      if (held) await this.#takeUp(session, held, client);
      else if (!session.ended) await this.#declareLost(session, client);
      // A timer stands where its exit could not be kept.
      if (this.#misaligned.get(session)?.timer === undefined) this.#misaligned.delete(session);
    } catch (error) {
      const refused = hostErrorOf(error) !== undefined;
      // Not answered: the connection is made again, and all of this with it.
      if (error instanceof Fault && !refused) throw error;
      const cause = messageOf(error);
      this.#options.log.warn({ session: session.record.id, cause }, 'a session could not be brought in line');
      if (!refused) this.#alignLater(session);
    }
  }

  #alignLater(session: LiveSession): void {
    const before = this.#misaligned.get(session);
    if (this.#closed || before?.timer !== undefined) return;
    const waitMs = before === undefined ? alignAgainMs : Math.min(before.waitMs * 2, alignAgainMaxMs);
    const timer = setTimeout(() => {
      this.#misaligned.set(session, { waitMs, timer: undefined });
      void this.#alone(() => this.#alignAgain(session));
    }, waitMs);
    this.#misaligned.set(session, { waitMs, timer });
  }

  /** Without a connection there is nothing to do: the next one begins with all sessions. */
  async #alignAgain(session: LiveSession): Promise<void> {
    const client = this.#client;
    const { id } = session.record;
    if (!client || this.#closed) return;
    try {
      const { sessions } = await client.call('list', {});
      const held = sessions.find(({ sessionId }) => sessionId === id);
      await this.#align(session, held, client);
    } catch (error) {
      this.#options.log.warn({ session: id, cause: messageOf(error) }, 'a session could not be brought in line again');
      this.#alignLater(session);
    }
  }

  /** [C8] A session of which we have no record can't be watched or explained; it is ended, and said so. */
  async #endUnknown(held: readonly HostSession[], client: HostClient): Promise<void> {
    for (const { sessionId, exit } of held.filter((one) => !this.#live.has(one.sessionId as SessionId))) {
      this.#options.log.error(
        { session: sessionId },
        'the host holds a session that has no readable record; it is ended',
      );
      if (!exit) await client.call('end', { sessionId, signal: 'SIGTERM', graceMs: closeGraceMs });
      await client.call('acknowledge', { sessionId });
    }
  }

  /**
   * [C7] What was to end is ended where it lives, also if that was said by an earlier life; one that was told as ended is not left to run.
   * The exit comes as a notice.
   */
  async #endThere(session: LiveSession, client: Pick<HostClient, 'call'>): Promise<void> {
    const { id } = session.record;
    // Somebody waits for it at this very moment, with a grace of their own.
    if (this.#ending.has(id)) return;
    try {
      await client.call('end', { sessionId: id, signal: 'SIGTERM', graceMs: closeGraceMs });
    } catch (error) {
      this.#options.log.warn({ session: id, cause: messageOf(error) }, 'a session that was to end could not be ended');
    }
  }

  /** [C3] First what the agent wrote while nobody listened, in its order; then how its terminal looks now. */
  async #takeUp(session: LiveSession, held: HostSession, client: HostClient): Promise<void> {
    if (held.exit) return this.#bury(session, held.exit, client);
    if (session.ended) return void this.#endThere(session, client);
    if (session.record.pid === null) await session.note({ pid: held.pid, startTicks: held.startTicks });
    // What is seen now must not be newer than what hooks tell a moment later.
    const at = this.#options.clock();
    await session.startWatches();
    for (const text of Object.values(held.programStatus))
      await session.observe({ at, source: 'osc7501', payload: text });
    if (held.title !== '') await session.observe({ at, source: 'title', payload: held.title });
    const { screen } = await client.call('snapshot', { sessionId: held.sessionId });
    await session.observe({ at, source: 'screen', payload: screen });
    if (session.record.endAsked) void this.#endThere(session, client);
  }

  /**
   * [C4] The host of this home does not have it. One that was never confirmed may be started again by its owner; any other ended with
   * its host, and nothing of either may live on. [C9] A conversation that can be gone on with is. [C12] How one ended before its host did
   * is told as the host has written it down.
   */
  async #declareLost(session: LiveSession, client?: HostClient): Promise<void> {
    if (this.#starting.has(session.record.id)) return;
    await sweep(session.record.instance);
    if (await this.#options.isToEnd?.(session.record.id)) await session.note({ endAsked: true });
    const { pid, endAsked, resumed } = session.record;
    const tombstone = await readTombstone(session.dir);
    if (tombstone !== undefined && tellsTheEnd(tombstone, session.record)) return this.#exhume(session, tombstone);
    if (pid === null && resumed === undefined && !endAsked) return;
    if (client && !endAsked && (await this.#resume(session, client))) return;
    if (!endAsked) await session.note({ hostLost: true });
    await session.exited({ code: null, signal: pid === null ? null : 'SIGHUP', at: this.#options.clock() });
  }

  async #exhume(session: LiveSession, { exit, screen, tail, offset }: Tombstone): Promise<void> {
    const { id, cols, rows } = session.record;
    try {
      await writeLastScreen(session.dir, { cols, rows, data: screen.rows.join('\r\n'), offset, lines: tail });
    } catch (error) {
      this.#options.log.warn({ session: id, cause: messageOf(error) }, 'the last screen could not be kept');
    }
    await session.exited(exit);
    // Until its end is on disk this is the only trace of it; left over it says nothing that the record doesn't.
    await session.save().then(
      () => removeTombstone(session.dir),
      () => undefined,
    );
  }

  /** [C9] [C10] False if it can't be; the reason is in the log. A life that died in between finds the renewed record and goes on from it. */
  async #resume(session: LiveSession, client: HostClient): Promise<boolean> {
    const begun = session.record.pid === null && session.record.resumed !== undefined;
    if (!begun) await session.hearLastWords();
    const { record } = session;
    const found = begun && record.toldResumeId !== undefined ? { resumeId: record.toldResumeId } : resumable(record);
    const { startedWith } = record;
    const env = this.#options.environmentOf?.(session.agent);
    if ('not' in found || startedWith === undefined || env === undefined) {
      const reason = 'not' in found ? found.not : 'it is not known how it was started';
      this.#options.log.warn({ session: record.id, reason }, 'a session ended with its host and is not resumed');
      return false;
    }
    const failed = (error: unknown): false => {
      this.#options.log.warn({ session: record.id, cause: messageOf(error) }, 'a session could not be resumed');
      return false;
    };
    const plan = relaunchPlan(session, startedWith, { env, ...found });
    const launch = await session.agent.prepare(plan).catch(failed);
    if (launch === false) return false;
    const renewal = { at: this.#options.clock(), ...found, instance: randomToken(32), launch };
    if (begun) await session.save();
    else await session.renew(renewedRecord(record, renewal));
    try {
      const started = await this.#spawn(session, launch, client);
      if (session.record.endAsked) void this.#endThere(session, client);
      if (started.kind === 'started') this.#options.news.onResumed?.({ session: session.view(), before: record.pid });
      return true;
    } catch (error) {
      // A lost connection is made again, and all of this with it; what the host refuses it would refuse again.
      if (hostErrorOf(error) === undefined) throw error;
      return failed(error);
    }
  }

  /** [C5] An exit is told at once, and acknowledged only when it, and the last screen, are on our disk: tried again until they are. */
  #bury(session: LiveSession, exit: SessionExit, client: Pick<HostClient, 'call'>): Promise<void> {
    const { id } = session.record;
    const before = this.#burying.get(id);
    if (before) return before;
    const burying = this.#buryOnce(session, exit, client)
      .catch((error: unknown) => {
        const cause = messageOf(error);
        this.#options.log.warn({ session: id, cause }, 'the end of a session could not be kept; it is tried again');
        this.#alignLater(session);
      })
      .finally(() => this.#burying.delete(id));
    this.#burying.set(id, burying);
    return burying;
  }

  async #buryOnce(session: LiveSession, exit: SessionExit, client: Pick<HostClient, 'call'>): Promise<void> {
    const { id } = session.record;
    const unkept = await this.#keepLastScreen(session, client).catch((error: unknown) => ({ error }));
    await session.exited(exit);
    if (unkept) throw unkept.error;
    await session.save();
    try {
      await client.call('acknowledge', { sessionId: id });
    } catch (error) {
      // Acknowledged before, or pushed out of the host's memory by others; its tombstone may be left.
      if (hostErrorOf(error) !== 'no-session') throw error;
      await removeTombstone(session.dir);
    }
  }

  /** What the host refuses it would refuse again; anything else may work later, unless somebody removed the session's folder. */
  async #keepLastScreen(session: LiveSession, client: Pick<HostClient, 'call'>): Promise<void> {
    const { id } = session.record;
    if (await session.isRemoved()) return;
    try {
      const { lines } = await client.call('tail', { sessionId: id, lines: lastLinesMax });
      const { cols, rows, data, offset } = await client.call('snapshot', { sessionId: id });
      await writeLastScreen(session.dir, { cols, rows, data, offset, lines });
    } catch (error) {
      if (hostErrorOf(error) === undefined) throw error;
      const cause = messageOf(error);
      this.#options.log.warn({ session: id, cause }, 'the last screen of a session could not be kept');
    }
  }

  #onNotice(notice: HostNotice): void {
    if (notice.notice === 'gap') {
      for (const streams of this.#streams.values()) for (const stream of streams) stream.notice(notice);
      return;
    }
    if (notice.notice === 'upgrading') return;
    const id = notice.sessionId as SessionId;
    const session = this.#live.get(id);
    for (const stream of this.#streams.get(id) ?? []) stream.notice(notice);
    if (session)
      void this.#hear(session, notice).catch((error: unknown) =>
        this.#options.log.error({ session: id, cause: messageOf(error) }, 'a notice of the host could not be followed'),
      );
  }

  async #hear(session: LiveSession, notice: Exclude<HostNotice, { notice: 'gap' | 'upgrading' }>): Promise<void> {
    switch (notice.notice) {
      case 'screen':
        session.noteOutput(notice.at);
        return session.observe({ at: notice.at, source: 'screen', payload: notice.screen });
      case 'signal':
        if (notice.kind === 'bell') return;
        return session.observe({ at: notice.at, source: notice.kind, payload: notice.text });
      case 'resized':
        return session.note({ cols: notice.cols, rows: notice.rows });
      case 'exited':
        return this.#bury(session, notice.exit, this.#client ?? this.#link());
    }
  }

  #onHostLost(reason: string): void {
    this.#client = undefined;
    this.#options.news.onHost({ connected: false, reason, pid: null });
    for (const streams of this.#streams.values()) for (const stream of streams) stream.lost();
    for (const session of this.#live.values()) {
      if (!session.ended) void session.loseSight(`the PTY host does not answer: ${clip(reason, 100)}`);
    }
  }

  // --- waiting

  async #ready(id: SessionId, limits: { startMs: number; setupMs: number; signal?: AbortSignal }): Promise<Readiness> {
    const session = this.#session(id);
    const signal = limits.signal ? { signal: limits.signal } : {};
    const isReady = (): Readiness | undefined => {
      const { state, evidence } = session.facts;
      if (session.ended) {
        const hostLost = session.record.hostLost === true;
        return { kind: 'ended', crashed: state === 'crashed', hostLost, reason: whereItStands(session) };
      }
      return promptStates.includes(state) ? { kind: 'ready', state, source: evidence.source } : undefined;
    };
    const first = await session.until(isReady, { ms: limits.startMs, ...signal });
    if (first) return first;
    if (session.facts.state !== 'setup')
      return { kind: 'late', reason: `${whereItStands(session)} after ${Math.round(limits.startMs / 1000)} s` };
    return (
      (await session.until(isReady, { ms: limits.setupMs, ...signal })) ?? {
        kind: 'needs-setup',
        reason: whereItStands(session),
      }
    );
  }

  /** [C6] Only the agent's own end of turn, or its exit, ends a turn; an end that may still be overruled is waited out. */
  async #turnEnd(id: SessionId, limits: { limitMs: number; signal?: AbortSignal }): Promise<TurnEnd> {
    const session = this.#session(id);
    const signal = limits.signal ? { signal: limits.signal } : {};
    const until = this.#options.clock() + limits.limitMs;
    for (;;) {
      const seen = await session.until(() => turnEndOf(session), {
        ms: Math.max(1, until - this.#options.clock()),
        ...signal,
      });
      if (!seen)
        return {
          kind: 'late',
          reason: `${whereItStands(session)} after ${Math.round(limits.limitMs / 60_000)} minutes`,
        };
      // A status comes sooner than the file in which a hook has told the same, with the agent's last words.
      if (!session.ended) await session.hearFiles();
      const ended = turnEndOf(session) ?? seen;
      if (ended.kind !== 'interrupted') return ended;
      // The prompt is often seen a moment before the hook tells how the turn ended.
      const told = await session.until(() => (turnEndOf(session)?.kind === 'interrupted' ? undefined : true), {
        ms: idleSettleMs,
        ...signal,
      });
      if (!told) return ended;
    }
  }

  // --- ending

  async #end(id: SessionId, { graceMs }: { graceMs: number }): Promise<void> {
    // One that is on its way is not there to be ended yet, and would come all the same.
    await this.#starting.get(id)?.catch(() => undefined);
    const session = this.#live.get(id);
    if (!session || session.ended) return;
    this.#ending.add(id);
    try {
      // A full disk must not keep anybody from ending what may be filling it.
      await session.note({ endAsked: true });
      await this.#link().call('end', { sessionId: id, signal: 'SIGTERM', graceMs });
      // The exit comes as a notice; who asked for the end may rely on it being known.
      const known = await session.until(() => (session.ended ? true : undefined), { ms: graceMs + buryMs });
      if (!known)
        throw new Fault('TIMED_OUT', `Session ${id} was told to end, and whether it has is not known`, { subject: id });
    } catch (error) {
      if (hostErrorOf(error) !== 'no-session') throw error;
      await this.#declareLost(session);
    } finally {
      this.#ending.delete(id);
    }
  }

  async #close(sessions: 'end' | 'keep'): Promise<void> {
    const open = [...this.#live.values()].filter((session) => !session.ended);
    if (sessions === 'end') {
      await Promise.all(
        open.map((session) =>
          this.#end(session.record.id, { graceMs: closeGraceMs }).catch((error: unknown) =>
            this.#options.log.warn(
              { session: session.record.id, cause: messageOf(error) },
              'a session could not be ended',
            ),
          ),
        ),
      );
      await this.#link().end();
    }
    this.#closed = true;
    for (const { timer } of this.#misaligned.values()) clearTimeout(timer);
    this.#memory.close();
    for (const streams of this.#streams.values()) for (const stream of streams) stream.close();
    this.#host?.close();
    await Promise.all([...this.#live.values()].map((session) => session.close()));
  }

  // --- looking

  async #tail(id: SessionId, lines: number): Promise<readonly string[]> {
    const session = this.#session(id);
    if (session.ended) return ((await readLastScreen(session.dir))?.lines ?? []).slice(-lines);
    return (await this.#link().call('tail', { sessionId: id, lines })).lines;
  }

  async #openTerminal(id: SessionId, viewer: TerminalViewer): Promise<TerminalStream | undefined> {
    const session = this.#live.get(id);
    if (!session) return undefined;
    const stream = await openTerminalStream(session, this.#link(), viewer, this.#options.log);
    const streams = this.#streams.get(id) ?? new Set();
    this.#streams.set(id, streams.add(stream));
    return {
      ...stream,
      close: () => {
        streams.delete(stream);
        if (streams.size === 0) this.#streams.delete(id);
        stream.close();
      },
    };
  }

  #measured(): Measured[] {
    const living = [...this.#live.values()].filter(({ ended, record }) => !ended && record.pid !== null);
    return living.map((session) => ({
      mark: session.record.instance,
      note: (bytes) => session.noteMemory(bytes),
    }));
  }

  async #hostMemory(): Promise<number | null> {
    try {
      return (await this.#link().call('list', {})).rssBytes;
    } catch {
      // The host's state is told by `host`; here it only means that there is no number.
      return null;
    }
  }

  #session(id: SessionId): LiveSession {
    const session = this.#live.get(id);
    if (!session)
      throw new Fault('NOT_FOUND', `There is no session ${id}`, {
        subject: id,
        hint: '`muster session list` shows them.',
      });
    return session;
  }

  #link(): HostLink {
    if (!this.#host) throw new Fault('HOST_DOWN', 'The PTY host is not connected yet');
    return this.#host;
  }
}

/** A prompt without a word about the end of the turn is an interruption only after this time. */
const idleSettleMs = 2000;
/** After the last process is gone: time for the notice, the last screen and two files. */
const buryMs = 3000;
const closeGraceMs = 1500;
/** A session that could not be brought in line is tried again after this time, then after twice as long, up to the longest. */
const alignAgainMs = 2000;
const alignAgainMaxMs = 60_000;

/**
 * [C12] It is that of the process that the record is about, and that process ended by itself or because we said so. One that the host
 * ended as it left did not: it was lost with its host. An older host (before `asked`) does not tell the two apart.
 */
const tellsTheEnd = ({ spawnedAt, asked }: Tombstone, { resumed, endAsked }: SessionRecord): boolean =>
  spawnedAt >= (resumed?.at ?? 0) && (endAsked || asked === false);

/** Its host died in a turn, and nothing has been said to the process that goes on. */
const isCut = ({ record: { resumed }, facts: { turn } }: LiveSession): boolean =>
  resumed?.cut === true && (turn.startedAt ?? 0) < resumed.at;

function turnEndOf(session: LiveSession): TurnEnd | undefined {
  const { facts } = session;
  const { evidence, turn } = facts;
  const reason = `${evidence.source}: ${evidence.reason}`;
  // How the turn ended is kept with the turn, because after a restart the state only says that the prompt is there again.
  if (turn.number > 0 && isSettled(facts) && (session.ended || restStates.includes(facts.state))) {
    if (turn.end === 'ended') {
      return {
        kind: 'done',
        source: evidence.source,
        reason: evidence.reason,
        message: facts.message ?? '',
        toolCalls: facts.tools.asked,
      };
    }
    if (turn.end === 'failed') return { kind: 'failed', reason, error: facts.error ?? undefined };
    if (turn.end === 'interrupted' && !session.ended && !isCut(session)) return { kind: 'interrupted', reason };
  }
  const { resumed, hostLost } = session.record;
  const silent = resumed !== undefined && (turn.startedAt ?? 0) < resumed.at;
  if (isCut(session) && !session.ended) return { kind: 'cut', reason: 'the PTY host died in the turn' };
  if (!session.ended) return undefined;
  if (hostLost) return { kind: 'host-lost', reason: 'the PTY host died, and the session with it' };
  if (silent)
    return { kind: 'host-lost', reason: `the PTY host died; the conversation could not be gone on with: ${reason}` };
  if (session.record.exit?.code === null && session.record.exit.signal === null) return { kind: 'lost', reason };
  return { kind: facts.state === 'crashed' ? 'crashed' : 'exited', reason };
}

function pooledSession({ record, facts, ended }: LiveSession): PooledSession[] {
  const { id, agent, instance, cwd, createdAt, pool } = record;
  if (!pool) return [];
  const { state, tools, turn } = facts;
  return [
    {
      id,
      agent,
      instance,
      cwd,
      createdAt,
      toolCalls: tools.asked,
      ended,
      pool,
      atPrompt: promptStates.includes(state),
      touchedAt: Math.max(turn.startedAt ?? 0, record.typedAt ?? 0, lastBegun(record)?.at ?? 0),
      readyAt: record.readyAt ?? null,
      // A process that goes on with the conversation of another has a mark of its own.
      own: record.own?.instance === instance ? record.own.processes : null,
    },
  ];
}
