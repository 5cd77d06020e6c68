/**
 * One session inside the host: its PTY, the ring, the screen model, the recording, and its end.
 *
 * States: running → ending (the program is gone; what it left behind is being ended, the recording closed, the tombstone written) →
 * ended (told to everybody). `exit` is shown only in the last one, so nobody hears of an end that a crash could still unmake. A session
 * that is running or ended can be carried into the next image of the host; one that is ending can't.
 *
 * The program is slowed down only by the host's own pace: reading stops while the model is `backlogBytes.high` behind. Readers never
 * slow it: they read the ring.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { delay, within } from '../../base/wait.ts';
import { identify, instanceVariable, type ProcessIdentity, type Sweep, sweep } from '../../platform/processes.ts';
import { adoptPty, type Pty, type PtyOptions, spawnPty } from '../../platform/pty.ts';
import type { PtyExit } from '../../platform/pty-native.ts';
import type { HostNotice, HostSession, Spawn } from '../../protocol/host.ts';
import type { SessionExit } from '../../protocol/session.ts';
import { type CarriedTerminal, openTerminal, type Snapshot, type TerminalModel } from '../terminal/terminal.ts';
import { removeTombstone, writeTombstone } from '../tombstone.ts';
import type { CarriedSession } from './carried.ts';
import { HostError } from './errors.ts';
import type { Held } from './held.ts';
import { type InputEnd, type Inputs, openInputs } from './inputs.ts';
import { goOnRecording, noRecording, openRecording, type Recording } from './recording.ts';
import { openRing, type Ring, ringBytes } from './ring.ts';
import { openScreenNotices, type ScreenNotices } from './screen-notices.ts';

export interface SessionSurroundings {
  readonly log: Log;
  readonly now: () => number;
  readonly notify: (notice: HostNotice) => void;
  readonly held: Pick<Held, 'note' | 'drop'>;
  /** New bytes are in the ring. */
  readonly onOutput: (session: HostedSession) => void;
  /** It has just ended: told before the notice. */
  readonly onEnded: (session: HostedSession) => void;
}

/** How far the screen model may lag behind before the program has to wait; about 100 ms of parsing. */
const backlogBytes = { high: 2 * 1024 * 1024, low: 512 * 1024 };
/** An input of which the program took nothing in this time is refused whole. */
const inputBeginMs = 10_000;
/** Answers of the terminal wait behind input that is not read; more of them would only be stale. */
const answerWaitBytesMax = 64 * 1024;
const tombstoneTailLines = 200;
/** In place of the beginning of a string sequence that is longer than the ring: the rest of it is dropped as that of this one. */
const swallow = '\u001bX';
/** After SIGKILL the exit comes within milliseconds; a process in an uninterruptible wait may never come. */
const killedExitMs = 5000;
/** Descriptors are back, or not, within seconds; until then the mark is on disk for the next host. */
const sweepAgainMs = 2000;

/** What a session begins with: fresh, or carried over from the former image of the host. */
interface Beginning {
  readonly spawnedAt: number;
  readonly ring: Ring;
  readonly inputs: Inputs;
  readonly cols: number;
  readonly rows: number;
  readonly lastOutputAt: number | null;
  readonly exit: SessionExit | null;
  readonly swept: number;
  readonly terminal: CarriedTerminal | undefined;
  readonly openPty: (listeners: Pick<PtyOptions, 'onOutput' | 'onExit'>) => Pty | undefined;
  readonly identify: (pid: number) => ProcessIdentity;
}

export class HostedSession {
  readonly spec: Spawn;
  readonly spawnedAt: number;
  readonly ring: Ring;
  readonly inputs: Inputs;
  readonly identity: ProcessIdentity;
  readonly #around: SessionSurroundings;
  /** Undefined if it had ended before this image of the host began. */
  readonly #pty: Pty | undefined;
  readonly #recording: Recording;
  readonly #terminal: TerminalModel;
  readonly #screens: ScreenNotices;
  readonly #ended: Promise<void>;
  #cols: number;
  #rows: number;
  #lastOutputAt: number | null;
  #exit: SessionExit | null;
  #swept: number;
  /** Until then what it leaves behind may end by itself; set by `end`. */
  #graceUntil: number | undefined;
  /** By somebody's word, or because the host leaves. */
  #endAsked = false;

  /** Use `startSession` or `goOnSession`. */
  constructor(spec: Spawn, recording: Recording, around: SessionSurroundings, beginning: Beginning) {
    this.spec = spec;
    this.#around = around;
    this.#recording = recording;
    this.spawnedAt = beginning.spawnedAt;
    this.ring = beginning.ring;
    this.inputs = beginning.inputs;
    [this.#cols, this.#rows] = [beginning.cols, beginning.rows];
    [this.#lastOutputAt, this.#exit, this.#swept] = [beginning.lastOutputAt, beginning.exit, beginning.swept];
    let told: (exit: PtyExit) => void = () => undefined;
    const exited = new Promise<PtyExit>((resolve) => {
      told = resolve;
    });
    this.#pty = beginning.openPty({ onOutput: (bytes) => this.#output(bytes), onExit: told });
    this.identity = beginning.identify(this.#pty?.pid ?? 0);
    this.#terminal = this.#openTerminal(beginning.terminal);
    this.#screens = openScreenNotices(this.#terminal, (screen) =>
      around.notify({
        notice: 'screen',
        sessionId: spec.sessionId,
        at: around.now(),
        offset: this.#terminal.offset(),
        screen,
      }),
    );
    this.#ended = this.#pty === undefined ? Promise.resolve() : exited.then((exit) => this.#settle(exit));
  }

  get exit(): SessionExit | null {
    return this.#exit;
  }

  get running(): boolean {
    return this.#pty?.ended === false;
  }

  /** Its program is gone, and its end is not told yet. */
  get ending(): boolean {
    return !this.running && this.#exit === null;
  }

  describe(): HostSession {
    return {
      sessionId: this.spec.sessionId,
      instance: this.spec.instance,
      pid: this.identity.pid,
      startTicks: this.identity.startTicks,
      spawnedAt: this.spawnedAt,
      cols: this.#cols,
      rows: this.#rows,
      offset: this.ring.end(),
      ringOffset: this.ring.start(),
      lastOutputAt: this.#lastOutputAt,
      title: this.#terminal.title(),
      programStatus: this.#terminal.programStatus(),
      exit: this.#exit,
    };
  }

  write(inputId: string, data: string): Promise<InputEnd> {
    return this.#type(inputId, data, inputBeginMs);
  }

  #type(inputId: string, data: string | Buffer, beginWithinMs: number | undefined): Promise<InputEnd> {
    return this.inputs.apply(inputId, async () => {
      const end = (await this.#pty?.write(Buffer.from(data), beginWithinMs, inputId)) ?? 'closed';
      if (end === 'written') this.#recording.input(data.toString());
      return end;
    });
  }

  resize(cols: number, rows: number): void {
    if (!this.running) throw new HostError('not-running', `the session has ended: ${this.spec.sessionId}`);
    if (cols === this.#cols && rows === this.#rows) return;
    [this.#cols, this.#rows] = [cols, rows];
    this.#pty?.resize(cols, rows);
    this.#terminal.resize(cols, rows);
    this.#recording.resized(cols, rows);
    this.#around.notify({ notice: 'resized', sessionId: this.spec.sessionId, cols, rows });
  }

  /** Answers when everything that carries the session's mark is gone, or will not go. */
  async end(signal: NodeJS.Signals, graceMs: number): Promise<{ exit: SessionExit | null; swept: number }> {
    this.#endAsked = true;
    if (this.running) {
      this.#graceUntil = performance.now() + graceMs;
      this.#pty?.signal(signal);
      await within(this.#ended, graceMs);
    }
    return this.#kill();
  }

  async #kill(): Promise<{ exit: SessionExit | null; swept: number }> {
    if (this.#exit === null) {
      this.#pty?.signal('SIGKILL');
      const swept = await this.#attempt('sweep', () => sweep(this.spec.instance));
      this.#swept += swept?.ended ?? 0;
      await within(this.#ended, killedExitMs);
    }
    return { exit: this.#exit, swept: this.#swept };
  }

  snapshot(): Promise<Snapshot> {
    return this.#terminal.snapshot();
  }

  async tail(lines: number): Promise<string[]> {
    await this.#terminal.settled();
    return this.#terminal.tail(lines);
  }

  note(source: string, payload: unknown): void {
    this.#recording.note(source, payload);
  }

  /** Shows the screen to somebody who has just begun to watch. */
  showScreen(): void {
    void this.#terminal.settled().then(() => this.#screens.showAgain());
  }

  /** Nothing is written to disk any more, until `release`. */
  hold(): Promise<void> {
    return this.#recording.hold();
  }

  release(): void {
    this.#recording.release();
  }

  /** For the next image of the host, in the last turn of this one. Only while held and not ending. */
  carry(): CarriedSession {
    const pty = this.#pty?.ended === false ? this.#pty.carry() : undefined;
    const pending = pty?.pending ?? [];
    const terminal = this.#terminal.carry();
    const unparsed = this.#terminal.unparsed();
    const begun = this.#fromRing(terminal.offset, terminal.parsed);
    const left = this.#graceUntil === undefined ? null : Math.max(0, this.#graceUntil - performance.now());
    const ring = this.#fromRing(this.ring.start(), this.ring.end()) ?? Buffer.alloc(0);
    const given = Buffer.concat([begun ?? Buffer.from(swallow), unparsed]);
    return {
      spec: { ...this.spec, env: {} },
      seen: this.describe(),
      bootId: this.identity.bootId,
      swept: this.#swept,
      endInMs: this.#exit === null ? left : null,
      inputs: this.inputs.carry().map(([id, at]) => [id, at]),
      terminal: {
        ...terminal,
        offset: begun ? terminal.offset : terminal.parsed - swallow.length,
        status: { ...terminal.status },
        keyboard: { flags: terminal.keyboard.flags, stack: [...terminal.keyboard.stack] },
      },
      recording: this.#recording.carry() ?? null,
      pty:
        pty === undefined
          ? null
          : {
              fd: pty.fd,
              path: pty.path,
              pending: pending.map(({ label, rest, begun }) => ({
                inputId: label ?? null,
                length: rest.length,
                begun,
              })),
            },
      ringLength: ring.length,
      unparsedLength: given.length,
      ring,
      unparsed: given,
      pending: pending.map(({ rest }) => rest),
    };
  }

  /** After `goOnSession`: reads, types and ends again, once nobody else can. */
  goOn({ unparsed, pty, pending, endInMs, terminal }: CarriedSession): void {
    this.#terminal.write(unparsed);
    // One that waited behind output that is not parsed yet.
    if (terminal.cols !== this.#cols || terminal.rows !== this.#rows) this.#terminal.resize(this.#cols, this.#rows);
    for (const [index, rest] of pending.entries()) {
      const { inputId, begun } = pty?.pending[index] ?? {};
      if (typeof inputId !== 'string') void this.#pty?.write(rest);
      // The rest of what has begun can't be taken back any more: to refuse it would be to say that nothing was typed.
      else void this.#type(inputId, rest, begun ? undefined : inputBeginMs);
    }
    if (this.#terminal.backlog() <= backlogBytes.high) this.#pty?.resume();
    if (endInMs === null || this.#exit !== null) return;
    this.#endAsked = true;
    this.#graceUntil = performance.now() + endInMs;
    void within(this.#ended, endInMs).then(() => this.#kill());
  }

  /** Undefined if it is not there any more. */
  #fromRing(from: number, to: number): Buffer | undefined {
    if (from < this.ring.start()) return undefined;
    const parts: Buffer[] = [];
    for (let at = from; at < to; ) {
      const part = this.ring.read(at, to - at);
      parts.push(part);
      at += part.length;
    }
    return Buffer.concat(parts);
  }

  async forget(): Promise<void> {
    await removeTombstone(this.spec.dir);
    this.#terminal.close();
  }

  #output(bytes: Buffer): void {
    this.#lastOutputAt = this.#around.now();
    this.ring.append(bytes);
    this.#around.onOutput(this);
    this.#terminal.write(bytes);
    if (this.#terminal.backlog() > backlogBytes.high) this.#pty?.pause();
    this.#recording.output(bytes);
  }

  #openTerminal(carried: CarriedTerminal | undefined): TerminalModel {
    const { sessionId } = this.spec;
    return openTerminal({
      cols: carried?.cols ?? this.#cols,
      rows: carried?.rows ?? this.#rows,
      carried,
      onAnswer: (text) => this.#answer(text),
      onSignal: (kind, text, offset) =>
        this.#around.notify({ notice: 'signal', sessionId, at: this.#around.now(), offset, kind, text }),
      onParsed: () => {
        if (this.#terminal.backlog() <= backlogBytes.low) this.#pty?.resume();
        this.#screens.changed();
      },
      onHookError: (error) =>
        this.#around.log.error({ sessionId, error: messageOf(error) }, 'a hook of the terminal failed'),
    });
  }

  #answer(text: string): void {
    if (this.#pty === undefined || this.#pty.ended || this.#pty.pendingInputBytes > answerWaitBytesMax) return;
    this.#recording.input(text);
    void this.#pty.write(Buffer.from(text, 'utf8'));
  }

  async #settle({ code, signal }: PtyExit): Promise<void> {
    const exit: SessionExit = { code, signal, at: this.#around.now() };
    const { sessionId, instance } = this.spec;
    const graceMs = Math.max(0, (this.#graceUntil ?? 0) - performance.now());
    const [swept] = await Promise.all([
      this.#attempt('sweep', () => sweep(instance, { graceMs })),
      this.#attempt('the last output', () => this.#terminal.settled()),
      this.#attempt('the end of the recording', () => this.#recording.end(exit)),
    ]);
    this.#swept += swept?.ended ?? 0;
    if (swept) this.#dropMark(swept);
    else void this.#sweepAgain();
    await this.#attempt('the last screen', async () => this.#screens.finish());
    await this.#bury(exit);
    this.#exit = exit;
    await this.#attempt('the control group', async () => this.#around.onEnded(this));
    this.#around.notify({ notice: 'exited', sessionId, exit, offset: this.ring.end(), swept: this.#swept });
  }

  /** What would not end keeps its mark for the next host. */
  #dropMark({ survivors }: Sweep): void {
    const { sessionId } = this.spec;
    if (survivors.length === 0) this.#around.held.drop(sessionId);
    else this.#around.log.warn({ sessionId, survivors }, 'processes of the session would not end');
  }

  /** The processes could not be looked through: the end is told all the same, and what may be left is ended when they can. */
  async #sweepAgain(): Promise<void> {
    for (;;) {
      await delay(sweepAgainMs);
      const swept = await this.#attempt('sweep', () => sweep(this.spec.instance));
      if (swept) return this.#dropMark(swept);
    }
  }

  /** Whatever fails on the way (no descriptor left, a full disk): an end that is never told would leave the session running for ever. */
  async #attempt<T>(what: string, act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act();
    } catch (error) {
      const { sessionId } = this.spec;
      this.#around.log.error({ sessionId, what, error: messageOf(error) }, 'a step of the end of a session failed');
      return undefined;
    }
  }

  async #bury(exit: SessionExit): Promise<void> {
    const { sessionId } = this.spec;
    try {
      const { spawnedAt, lastOutputAt, offset, title, programStatus } = this.describe();
      const seen = { sessionId, spawnedAt, lastOutputAt, offset, title, programStatus };
      const screen = this.#terminal.screen();
      const tail = this.#terminal.tail(tombstoneTailLines);
      const end = { exit, swept: this.#swept, asked: this.#endAsked };
      await writeTombstone(this.spec.dir, { version: 1, ...seen, screen, tail, ...end });
    } catch (error) {
      // A full disk. The end is told all the same and stays in `list`; only a crash of the host before the acknowledgement loses it.
      this.#around.log.error({ sessionId, error: messageOf(error) }, 'the tombstone could not be written');
    }
  }
}

/** Throws `HostError` spawn-failed, with the reason. */
export async function startSession(spec: Spawn, around: SessionSurroundings): Promise<HostedSession> {
  await mkdir(spec.dir, { recursive: true, mode: 0o700 });
  // It would be taken for the end of this process.
  await removeTombstone(spec.dir);
  const recording = await openRecordingOf(spec, around);
  try {
    around.held.note(spec.sessionId, spec.instance);
    return new HostedSession(spec, recording, around, freshBeginning(spec, around));
  } catch (error) {
    around.held.drop(spec.sessionId);
    await recording.end({ code: null, signal: null, at: around.now() });
    throw error;
  }
}

function freshBeginning(spec: Spawn, { now }: SessionSurroundings): Beginning {
  const { file, args, cwd, cols, rows } = spec;
  return {
    spawnedAt: now(),
    ring: openRing(),
    inputs: openInputs(now),
    cols,
    rows,
    lastOutputAt: null,
    exit: null,
    swept: 0,
    terminal: undefined,
    openPty: (listeners) => {
      const spawned = spawnPty({ file, args, cwd, cols, rows, env: environmentOf(spec), ...listeners });
      if (spawned.kind === 'refused') throw new HostError('spawn-failed', spawned.reason);
      return spawned.pty;
    },
    identify: (pid) => identify(pid) ?? { pid, startTicks: '', bootId: '' },
  };
}

/** The session as the former image of the host had it; it stands still until `goOn`. */
export async function goOnSession(carried: CarriedSession, around: SessionSurroundings): Promise<HostedSession> {
  const { seen, pty } = carried;
  const ring = openRing(ringBytes, seen.ringOffset);
  ring.append(carried.ring);
  const recording = await goOnRecordingOf(carried, around);
  return new HostedSession(carried.spec, recording, around, {
    ...seen,
    ring,
    inputs: openInputs(around.now, carried.inputs),
    swept: carried.swept,
    terminal: carried.terminal,
    openPty: (listeners) => (pty === null ? undefined : adoptPty({ ...pty, pid: seen.pid }, listeners)),
    identify: () => ({ pid: seen.pid, startTicks: seen.startTicks, bootId: carried.bootId }),
  });
}

async function goOnRecordingOf(carried: CarriedSession, { log, now }: SessionSurroundings): Promise<Recording> {
  const { sessionId } = carried.spec;
  const onStopped = (reason: string): void => log.warn({ sessionId, reason }, 'the recording stopped');
  if (carried.recording === null) return noRecording;
  try {
    return await goOnRecording(carried.recording, { unfinished: unfinishedCharacter(carried.ring), now, onStopped });
  } catch (error) {
    onStopped(messageOf(error));
    return noRecording;
  }
}

/** The last bytes of the output if they begin a character that is not whole. */
function unfinishedCharacter(bytes: Buffer): Buffer {
  for (let back = 1; back <= Math.min(characterBytesMax - 1, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
    return needed > back ? bytes.subarray(bytes.length - back) : Buffer.alloc(0);
  }
  return Buffer.alloc(0);
}

const characterBytesMax = 4;

async function openRecordingOf(spec: Spawn, { log, now }: SessionSurroundings): Promise<Recording> {
  const { sessionId, cols, rows, title, recordingBytesMax } = spec;
  const onStopped = (reason: string): void => log.warn({ sessionId, reason }, 'the recording stopped');
  try {
    const path = join(spec.dir, 'session.cast');
    return await openRecording({ path, cols, rows, title, now, bytesMax: recordingBytesMax, onStopped });
  } catch (error) {
    onStopped(messageOf(error));
    return noRecording;
  }
}

/** The given environment and what the terminal itself stands for. */
function environmentOf({ env, sessionId, instance }: Spawn): Record<string, string> {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  const language = /utf-?8/i.test(locale) ? {} : { LANG: process.platform === 'darwin' ? 'en_US.UTF-8' : 'C.UTF-8' };
  const terminal = { TERM: 'xterm-256color', COLORTERM: 'truecolor' };
  return { ...env, ...language, ...terminal, MUSTER_SESSION: sessionId, [instanceVariable]: instance };
}
