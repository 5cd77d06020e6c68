/**
 * Looks at all adopted terminals of one holder (a tmux server, cmux) together, again and again: fast while something moves or somebody
 * waits, slowly at rest. One look at a time; who asks for a fresh one gets the next that begins after asking.
 */
import type { Look } from './place.ts';

/** While a turn runs, or something changed a moment ago. A look at a tmux server costs 5 ms. */
const busyMs = 250;
/** At rest. A change by the person is seen within it. */
const restMs = 1000;
/** After a look that nobody answered; doubled each time, because a holder that is drowning must not be asked more. */
const retryMaxMs = 30_000;

export interface Member {
  readonly takeLook: (look: Look) => Promise<void>;
  /** A turn is running, or it changed just now. */
  readonly isBusy: () => boolean;
}

export interface LookoutOptions<M extends Member> {
  readonly lookAll: (members: readonly M[]) => Promise<readonly Look[]>;
  /** The holder is expensive to ask: every pace is this many times slower. */
  readonly slowness: number;
  readonly onError: (error: unknown) => void;
}

export class Lookout<M extends Member> {
  readonly #options: LookoutOptions<M>;
  readonly #members = new Set<M>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: LookoutOptions<M>) {
    this.#options = options;
  }

  add(member: M): void {
    this.#members.add(member);
    this.#arm();
  }

  remove(member: M): void {
    this.#members.delete(member);
    if (this.#members.size === 0) clearTimeout(this.#timer);
  }

  get size(): number {
    return this.#members.size;
  }

  /** Resolves when a look that began after this call has been taken in by all. */
  async fresh(): Promise<void> {
    if (!this.#running) return this.#run();
    // Whoever began that look hears of its failure.
    this.#next ??= this.idle().then(() => {
      this.#next = undefined;
      return this.#run();
    });
    return this.#next;
  }

  /** Resolves when no look is under way. */
  async idle(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#members.clear();
    await this.idle();
  }

  #run(): Promise<void> {
    this.#running ??= this.#lookOnce().finally(() => {
      this.#running = undefined;
      this.#arm();
    });
    return this.#running;
  }

  async #lookOnce(): Promise<void> {
    const members = [...this.#members];
    if (members.length === 0 || this.#closed) return;
    const looks = await this.#options.lookAll(members);
    this.#failures = looks.some((look) => look.kind === 'unreachable') ? this.#failures + 1 : 0;
    if (this.#closed) return;
    for (const [index, member] of members.entries()) {
      const look = looks[index];
      if (look && this.#members.has(member)) await member.takeLook(look);
    }
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#members.size === 0) return;
    this.#timer = setTimeout(() => void this.#run().catch(this.#options.onError), this.#pause());
  }

  #pause(): number {
    const busy = [...this.#members].some((member) => member.isBusy());
    const pace = (busy ? busyMs : restMs) * this.#options.slowness;
    return this.#failures === 0 ? pace : Math.min(retryMaxMs, pace * 2 ** this.#failures);
  }
}
