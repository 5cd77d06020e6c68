/**
 * One session as the control plane knows it: its record on disk, its facts, and what watches it.
 *
 * `observe` is the only way in: a raw observation becomes evidence (the agent's adapter), evidence becomes facts (`state`), facts are
 * kept on disk and told to those who listen and wait. The process itself lives in the host; this object can be thrown away and made
 * again from the record at any time.
 *
 * Invariants: what a caller must be able to rely on is on disk when `save` or `amend` resolves, and they reject where it is not; what can't
 * be written is tried again until it is. After `exit` nothing changes but notes; the timer stands exactly while `nextTickAt` names a time.
 */
import { dirname } from 'node:path';
import type { Agent, Watch } from '../agents/agent.ts';
import { findRows } from '../agents/index.ts';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { within } from '../base/wait.ts';
import { exists } from '../platform/atomic-file.ts';
import { descendants, openFiles, processTable } from '../platform/process-tree.ts';
import type { SessionExit, SessionView, SessionWhy, StateChange } from '../protocol/session.ts';
import type { Evidence, Observation } from '../protocol/state.ts';
import { type Fused, fuse, nextTickAt, type SessionFacts, tick, unknownAfterRestart } from '../state/index.ts';
import { type SessionRecord, writeRecord } from './record.ts';
import { type OpenWatch, startWatch } from './watches.ts';

export interface LiveSessionOptions {
  readonly agent: Agent;
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly onView: (view: SessionView) => void;
  readonly onChange: (change: StateChange, view: SessionView) => void;
  /** Keeps an observation that the terminal's output alone does not hold, in the recording. */
  readonly recordNote: (observation: Observation) => void;
}

/** Sources that are read off the terminal: they come often, and the recording holds them already. */
const terminalSources: readonly Observation['source'][] = ['screen', 'title', 'osc7501', 'notification'];

/** An exit is told after this time even if a file of the agent can't be read. */
const lastWordsMs = 5000;
/** Until its file is there an agent has said nothing in it that is missed. */
const searchEveryMs = 500;

/** A record that could not be written (a full disk) is written again after this time, whether or not anything changes. */
const saveAgainMs = 2000;

/** While a person types the record is written once in this time. */
const typingSavedMs = 1000;

type Waiter = () => void;

type Amendment = Partial<
  Pick<
    SessionRecord,
    | 'pid'
    | 'startTicks'
    | 'endAsked'
    | 'cols'
    | 'rows'
    | 'title'
    | 'rowsOffset'
    | 'adopted'
    | 'lastText'
    | 'readyAt'
    | 'own'
    | 'begun'
    | 'hostLost'
  >
>;

export class LiveSession {
  readonly agent: Agent;
  readonly dir: string;
  #record: SessionRecord;
  readonly #options: LiveSessionOptions;
  #watches: OpenWatch[] = [];
  #watchedTranscript: string | null = null;
  #searchTimer: NodeJS.Timeout | undefined;
  #searching: Promise<void> | undefined;
  #watching = false;
  #transcriptWatch: OpenWatch | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #waiters = new Set<Waiter>();
  /** The write that runs, and the one after it, which will hold what has changed since. */
  #writing: Promise<void> | undefined;
  #nextWrite: Promise<void> | undefined;
  /** The record that is on disk. */
  #written: SessionRecord | undefined;
  #saveAgain: NodeJS.Timeout | undefined;
  #shown = '';
  #memoryBytes: number | null = null;
  #closed = false;

  constructor(record: SessionRecord, options: LiveSessionOptions) {
    this.#record = record;
    this.#options = options;
    this.agent = options.agent;
    this.dir = options.dir;
    this.#arm();
  }

  get record(): SessionRecord {
    return this.#record;
  }

  get facts(): SessionFacts {
    return this.#record.facts;
  }

  get ended(): boolean {
    return this.#record.exit !== null;
  }

  /**
   * Begins to look at what the agent leaves in files. Hooks first: they tell what happened, the others only how it is now, and after
   * a restart the end of a turn must be heard before the prompt that follows it is seen.
   */
  async startWatches(): Promise<void> {
    if (this.#closed || this.ended || this.#watching) return;
    this.#watching = true;
    await this.#openSpools();
    if (this.#closed || this.ended) return;
    this.#watches.push(
      ...this.#record.watches.filter((watch) => watch.kind !== 'spool').map((watch) => this.#open(watch)),
    );
    this.#watchTranscript();
    this.#searchTimer = setInterval(() => void this.#searchTranscript(), searchEveryMs);
    // As long as a file system that does not answer may keep those who wait for the session.
    await within(this.#searchTranscript(), lastWordsMs);
    await this.flushWatches();
  }

  #open(watch: Watch): OpenWatch {
    return startWatch(watch, this.#watchContext());
  }

  async #openSpools(): Promise<void> {
    if (this.#watches.length === 0) {
      this.#watches = this.#record.watches.filter((watch) => watch.kind === 'spool').map((watch) => this.#open(watch));
    }
    await this.flushWatches();
  }

  /** Reads what lies in the watched files now. */
  async flushWatches(): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch.flush()));
  }

  /** Resolves when what followed from the observation is on disk, or could not be written: whoever must know calls `save` after it. */
  async observe(observation: Observation): Promise<void> {
    const { memory, evidence } = this.#interpret(observation);
    if (!terminalSources.includes(observation.source)) this.#options.recordNote(observation);
    if (memory !== this.#record.memory) this.#record = { ...this.#record, memory };
    this.#hearResumeId(observation.source, evidence);
    let changed = false;
    for (const each of evidence) changed = this.#apply(fuse(this.facts, each)) || changed;
    if (evidence.length > 0) this.#watchTranscript();
    if (evidence.length > 0) this.#announce();
    if (changed || (evidence.length > 0 && !terminalSources.includes(observation.source))) await this.#keep();
  }

  /** The agent's own word only: its hook or session file, or the conversation that its process holds open. */
  #hearResumeId(source: Observation['source'], evidence: readonly Evidence[]): void {
    const toldResumeId = evidence.findLast((each) => each.resumeId !== undefined)?.resumeId;
    if (toldResumeId === undefined || toldResumeId === this.#record.toldResumeId) return;
    if (source === 'hook' || source === 'sessionFile') this.#record = { ...this.#record, toldResumeId };
    if (source === 'transcript') void this.#proveByOpenFile(toldResumeId);
  }

  async #proveByOpenFile(toldResumeId: string): Promise<void> {
    const { pid } = this.#record;
    const path = this.#watchedTranscript;
    if (pid === null || path === null) return;
    const tree = [pid, ...descendants(await processTable(), pid).map((row) => row.pid)];
    const open = (await Promise.all(tree.map(openFiles))).flat();
    if (this.ended || this.#record.pid !== pid || !open.includes(path)) return;
    this.#record = { ...this.#record, toldResumeId };
    await this.#keep();
  }

  async #observeExit(exit: SessionExit, unseen: string | undefined): Promise<void> {
    this.#record = { ...this.#record, exit };
    if (unseen !== undefined)
      this.#apply(
        fuse(this.facts, { source: 'process', at: exit.at, state: 'exited', turn: 'interrupted', reason: unseen }),
      );
    await this.observe({
      at: exit.at,
      source: 'process',
      payload: { code: exit.code, signal: exit.signal, asked: this.#record.endAsked },
    });
    await this.#keep();
  }

  /**
   * What the agent left in its files before it ended is heard first: a turn that ended well is not mistaken for one that was cut off.
   * `unseen` says why nobody can know how it ended, of a process that is not our child. Told also if it can't be written (see `save`).
   */
  async exited(exit: SessionExit, unseen?: string): Promise<void> {
    if (this.ended) return;
    await this.hearLastWords();
    if (this.ended) return;
    await this.#observeExit(exit, unseen);
    this.#closeWatches();
    this.#announce();
  }

  /** What the agent left in its files before it ended, as far as it can be read in a bounded time. */
  async hearLastWords(): Promise<void> {
    await within(this.#hearLastWords(), lastWordsMs);
  }

  /** What stands in its files by now. */
  async hearFiles(): Promise<void> {
    await within(this.flushWatches(), lastWordsMs);
  }

  /** The same session goes on in another process: what is watched begins anew, and those who wait keep waiting. */
  async renew(part: Partial<SessionRecord>): Promise<void> {
    this.#closeWatches();
    this.#watching = false;
    this.#watchedTranscript = null;
    this.#transcriptWatch = undefined;
    this.#record = { ...this.#record, ...part, memory: this.agent.memory() };
    this.#arm();
    const change = this.facts.changes.at(-1);
    if (change) this.#options.onChange(change, this.view());
    this.#announce();
    await this.save();
  }

  async #hearLastWords(): Promise<void> {
    await this.#openSpools();
    await this.#searchTranscript();
    await this.flushWatches();
  }

  /** The control plane was away: what it knew last is no longer known, until somebody tells. */
  async forget(): Promise<void> {
    this.#apply(unknownAfterRestart(this.facts, this.#options.clock()));
    this.#announce();
    await this.#keep();
  }

  /** The host can't be asked, so nobody can be. */
  async loseSight(reason: string): Promise<void> {
    this.#apply(fuse(this.facts, { source: 'control', at: this.#options.clock(), state: 'unknown', reason }));
    this.#announce();
    await this.#keep();
  }

  /** Resolves when it is on disk, and rejects if it could not be written. */
  async amend(part: Amendment): Promise<void> {
    this.#learn(part);
    await this.save();
  }

  /** As `amend`, of what nobody relies on: a restart may forget it. */
  async note(part: Amendment): Promise<void> {
    this.#learn(part);
    await this.#keep();
  }

  #learn(part: Amendment): void {
    this.#record = { ...this.#record, ...part };
    this.#announce();
  }

  /** A person's key: prompts keep clear of it. On disk with the next save, at once where nobody was typing before. */
  noteTyping(): void {
    const at = this.#options.clock();
    const begins = at - (this.#record.typedAt ?? 0) > typingSavedMs;
    this.#record = { ...this.#record, typedAt: at };
    if (begins) void this.#keep();
  }

  noteOutput(at: number): void {
    this.#record = { ...this.#record, lastOutputAt: at };
  }

  /** Rounded by the caller, so that a few pages more or less are no news. */
  noteMemory(bytes: number): void {
    if (bytes === this.#memoryBytes) return;
    this.#memoryBytes = bytes;
    this.#announce();
  }

  /**
   * The first answer of `test` that is not undefined, looked for now and after every change; undefined when `ms` have passed. Throws the
   * signal's reason when it is aborted.
   */
  async until<T>(
    test: (session: LiveSession) => T | undefined,
    limits: { ms?: number; signal?: AbortSignal },
  ): Promise<T | undefined> {
    limits.signal?.throwIfAborted();
    const first = test(this);
    if (first !== undefined || limits.ms === 0) return first;
    return new Promise<T | undefined>((resolve, reject) => {
      const look = (): void => {
        const found = test(this);
        if (found !== undefined) finish(() => resolve(found));
      };
      const abort = (): void => finish(() => reject(limits.signal?.reason as Error));
      const timer = limits.ms === undefined ? undefined : setTimeout(() => finish(() => resolve(undefined)), limits.ms);
      const finish = (end: () => void): void => {
        clearTimeout(timer);
        this.#waiters.delete(look);
        limits.signal?.removeEventListener('abort', abort);
        end();
      };
      this.#waiters.add(look);
      limits.signal?.addEventListener('abort', abort);
    });
  }

  view(): SessionView {
    const { facts } = this;
    const record = this.#record;
    return {
      id: record.id,
      kind: record.adopted?.place.kind ?? 'own',
      place: record.adopted?.target ?? null,
      role: record.adopted?.role ?? null,
      agent: record.agent,
      agentVersion: record.agentVersion,
      agentTested: record.agentTested,
      persona: record.persona,
      personaVersion: record.personaVersion,
      unkeptRules: record.unkeptRules,
      title: record.title,
      cwd: record.cwd,
      pid: record.pid,
      state: facts.state,
      since: facts.since,
      source: facts.evidence.source,
      reason: facts.evidence.reason,
      permission: facts.permission,
      error: facts.error,
      resumeId: facts.resumeId,
      turns: facts.turn.number,
      toolCalls: facts.tools.asked,
      startedAt: record.createdAt,
      lastOutputAt: record.lastOutputAt,
      memoryBytes: this.ended ? null : this.#memoryBytes,
      exit: record.exit,
      ...(record.resumes === undefined ? {} : { resumes: record.resumes }),
      pool: record.pool?.kind ?? null,
      cols: record.cols,
      rows: record.rows,
    };
  }

  why(): SessionWhy {
    return { session: this.view(), changes: this.facts.changes, evidence: this.facts.recent };
  }

  /**
   * Resolves when the record as it is now, or as it is after this turn, is on disk; rejects if it could not be written. Calls that come
   * while one write runs share the next. Of an ended session whose folder somebody removed there is nothing to keep.
   */
  save(): Promise<void> {
    this.#nextWrite ??= this.#writeNext();
    return this.#nextWrite;
  }

  async #writeNext(): Promise<void> {
    // At least one turn of the loop: the write must hold what the caller is about to change.
    await this.#writing?.catch(() => undefined);
    this.#nextWrite = undefined;
    if (this.#written === this.#record) return;
    this.#writing = this.#write(this.#record);
    await this.#writing;
  }

  async #write(record: SessionRecord): Promise<void> {
    try {
      if (record.exit === null || !(await this.isRemoved())) await writeRecord(this.dir, record);
      this.#written = record;
      clearTimeout(this.#saveAgain);
      this.#saveAgain = undefined;
    } catch (error) {
      const cause = messageOf(error);
      // Said once of a row of failures, not every 2 s.
      if (this.#saveAgain === undefined)
        this.#options.log.error(
          { session: record.id, cause },
          'a session record could not be written; it is tried again',
        );
      clearTimeout(this.#saveAgain);
      if (!this.#closed) this.#saveAgain = setTimeout(() => void this.#keep(), saveAgainMs);
      throw error;
    }
  }

  /** Its own folder is gone, and not with all others (a disk that is not mounted): nothing of it can be kept any more. */
  async isRemoved(): Promise<boolean> {
    return !(await exists(this.dir)) && (await exists(dirname(this.dir)));
  }

  /** A full disk must not stop the watching: nobody depends on this write, and `#write` tries again by itself. */
  async #keep(): Promise<void> {
    await this.save().catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#saveAgain);
    this.#closeWatches();
    this.#waiters.clear();
    await (this.#nextWrite ?? this.#writing)?.catch(() => undefined);
  }

  #interpret(observation: Observation): ReturnType<Agent['interpret']> {
    try {
      return this.agent.interpret(this.#record.memory, observation);
    } catch (error) {
      // A defect of an adapter must not cost the session; the observation is lost and said.
      this.#options.log.error(
        { session: this.#record.id, source: observation.source, cause: messageOf(error) },
        'an adapter threw',
      );
      return { memory: this.#record.memory, evidence: [] };
    }
  }

  #apply({ facts, change }: Fused): boolean {
    this.#record = { ...this.#record, facts };
    this.#arm();
    if (change) this.#options.onChange(change, this.view());
    return change !== undefined;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const at = this.#closed ? undefined : nextTickAt(this.facts);
    if (at === undefined) return;
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, at - this.#options.clock()));
  }

  #tick(): void {
    const changed = this.#apply(tick(this.facts, this.#options.clock()));
    this.#announce();
    if (changed) void this.#keep();
  }

  /** Tells the view when something in it changed, and lets those who wait look again. */
  #announce(): void {
    const view = this.view();
    const shown = JSON.stringify({ ...view, lastOutputAt: null });
    if (shown !== this.#shown) {
      this.#shown = shown;
      this.#options.onView(view);
    }
    for (const waiter of this.#waiters) waiter();
  }

  /** The transcript's path is often known only from the agent's own first word. */
  #watchTranscript(): void {
    const { transcriptPath } = this.facts;
    if (this.#closed || this.ended || transcriptPath === null || transcriptPath === this.#watchedTranscript) return;
    if (!this.#record.watches.some((watch) => watch.kind === 'rows')) return;
    this.#watchedTranscript = transcriptPath;
    this.#transcriptWatch?.close();
    this.#watches = this.#watches.filter((watch) => watch !== this.#transcriptWatch);
    this.#transcriptWatch = this.#open({ kind: 'rows', path: transcriptPath, source: 'transcript' });
    this.#watches.push(this.#transcriptWatch);
  }

  /** Some agents name the file themselves, and only once there is something in it. A search may take longer than the time to the next. */
  #searchTranscript(): Promise<void> {
    this.#searching ??= this.#searchOnce().finally(() => {
      this.#searching = undefined;
    });
    return this.#searching;
  }

  async #searchOnce(): Promise<void> {
    const rows = this.#record.watches.find((watch) => watch.kind === 'rows');
    if (this.facts.transcriptPath !== null || rows?.find === undefined) return clearInterval(this.#searchTimer);
    const path = await findRows(rows.find, this.#record.createdAt).catch((error: unknown) => {
      this.#options.log.warn(
        { session: this.#record.id, cause: messageOf(error) },
        'a conversation could not be searched for',
      );
      return undefined;
    });
    // Not that of the process before, whose search has come to its end only now.
    if (path !== undefined && this.#record.watches.includes(rows)) await this.foundTranscript(path);
  }

  /** The conversation's file was found by other means than the agent's own word. */
  async foundTranscript(path: string): Promise<void> {
    if (this.#closed || this.facts.transcriptPath !== null) return;
    const reason = 'found the conversation that the agent writes';
    this.#apply(fuse(this.facts, { source: 'transcript', at: this.#options.clock(), reason, transcriptPath: path }));
    this.#watchTranscript();
    await this.#keep();
  }

  #watchContext(): Parameters<typeof startWatch>[1] {
    return {
      pid: this.#record.pid ?? undefined,
      launchedAt: this.facts.launchedAt,
      clock: this.#options.clock,
      log: this.#options.log,
      observe: (observation) => this.observe(observation),
      save: () => this.save(),
      rowsOffset: this.#record.rowsOffset,
      onRowsOffset: (rowsOffset) => {
        this.#record = { ...this.#record, rowsOffset };
      },
    };
  }

  #closeWatches(): void {
    clearInterval(this.#searchTimer);
    for (const watch of this.#watches) watch.close();
    this.#watches = [];
  }
}
