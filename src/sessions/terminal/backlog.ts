/**
 * What was written to a screen model and is not parsed yet, in its order, with what is to happen between: a resize, a look.
 *
 * A quiet session is parsed in the next turn. One that floods waits `floodWaitMs`, because of more at once more can be left out; a look or
 * `floodWaitBytesMax` waits for nothing. How much may wait at all is for the owner to say: it stops reading.
 */
import { takeTurns } from './turns.ts';

export interface Backlog {
  readonly add: (bytes: Buffer) => void;
  /** When everything added before has been parsed; at once if nothing waits. */
  readonly after: (act: () => void) => void;
  readonly bytes: () => number;
  /** A copy of what waits. */
  readonly waiting: () => Buffer;
  /** Forgets what waits; every `after` still happens. */
  readonly close: () => void;
}

export interface BacklogOptions {
  readonly parse: (piece: Buffer) => void;
  /** Leaves out what it can from the start of `waiting`, and says how far it looked: before that it can gain nothing more. */
  readonly skim: (waiting: Buffer) => { readonly skipped: number; readonly looked: number };
}

/** About half a millisecond of parsing; less where a piece takes longer than `slowMs`, because eight bytes can ask for a screen full. */
const pieceBytes = { most: 16 * 1024, least: 256 };
const slowMs = 2;
/** More than this in `floodMs` is a flood: 3 MB/s, where an agent's busiest screen makes 0.05. */
const floodBytes = 32 * 1024;
const floodMs = 10;
/** How long a flood waits, unless `floodWaitBytesMax` has come before; its questions are answered by then, and a screen is told every 50 ms. */
const floodWaitMs = 50;
const floodWaitBytesMax = 1536 * 1024;
/** With less there is little to gain: what is kept takes up to 100 KB. */
const skimBytesMin = 160 * 1024;

export function openBacklog({ parse, skim }: BacklogOptions): Backlog {
  let queue: (Buffer | (() => void))[] = [];
  let bytes = 0;
  /** Bytes at the start of the queue in which `skim` finds nothing. */
  let vain = 0;
  /** A run takes what waited when it began. */
  let left = 0;
  let window = { since: Number.NEGATIVE_INFINITY, bytes: 0, before: 0 };
  let inLine = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let pieceLength = pieceBytes.most;

  const start = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (inLine) return;
    inLine = true;
    left = bytes;
    takeTurns(turn);
  };
  const take = (length: number): void => {
    const first = queue[0];
    if (!Buffer.isBuffer(first)) return;
    bytes -= length;
    vain = Math.max(0, vain - length);
    left -= length;
    if (length === first.length) queue.shift();
    else queue[0] = first.subarray(length);
  };
  const leaveOut = (): void => {
    const end = queue.findIndex((one) => !Buffer.isBuffer(one));
    const leading = (end < 0 ? queue : queue.slice(0, end)).filter((one) => Buffer.isBuffer(one));
    const waiting = Buffer.concat(leading);
    queue = [waiting, ...queue.slice(leading.length)];
    const { skipped, looked } = skim(waiting);
    vain = looked;
    take(skipped);
  };
  const turn = (): boolean => {
    if (bytes - vain >= skimBytesMin) leaveOut();
    const first = queue[0];
    if (Buffer.isBuffer(first)) {
      const piece = first.subarray(0, pieceLength);
      take(piece.length);
      parseTimed(piece);
    } else {
      queue.shift();
      first?.();
    }
    const stays = queue.length > 0 && left > 0;
    if (!stays) leaveLine();
    return stays;
  };
  const parseTimed = (piece: Buffer): void => {
    const begun = performance.now();
    parse(piece);
    const share = slowMs / Math.max(performance.now() - begun, slowMs / 2);
    pieceLength = Math.min(pieceBytes.most, Math.max(pieceBytes.least, Math.floor(pieceLength * share)));
  };
  const leaveLine = (): void => {
    inLine = false;
    if (queue.length > 0) startSoon();
  };
  const startSoon = (): void => {
    const waits = isFlood() && bytes < floodWaitBytesMax && queue.every((one) => Buffer.isBuffer(one));
    if (waits) timer ??= setTimeout(start, floodWaitMs);
    else start();
  };
  const isFlood = (): boolean => {
    const age = performance.now() - window.since;
    return window.bytes >= floodBytes || (window.before >= floodBytes && age < floodMs);
  };
  const count = (length: number): void => {
    const now = performance.now();
    const age = now - window.since;
    if (age >= floodMs) window = { since: now, bytes: 0, before: age < 2 * floodMs ? window.bytes : 0 };
    window.bytes += length;
  };
  return {
    add: (added) => {
      if (added.length === 0 || closed) return;
      queue.push(added);
      bytes += added.length;
      count(added.length);
      if (!inLine) startSoon();
    },
    after: (act) => {
      if (queue.length === 0) return act();
      queue.push(act);
      if (inLine) left = bytes;
      else start();
    },
    bytes: () => bytes,
    waiting: () => Buffer.concat(queue.filter((one) => Buffer.isBuffer(one))),
    close: () => {
      closed = true;
      clearTimeout(timer);
      const acts = queue.filter((one) => typeof one === 'function');
      [queue, bytes] = [[], 0];
      for (const act of acts) act();
    },
  };
}
