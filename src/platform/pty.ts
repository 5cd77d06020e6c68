/**
 * One terminal with a program in it: raw bytes out, raw bytes in, and the exit after the last byte.
 *
 * It uses node-pty's native part directly (1.2.0-beta.15, pinned; `test: pty.test.ts` fails on a bump that changes it), because its
 * JavaScript loses output at the exit, spins on a child that does not read, and types what was meant for a dead session into the next
 * one that gets its descriptor. Five guards instead:
 *   1. We hold the slave open, so the kernel shows no hang-up before the queue is read.
 *   2. At the exit the rest is read out in one turn: what the stream holds, then the descriptor until it is empty.
 *   3. Our own writer: non-blocking, backs off on EAGAIN, and its queue is dropped in the turn in which the descriptor is given up.
 *   4. A pause keeps data and delays the exit.
 *   5. No program inherits the terminal of another: see `withoutGaps`.
 *
 * A terminal can be handed to the next image of this process: `carry` in the last turn of the old one, `adoptPty` in the new one.
 *
 * States: running → exited (the program is gone; with a pause, bytes may wait) → closed (descriptors given up, `onExit` told).
 */
import { accessSync, closeSync, constants as fsConstants, readSync, statSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ReadStream } from 'node:tty';
import { isErrno, messageOf } from '../base/fault.ts';
import { watchChild } from './pty-children.ts';
import {
  type ForkedTerminal,
  forgetTerminal,
  forkTerminal,
  openSlave,
  type PtyExit,
  raiseOomScore,
  rememberTerminal,
  resizeTerminal,
  type TerminalProgram,
} from './pty-native.ts';

export interface PtyOptions extends TerminalProgram {
  /** The buffer is the listener's to keep. */
  readonly onOutput: (bytes: Buffer) => void;
  /** Once, after the last byte. */
  readonly onExit: (exit: PtyExit) => void;
}

/** What became of bytes that were to be written. full: refused, nothing of it was written. closed: part of it may have been written. */
export type WriteEnd = 'written' | 'full' | 'closed';

export type SpawnEnd =
  | { readonly kind: 'spawned'; readonly pty: Pty }
  | { readonly kind: 'refused'; readonly reason: string };

/** Input that waits for a program that does not read. Beyond it a write is refused; a prompt is at most 1 MB. */
export const inputBytesMax = 8 * 1024 * 1024;
/** One write to the kernel; it takes about 4 KB at a time anyway, and other sessions want their turn. */
const writeBytesMax = 64 * 1024;
/** How long the writer waits for a program that does not read: doubling from the first to the last. */
const backOffMs = { first: 1, last: 50 };
/** A terminal holds some tens of kilobytes after its program's end; more than this is a descendant that goes on writing. */
const restBytesMax = 16 * 1024 * 1024;
const readBytes = 64 * 1024;

/** A terminal for the next image of this process: the descriptor stays open across `exec`, the program stays our child. */
export interface CarriedPty extends ForkedTerminal {
  /** In their order. What of a write has gone out is not in `rest`; `begun`: some has, here or in an image before, or there is no limit. */
  readonly pending: readonly { readonly label: string | undefined; readonly rest: Buffer; readonly begun: boolean }[];
}

interface PendingWrite {
  readonly label: string | undefined;
  readonly bytes: Buffer;
  offset: number;
  readonly done: (end: WriteEnd) => void;
  /** Runs out when the program took nothing of it in time. */
  timer: NodeJS.Timeout | undefined;
}

/** Starts the program in a session and process group of its own. A program or folder that can't be used is refused, with the reason. */
export function spawnPty(options: PtyOptions): SpawnEnd {
  const reason = refusalOf(options);
  if (reason !== undefined) return { kind: 'refused', reason };
  try {
    return { kind: 'spawned', pty: new Pty(options, (onExit) => forkTerminal(options, onExit)) };
  } catch (error) {
    return { kind: 'refused', reason: messageOf(error) };
  }
}

/** Goes on with a terminal of the former image. It is paused; what was to be written waits for `write` in the caller's hands. */
export function adoptPty(carried: ForkedTerminal, listeners: Pick<PtyOptions, 'onOutput' | 'onExit'>): Pty {
  return new Pty(
    listeners,
    (onExit) => {
      rememberTerminal(carried.fd);
      watchChild(carried.pid, onExit);
      return carried;
    },
    'paused',
  );
}

export class Pty {
  readonly pid: number;
  readonly #options: Pick<PtyOptions, 'onOutput' | 'onExit'>;
  readonly #fd: number;
  readonly #path: string;
  readonly #stream: ReadStream;
  /** Undefined once given up. */
  #slave: number | undefined;
  #exit: PtyExit | undefined;
  #closed = false;
  #paused = false;
  readonly #queue: PendingWrite[] = [];
  #queuedBytes = 0;
  #retry: NodeJS.Timeout | undefined;
  #backOffMs = backOffMs.first;

  /** Use `spawnPty` or `adoptPty`. */
  constructor(
    options: Pick<PtyOptions, 'onOutput' | 'onExit'>,
    open: (onExit: (exit: PtyExit) => void) => ForkedTerminal,
    begins: 'reading' | 'paused' = 'reading',
  ) {
    this.#options = options;
    const opened = open((exit) => this.#exited(exit));
    this.pid = opened.pid;
    this.#fd = opened.fd;
    this.#path = opened.path;
    this.#slave = openSlave(opened.path);
    this.#stream = new ReadStream(opened.fd);
    // A stream with a listener reads, even if it is paused in the same turn.
    if (begins === 'reading') this.#listen();
    else this.#paused = true;
    // EIO is how Linux tells that the other side is gone; the exit tells it better, and it comes in any case.
    this.#stream.on('error', () => undefined);
    raiseOomScore(this.pid);
  }

  get pendingInputBytes(): number {
    return this.#queuedBytes;
  }

  get ended(): boolean {
    return this.#exit !== undefined || this.#closed;
  }

  /**
   * Bytes go out in the order of the calls; answers when the kernel has taken the last one. If it has not taken the first within
   * `beginWithinMs` (default: no limit), nothing of it is ever written and the answer is `full`. `label` names it in `carry`.
   */
  write(bytes: Buffer, beginWithinMs?: number, label?: string): Promise<WriteEnd> {
    if (this.ended) return Promise.resolve('closed');
    if (this.#queuedBytes + bytes.length > inputBytesMax) return Promise.resolve('full');
    return new Promise((done) => {
      const pending: PendingWrite = { label, bytes, offset: 0, done, timer: undefined };
      if (beginWithinMs !== undefined) pending.timer = setTimeout(() => this.#withdraw(pending), beginWithinMs);
      this.#queue.push(pending);
      this.#queuedBytes += bytes.length;
      if (this.#retry === undefined && this.#queue.length === 1) this.#writeQueue();
    });
  }

  resize(cols: number, rows: number): void {
    if (!this.ended) resizeTerminal(this.#fd, cols, rows);
  }

  /** Stops reading: the program blocks once the terminal is full, and an exit is told only after `resume`. */
  pause(): void {
    if (this.#closed || this.#paused) return;
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    if (this.#closed || !this.#paused) return;
    this.#paused = false;
    this.#listen();
    if (this.#exit === undefined) this.#stream.resume();
    else this.#finish();
  }

  #listen(): void {
    if (this.#stream.listenerCount('data') === 0) this.#stream.on('data', this.#options.onOutput);
  }

  /**
   * What the next image of this process needs. Tells all output that was read so far; the image must be replaced in the same turn, or
   * nothing happens and the terminal goes on here.
   */
  carry(): CarriedPty {
    while (this.#stream.read() !== null);
    const pending = this.#queue.map(({ label, bytes, offset, timer }) => ({
      label,
      rest: bytes.subarray(offset),
      begun: offset > 0 || timer === undefined,
    }));
    return { pid: this.pid, fd: this.#fd, path: this.#path, pending };
  }

  /** To the whole process group. False if the program is gone. */
  signal(signal: NodeJS.Signals): boolean {
    if (this.ended) return false;
    // Not yet the leader of a group: in the moment between fork and `setsid`. It is our child, so the number is its own until its end.
    return sendSignal(-this.pid, signal) || sendSignal(this.pid, signal);
  }

  /** Gives the terminal up at once; the kernel hangs up on whoever still uses it. `onExit` still comes if the program ends by it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#dropInput();
    this.#giveUpSlave();
    this.#giveUpMaster();
  }

  #exited(exit: PtyExit): void {
    this.#exit = exit;
    this.#dropInput();
    if (this.#closed) this.#options.onExit(exit);
    else if (!this.#paused) this.#finish();
  }

  /** In one turn, so that nothing can come between the last byte and the exit. */
  #finish(): void {
    const exit = this.#exit;
    if (this.#closed || exit === undefined) return;
    // What the stream has read and not yet shown: `read` tells the `data` listener.
    while (this.#stream.read() !== null);
    this.#giveUpSlave();
    this.#readRest();
    this.#closed = true;
    this.#giveUpMaster();
    this.#options.onExit(exit);
  }

  #readRest(): void {
    for (let total = 0; total < restBytesMax; ) {
      const bytes = Buffer.allocUnsafe(readBytes);
      try {
        const count = readSync(this.#fd, bytes, 0, bytes.length, null);
        if (count === 0) return;
        total += count;
        this.#options.onOutput(bytes.subarray(0, count));
      } catch {
        // EIO: empty and hung up (Linux). EAGAIN: empty, and a descendant has the terminal open anew.
        return;
      }
    }
  }

  #writeQueue(): void {
    this.#retry = undefined;
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      try {
        const length = Math.min(writeBytesMax, next.bytes.length - next.offset);
        const count = length === 0 ? 0 : writeSync(this.#fd, next.bytes, next.offset, length);
        if (count === 0 && length > 0) return this.#writeLater();
        next.offset += count;
        this.#queuedBytes -= count;
        this.#backOffMs = backOffMs.first;
      } catch (error) {
        if (isErrno(error, 'EAGAIN')) return this.#writeLater();
        // EIO: the terminal is hung up; the exit is on its way.
        return this.#dropInput();
      }
      if (next.offset < next.bytes.length) continue;
      this.#queue.shift();
      clearTimeout(next.timer);
      next.done('written');
    }
  }

  #writeLater(): void {
    this.#retry = setTimeout(() => this.#writeQueue(), this.#backOffMs);
    this.#backOffMs = Math.min(backOffMs.last, this.#backOffMs * 2);
  }

  #dropInput(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#queuedBytes = 0;
    for (const pending of this.#queue.splice(0)) {
      clearTimeout(pending.timer);
      pending.done('closed');
    }
  }

  #withdraw(pending: PendingWrite): void {
    const index = this.#queue.indexOf(pending);
    if (index < 0 || pending.offset > 0) return;
    this.#queue.splice(index, 1);
    this.#queuedBytes -= pending.bytes.length;
    pending.done('full');
  }

  /** The number may be another's in the next moment: nothing of ours refers to it any more. */
  #giveUpMaster(): void {
    forgetTerminal(this.#fd);
    this.#stream.destroy();
  }

  #giveUpSlave(): void {
    if (this.#slave !== undefined) closeSync(this.#slave);
    this.#slave = undefined;
  }
}

function sendSignal(target: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(target, signal);
  } catch {
    // ESRCH: the last of the group went a moment ago.
    return false;
  }
}

function refusalOf(options: PtyOptions): string | undefined {
  if (!isDirectory(options.cwd)) return `the working folder is missing: ${options.cwd}`;
  const nul = [options.file, ...options.args, ...Object.entries(options.env).flat()].some((text) =>
    text.includes('\0'),
  );
  if (nul) return 'an argument or a variable holds a NUL character';
  const places = options.file.includes('/')
    ? [resolve(options.cwd, options.file)]
    : (options.env.PATH ?? '').split(':').map((dir) => join(dir, options.file));
  return places.some(isExecutable) ? undefined : `the program is missing or not executable: ${options.file}`;
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

function isExecutable(path: string): boolean {
  try {
    accessSync(path, fsConstants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
