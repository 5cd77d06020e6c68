/**
 * One session inside the host: its PTY, the ring, the screen model, the recording, and its end.
 *
 * States: running → ending (the program is gone; what it left behind is being ended, the recording closed, the tombstone written) →
 * ended (told to everybody). `exit` is shown only in the last one, so nobody hears of an end that a crash could still unmake.
 *
 * The program is slowed down only by the host's own pace: reading stops while the model is `backlogBytes.high` behind. Readers never
 * slow it: they read the ring.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { within } from '../../base/wait.ts';
import { identify, instanceVariable, type ProcessIdentity, sweep } from '../../platform/processes.ts';
import { type Pty, spawnPty } from '../../platform/pty.ts';
import type { PtyExit } from '../../platform/pty-native.ts';
import type { HostNotice, HostSession, Spawn } from '../../protocol/host.ts';
import type { SessionExit } from '../../protocol/session.ts';
import { openTerminal, type Snapshot, type TerminalModel } from '../terminal/terminal.ts';
import { removeTombstone, writeTombstone } from '../tombstone.ts';
import { HostError } from './errors.ts';
import { type InputEnd, type Inputs, openInputs } from './inputs.ts';
import { noRecording, openRecording, type Recording } from './recording.ts';
import { openRing, type Ring } from './ring.ts';
import { openScreenNotices, type ScreenNotices } from './screen-notices.ts';

export interface SessionSurroundings {
  readonly log: Log;
  readonly now: () => number;
  readonly notify: (notice: HostNotice) => void;
  /** New bytes are in the ring. */
  readonly onOutput: (session: HostedSession) => void;
  /** It has just ended: told before the notice. */
  readonly onEnded: (session: HostedSession) => void;
}

/** How far the screen model may lag behind before the program has to wait; about 30 ms of parsing. */
const backlogBytes = { high: 1024 * 1024, low: 256 * 1024 };
/** An input of which the program took nothing in this time is refused whole. */
const inputBeginMs = 10_000;
/** Answers of the terminal wait behind input that is not read; more of them would only be stale. */
const answerWaitBytesMax = 64 * 1024;
const tombstoneTailLines = 200;
/** After SIGKILL the exit comes within milliseconds; a process in an uninterruptible wait may never come. */
const killedExitMs = 5000;

export class HostedSession {
  readonly spec: Spawn;
  readonly spawnedAt: number;
  readonly ring: Ring = openRing();
  readonly inputs: Inputs;
  readonly identity: ProcessIdentity;
  readonly #around: SessionSurroundings;
  readonly #pty: Pty;
  readonly #recording: Recording;
  readonly #terminal: TerminalModel;
  readonly #screens: ScreenNotices;
  readonly #ended: Promise<void>;
  #cols: number;
  #rows: number;
  #lastOutputAt: number | null = null;
  #exit: SessionExit | null = null;
  #swept = 0;
  /** Until then what it leaves behind may end by itself; set by `end`. */
  #graceUntil = 0;

  /** Use `startSession`. */
  constructor(spec: Spawn, recording: Recording, around: SessionSurroundings) {
    this.spec = spec;
    this.#around = around;
    this.#recording = recording;
    this.spawnedAt = around.now();
    this.inputs = openInputs(around.now);
    [this.#cols, this.#rows] = [spec.cols, spec.rows];
    let told: (exit: PtyExit) => void = () => undefined;
    const exited = new Promise<PtyExit>((resolve) => {
      told = resolve;
    });
    const { file, args, cwd, cols, rows } = spec;
    const spawned = spawnPty({
      file,
      args,
      cwd,
      cols,
      rows,
      env: environmentOf(spec),
      onOutput: (bytes) => this.#output(bytes),
      onExit: told,
    });
    if (spawned.kind === 'refused') throw new HostError('spawn-failed', spawned.reason);
    this.#pty = spawned.pty;
    this.identity = identify(spawned.pty.pid) ?? { pid: spawned.pty.pid, startTicks: '', bootId: '' };
    this.#terminal = this.#openTerminal();
    this.#screens = openScreenNotices(this.#terminal, (screen) =>
      around.notify({
        notice: 'screen',
        sessionId: spec.sessionId,
        at: around.now(),
        offset: this.#terminal.offset(),
        screen,
      }),
    );
    this.#ended = exited.then((exit) => this.#settle(exit));
  }

  get exit(): SessionExit | null {
    return this.#exit;
  }

  get running(): boolean {
    return !this.#pty.ended;
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

  async write(inputId: string, data: string): Promise<InputEnd> {
    return this.inputs.apply(inputId, async () => {
      const end = await this.#pty.write(Buffer.from(data, 'utf8'), inputBeginMs);
      if (end === 'written') this.#recording.input(data);
      return end;
    });
  }

  resize(cols: number, rows: number): void {
    if (!this.running) throw new HostError('not-running', `the session has ended: ${this.spec.sessionId}`);
    if (cols === this.#cols && rows === this.#rows) return;
    [this.#cols, this.#rows] = [cols, rows];
    this.#pty.resize(cols, rows);
    this.#terminal.resize(cols, rows);
    this.#recording.resized(cols, rows);
    this.#around.notify({ notice: 'resized', sessionId: this.spec.sessionId, cols, rows });
  }

  /** Answers when everything that carries the session's mark is gone, or will not go. */
  async end(signal: NodeJS.Signals, graceMs: number): Promise<{ exit: SessionExit | null; swept: number }> {
    if (this.running) {
      this.#graceUntil = performance.now() + graceMs;
      this.#pty.signal(signal);
      await within(this.#ended, graceMs);
    }
    if (this.#exit === null) {
      this.#pty.signal('SIGKILL');
      const { ended } = await sweep(this.spec.instance);
      this.#swept += ended;
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
    this.#screens.showAgain();
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
    if (this.#terminal.backlog() > backlogBytes.high) this.#pty.pause();
    this.#recording.output(bytes);
  }

  #openTerminal(): TerminalModel {
    const { sessionId, cols, rows } = this.spec;
    return openTerminal({
      cols,
      rows,
      onAnswer: (text) => this.#answer(text),
      onSignal: (kind, text, offset) =>
        this.#around.notify({ notice: 'signal', sessionId, at: this.#around.now(), offset, kind, text }),
      onParsed: () => {
        if (this.#terminal.backlog() <= backlogBytes.low) this.#pty.resume();
        this.#screens.changed();
      },
      onHookError: (error) =>
        this.#around.log.error({ sessionId, error: messageOf(error) }, 'a hook of the terminal failed'),
    });
  }

  #answer(text: string): void {
    if (this.#pty.ended || this.#pty.pendingInputBytes > answerWaitBytesMax) return;
    this.#recording.input(text);
    void this.#pty.write(Buffer.from(text, 'utf8'));
  }

  async #settle({ code, signal }: PtyExit): Promise<void> {
    const exit: SessionExit = { code, signal, at: this.#around.now() };
    const { sessionId, instance } = this.spec;
    const graceMs = Math.max(0, this.#graceUntil - performance.now());
    const [swept] = await Promise.all([
      sweep(instance, { graceMs }),
      this.#terminal.settled(),
      this.#recording.end(exit),
    ]);
    this.#swept += swept.ended;
    if (swept.survivors.length > 0) {
      this.#around.log.warn({ sessionId, survivors: swept.survivors }, 'processes of the session would not end');
    }
    this.#screens.finish();
    await this.#bury(exit);
    this.#exit = exit;
    this.#around.onEnded(this);
    this.#around.notify({ notice: 'exited', sessionId, exit, offset: this.ring.end(), swept: this.#swept });
  }

  async #bury(exit: SessionExit): Promise<void> {
    const { sessionId, spawnedAt, lastOutputAt, offset, title, programStatus } = this.describe();
    const screen = this.#terminal.screen();
    const tail = this.#terminal.tail(tombstoneTailLines);
    const seen = { sessionId, spawnedAt, lastOutputAt, offset, title, programStatus, screen, tail };
    try {
      await writeTombstone(this.spec.dir, { version: 1, ...seen, exit, swept: this.#swept });
    } catch (error) {
      // A full disk. The end is told all the same and stays in `list`; only a crash of the host before the acknowledgement loses it.
      this.#around.log.error({ sessionId, error: messageOf(error) }, 'the tombstone could not be written');
    }
  }
}

/** Throws `HostError` spawn-failed, with the reason. */
export async function startSession(spec: Spawn, around: SessionSurroundings): Promise<HostedSession> {
  await mkdir(spec.dir, { recursive: true, mode: 0o700 });
  const recording = await openRecordingOf(spec, around);
  try {
    return new HostedSession(spec, recording, around);
  } catch (error) {
    await recording.end({ code: null, signal: null, at: around.now() });
    throw error;
  }
}

async function openRecordingOf(spec: Spawn, { log, now }: SessionSurroundings): Promise<Recording> {
  const { sessionId, cols, rows, title, recordingBytesMax } = spec;
  const onStopped = (reason: string): void => log.warn({ sessionId, reason }, 'the recording stopped');
  try {
    const path = join(spec.dir, 'session.cast');
    return await openRecording({ path, cols, rows, title, startedAt: now(), bytesMax: recordingBytesMax, onStopped });
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
