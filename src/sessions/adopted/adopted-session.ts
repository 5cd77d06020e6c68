/**
 * One adopted session: what is known of it (`LiveSession`, the same as of our own), and how its terminal is looked at and typed into.
 * A look becomes observations where something in it changed. States: seen, out of sight (nobody answers, or another program is in
 * front), ended. What ended stays ended: whoever starts an agent in the same pane again has another session.
 */
import { stat } from 'node:fs/promises';
import { findRows } from '../../agents/index.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { oneLine } from '../../base/text.ts';
import { descendants, environmentOf, openFiles, processTable } from '../../platform/process-tree.ts';
import type { ProcessIdentity } from '../../platform/processes.ts';
import type { TerminalFromServer } from '../../protocol/feed.ts';
import { turnStates } from '../../state/index.ts';
import type { LiveSession } from '../live-session.ts';
import type { AdoptedRecord, SessionRecord } from '../record.ts';
import type { AdoptedTerminal } from './deliver.ts';
import type { Member } from './lookout.ts';
import type { Look, Place, Seen } from './place.ts';

/** It moved a moment ago: it is looked at often. */
const movedMs = 10_000;
/** So many looks in a row without an answer are more than a busy moment. */
const missesMax = 2;
/** Until it is there, an agent has said nothing in its conversation's file that is missed. */
const searchEveryMs = 2000;
/** Of a conversation that is long already so much is read: rows from before the adoption only tell ids. */
const rowsBackBytes = 256 * 1024;

export interface AdoptedSessionOptions {
  readonly live: LiveSession;
  readonly place: Place;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes one fresh look at this session's group. */
  readonly fresh: () => Promise<void>;
}

export class AdoptedSession implements Member, AdoptedTerminal {
  readonly live: LiveSession;
  readonly place: Place;
  readonly #options: AdoptedSessionOptions;
  readonly #viewers = new Set<(message: TerminalFromServer) => void>();
  #last: Look | undefined;
  #observed = '';
  #title = '';
  #movedAt = 0;
  #searchedAt = 0;
  #misses = 0;
  #hidden = false;
  #inputs: Promise<unknown> = Promise.resolve();

  constructor(options: AdoptedSessionOptions) {
    this.#options = options;
    this.live = options.live;
    this.place = options.place;
  }

  get record(): SessionRecord {
    return this.live.record;
  }

  get adopted(): AdoptedRecord {
    const { adopted } = this.record;
    if (!adopted) throw new Error(`assertion failed: ${this.record.id} was not adopted`);
    return adopted;
  }

  /** Undefined where the process could not be found. */
  get agentProcess(): ProcessIdentity | undefined {
    const { pid, startTicks } = this.record;
    return pid === null || startTicks === null ? undefined : { pid, startTicks, bootId: this.adopted.bootId };
  }

  isBusy(): boolean {
    return turnStates.includes(this.live.facts.state) || this.#options.clock() - this.#movedAt < movedMs;
  }

  /** One input at a time: two prompts at once would be one text. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#inputs.then(work);
    this.#inputs = turn.catch(() => undefined);
    return turn;
  }

  async look(): Promise<Look> {
    this.#movedAt = this.#options.clock();
    await this.#options.fresh();
    return this.#last ?? { kind: 'unreachable', reason: 'it was not looked at yet' };
  }

  toldBox(): ReturnType<Place['toldBox']> {
    return this.place.toldBox();
  }

  paste(text: string, seen: Seen): ReturnType<Place['paste']> {
    return this.place.paste(text, seen, this.live.dir);
  }

  keys(data: string): ReturnType<Place['keys']> {
    return this.place.keys(data);
  }

  async takeLook(look: Look): Promise<void> {
    if (this.live.ended) return;
    this.#last = look;
    switch (look.kind) {
      case 'gone':
        return this.#end(look);
      case 'unreachable':
        this.#misses += 1;
        if (this.#misses >= missesMax) await this.#hide(look.reason);
        return;
      case 'seen':
        this.#misses = 0;
        if (look.obstacle?.startsWith('another program')) return this.#hide(look.obstacle);
        return this.#take(look);
    }
  }

  /** Told the screen now and whenever it changes. */
  watch(viewer: (message: TerminalFromServer) => void): () => void {
    if (this.#last?.kind === 'seen') viewer(snapshotOf(this.#last));
    if (this.record.exit) viewer({ type: 'exited', exit: this.record.exit });
    this.#viewers.add(viewer);
    return () => void this.#viewers.delete(viewer);
  }

  async close(): Promise<void> {
    this.#viewers.clear();
    await this.live.close();
  }

  async #end(look: Extract<Look, { kind: 'gone' }>): Promise<void> {
    const at = this.#options.clock();
    const exit = { at, code: look.how?.code ?? null, signal: look.how?.signal ?? null };
    const asked = this.record.endAsked
      ? ', as asked'
      : '; how it ended can not be known of a process that we did not start';
    await this.live.exited(exit, look.how ? undefined : `${look.reason}${asked}`);
    for (const viewer of this.#viewers) viewer({ type: 'exited', exit });
  }

  /** What it showed last says nothing about now; when it is seen again, everything is news. */
  async #hide(reason: string): Promise<void> {
    if (this.#hidden) return;
    this.#hidden = true;
    this.#observed = '';
    this.#title = '';
    await this.live.loseSight(oneLine(reason, 250));
  }

  async #take(look: Seen): Promise<void> {
    this.#hidden = false;
    const { at, screen, title } = look;
    const { record } = this;
    if (look.cols !== record.cols || look.rows !== record.rows)
      await this.live.note({ cols: look.cols, rows: look.rows });
    await this.#searchConversation();
    if (title !== '' && title !== this.#title) {
      this.#title = title;
      await this.live.observe({ at, source: 'title', payload: title });
    }
    const shown = `${screen.rows.join('\n')}\u0000${look.data}`;
    if (shown === this.#observed) return;
    if (this.#observed !== '') this.#movedAt = at;
    this.#observed = shown;
    this.live.noteOutput(at);
    for (const viewer of this.#viewers) viewer(snapshotOf(look));
    await this.live.observe({ at, source: 'screen', payload: screen });
  }

  async #searchConversation(): Promise<void> {
    const { clock, log } = this.#options;
    if (this.live.facts.transcriptPath !== null || clock() - this.#searchedAt < searchEveryMs) return;
    this.#searchedAt = clock();
    try {
      const path = await this.#conversation();
      if (path === undefined) return;
      const size = (await stat(path)).size;
      await this.live.note({ rowsOffset: Math.max(0, size - rowsBackBytes) });
      await this.live.foundTranscript(path);
    } catch (error) {
      log.warn({ session: this.record.id, cause: messageOf(error) }, 'a conversation could not be looked for');
    }
  }

  /** Only one that is surely its own: named by its id, or held open by its process. */
  async #conversation(): Promise<string | undefined> {
    const { pid } = this.record;
    const { adopted } = this.live.agent;
    if (pid === null) return undefined;
    const { conversation } = adopted.traces(await environmentOf(pid, adopted.environment));
    if (!conversation) return undefined;
    const { dir, suffix, by } = conversation;
    if (by === 'resume-id') {
      const { resumeId } = this.live.facts;
      if (resumeId === null) return undefined;
      return findRows({ dir, depth: 1, suffix, nameHas: resumeId, firstRowHas: undefined }, 0);
    }
    const below = descendants(await processTable(), pid).map((row) => row.pid);
    const open = (await Promise.all(below.map(openFiles))).flat();
    return open.find((path) => path.startsWith(`${dir}/`) && path.endsWith(suffix));
  }
}

const snapshotOf = ({ cols, rows, data }: Seen): TerminalFromServer => ({
  type: 'snapshot',
  cols,
  rows,
  data,
  offset: 0,
});
