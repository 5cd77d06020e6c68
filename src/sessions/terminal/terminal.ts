/**
 * The screen of one session: bytes in; rows, answers, signals, snapshots out.
 *
 * It is @xterm/headless 6 with grapheme widths. What is written waits and is parsed in turns shared by all models (`turns.ts`), so the model
 * lags behind; `settled` waits for it, and `offset` is how far it has come. A quiet session is parsed at once, a flood a few tens of times
 * a second (`backlog.ts`), and what of a flood can't leave a trace on screen or in history is left out (`skim.ts`). Everything that a
 * program prints is data here: titles, notifications and status records are told as text, links and clipboard requests are ignored.
 *
 * Invariants: resizes and looks take effect after exactly what was written before them. Nothing thrown in a hook reaches xterm's parser,
 * which would stay in the middle of a sequence and fail for ever.
 */

// oxlint-disable-next-line import/default -- a CommonJS bundle: its whole export is the default
import serialize from '@xterm/addon-serialize';
import headless from '@xterm/headless';
import type { z } from 'zod';
import { clip, oneLine } from '../../base/text.ts';
import type { screenSchema } from '../../protocol/host.ts';
import { type KeyboardState, registerAnswers } from './answers.ts';
import { openBacklog } from './backlog.ts';
import { openBoundary } from './boundary.ts';
import { insideOf } from './inside.ts';
import { followModes } from './modes.ts';
import { openProgramStatus, statusBytesMax } from './program-status.ts';
import { skim } from './skim.ts';
import { useGraphemeWidths } from './widths.ts';

export type Screen = z.infer<typeof screenSchema>;
export type SignalKind = 'title' | 'osc7501' | 'notification' | 'bell';

export interface TerminalOptions {
  readonly cols: number;
  readonly rows: number;
  /** To be typed to the program, in this order; at most `answerBytesMax` for each 64 KB of output. */
  readonly onAnswer: (text: string) => void;
  /** `offset`: bytes printed before the piece in which it came. */
  readonly onSignal: (kind: SignalKind, text: string, offset: number) => void;
  /** A piece has been parsed. */
  readonly onParsed: () => void;
  readonly onHookError: (error: unknown) => void;
  /** Signals told at once, by default `signalsMax`. A recording is read faster than it was made, and wants them all. */
  readonly signalsMax?: number;
  /** Goes on for another model; what it had not parsed, from `offset` on, must be written first. */
  readonly carried?: CarriedTerminal | undefined;
}

/** Lost: hyperlinks, the stack of titles, and the join if the cut falls inside one emoji of several parts. */
export interface Snapshot {
  /** Output from here on continues `data`. */
  readonly offset: number;
  readonly cols: number;
  readonly rows: number;
  readonly data: string;
  readonly screen: Screen;
  readonly title: string;
}

/** Everything that another model needs to go on for this one. */
export interface CarriedTerminal {
  /** Of the first byte that it must be given. */
  readonly offset: number;
  /** Of the first byte that this one has not parsed: those in between are an unfinished sequence. */
  readonly parsed: number;
  readonly cols: number;
  readonly rows: number;
  readonly data: string;
  readonly title: string;
  readonly status: Readonly<Record<string, string>>;
  readonly keyboard: KeyboardState;
}

export const scrollbackLines = 1000;
/** Answers to `answerWindowBytes` of output. A program that asks more is not asking. */
export const answerBytesMax = 4096;
const answerWindowBytes = 64 * 1024;
/** Signals told at once; a program that rings without end is told once per `signalWindowMs`, with the last text of each kind. */
const signalsMax = 50;
const signalWindowMs = 250;
const signalCharactersMax = 4096;
const titleCharactersMax = 1000;
/** Screen (3 bytes a character at most) and snapshot (ESC takes 6) must fit one frame of 4 MB together. */
const textCharactersMax = 600_000;
const snapshotCharactersMax = 300_000;
/** Tried in this order until it fits. */
const snapshotScrollbacks = [scrollbackLines, 200, 0];
/** A cell can hold any number of combining characters; the widest emoji has 11. */
const charactersPerCell = 8;

export interface TerminalModel {
  readonly write: (bytes: Buffer) => void;
  /** Bytes written and not yet parsed. */
  readonly backlog: () => number;
  /** Bytes parsed. */
  readonly offset: () => number;
  /** After what has been written so far. */
  readonly resize: (cols: number, rows: number) => void;
  /** When all that has been written so far is parsed. */
  readonly settled: () => Promise<void>;
  readonly inSynchronizedUpdate: () => boolean;
  readonly screen: () => Screen;
  /** The last lines of history and screen; a line that was wrapped is one line; no blank ones at the end. */
  readonly tail: (lines: number) => string[];
  readonly snapshot: () => Promise<Snapshot>;
  /** As it is now: of what was parsed. */
  readonly carry: () => CarriedTerminal;
  /** What was written and not parsed. */
  readonly unparsed: () => Buffer;
  readonly title: () => string;
  readonly programStatus: () => Record<string, string>;
  readonly close: () => void;
}

export function openTerminal(options: TerminalOptions): TerminalModel {
  const { carried } = options;
  const terminal = new headless.Terminal({
    cols: options.cols,
    rows: options.rows,
    scrollback: scrollbackLines,
    allowProposedApi: true,
    logLevel: 'off',
  });
  const serializer = new serialize.SerializeAddon();
  useGraphemeWidths(terminal);
  terminal.loadAddon(serializer);
  const inside = insideOf(terminal);
  const boundary = openBoundary(carried?.offset);
  const status = openProgramStatus();
  const teller = openSignalTeller(options.onSignal, options.signalsMax ?? signalsMax);
  const answers = openAnswerWindow(options.onAnswer);
  let [parsed, title] = [carried?.offset ?? 0, carried?.title ?? ''];

  const guard =
    <A extends unknown[]>(hook: (...given: A) => boolean) =>
    (...given: A): boolean => {
      try {
        return hook(...given);
      } catch (error) {
        options.onHookError(error);
        return false;
      }
    };
  const signal = (kind: SignalKind, text: string): true => {
    if (kind === 'title') title = text;
    if (kind === 'osc7501') status.report(text);
    teller.tell(kind, text, parsed);
    return true;
  };
  const parse = (bytes: Buffer): void => {
    try {
      inside.parse(bytes);
    } catch (error) {
      inside.reset();
      options.onHookError(error);
    }
  };
  const { keyboard } = registerAnswers(terminal, answers.add, guard, carried?.keyboard);
  registerSignals(terminal, { answer: answers.add, signal, guard });
  const modes = followModes(terminal, guard);
  terminal.onData((text) => guard(() => (answers.add(text), true))());
  if (carried) {
    parse(Buffer.from(carried.data));
    answers.drop();
    for (const text of Object.values(carried.status)) status.report(text);
  }

  const advance = (bytes: Buffer): void => {
    parsed += bytes.length;
    boundary.advance(bytes);
  };
  const backlog = openBacklog({
    parse: (piece) => {
      parse(piece);
      advance(piece);
      guard(() => (answers.tell(piece.length), true))();
      guard(() => (options.onParsed(), true))();
    },
    skim: (waiting) => {
      if (!modes.scrollsWhole() || boundary.offset() !== parsed) return { skipped: 0, looked: 0 };
      const { skipped, looked, colours } = skim(waiting, terminal.rows + scrollbackLines);
      parse(colours);
      advance(waiting.subarray(0, skipped));
      return { skipped, looked };
    },
  });
  const resize = (cols: number, rows: number): void => {
    guard(() => (terminal.resize(cols, rows), true))();
    guard(() => (options.onParsed(), true))();
  };
  const sequence = (scrollbacks: readonly number[], charactersMax: number): string =>
    modes.complete(serialized(terminal, { serializer, scrollbacks, charactersMax }));
  return {
    write: backlog.add,
    backlog: backlog.bytes,
    unparsed: backlog.waiting,
    offset: () => parsed,
    resize: (cols, rows) => backlog.after(() => resize(cols, rows)),
    settled: () => new Promise((resolve) => backlog.after(resolve)),
    inSynchronizedUpdate: () => terminal.modes.synchronizedOutputMode,
    screen: () => screenOf(terminal),
    tail: (lines) => tailOf(terminal, lines),
    snapshot: () =>
      new Promise((resolve, reject) =>
        backlog.after(() => {
          try {
            const data = sequence(snapshotScrollbacks, snapshotCharactersMax);
            const { cols, rows } = terminal;
            resolve({ offset: boundary.offset(), cols, rows, data, screen: screenOf(terminal), title });
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        }),
      ),
    carry: () => ({
      offset: boundary.offset(),
      parsed,
      cols: terminal.cols,
      rows: terminal.rows,
      data: sequence([scrollbackLines], Number.POSITIVE_INFINITY) + updateOf(terminal),
      title,
      status: status.records(),
      keyboard: keyboard(),
    }),
    title: () => title,
    programStatus: status.records,
    close: () => {
      backlog.close();
      teller.close();
      terminal.dispose();
    },
  };
}

/** A synchronized update that has begun goes on; a viewer of a snapshot should see it, another model must know it. */
const updateOf = (terminal: headless.Terminal): string =>
  terminal.modes.synchronizedOutputMode ? '\u001b[?2026h' : '';

/** Answers of one parsed piece go out together; `answerBytesMax` for each window. */
function openAnswerWindow(onAnswer: (text: string) => void): {
  add: (text: string) => void;
  tell: (parsedBytes: number) => void;
  drop: () => void;
} {
  let [text, given, seen] = ['', 0, 0];
  return {
    add: (answer) => {
      if (given + answer.length > answerBytesMax) return;
      given += answer.length;
      text += answer;
    },
    tell: (parsedBytes) => {
      seen += parsedBytes;
      if (seen >= answerWindowBytes) [seen, given] = [0, 0];
      const told = text;
      text = '';
      if (told !== '') onAnswer(told);
    },
    drop: () => {
      [text, given] = ['', 0];
    },
  };
}

/** Lets `atOnceMax` through in each window; of the rest only the last of each kind, at the window's end. */
function openSignalTeller(
  onSignal: TerminalOptions['onSignal'],
  atOnceMax: number,
): {
  tell: TerminalOptions['onSignal'];
  close: () => void;
} {
  const late = new Map<SignalKind, readonly [string, number]>();
  let told = 0;
  let timer: NodeJS.Timeout | undefined;
  const openWindow = (): void => {
    timer = undefined;
    told = 0;
    const rest = [...late];
    late.clear();
    for (const [kind, [text, offset]] of rest) tell(kind, text, offset);
  };
  const tell = (kind: SignalKind, text: string, offset: number): void => {
    timer ??= setTimeout(openWindow, signalWindowMs);
    if (told++ < atOnceMax) return onSignal(kind, text, offset);
    // In the order in which the last of each came.
    late.delete(kind);
    late.set(kind, [text, offset]);
  };
  return { tell, close: () => clearTimeout(timer) };
}

interface SignalHooks {
  readonly answer: (text: string) => void;
  readonly signal: (kind: SignalKind, text: string) => true;
  readonly guard: <A extends unknown[]>(hook: (...given: A) => boolean) => (...given: A) => boolean;
}

/** OSC 0 and 2: title. 9, 99 and 777: notification (9;4 is a progress bar, no news). 7501: status, and the question whether we know it. */
function registerSignals(terminal: headless.Terminal, { answer, signal, guard }: SignalHooks): void {
  const { parser } = terminal;
  const setTitle = guard((text: string) => signal('title', oneLine(text, titleCharactersMax)));
  parser.registerOscHandler(0, setTitle);
  parser.registerOscHandler(2, setTitle);
  const notify = guard(
    (text: string) => text.startsWith('4;') || signal('notification', oneLine(text, signalCharactersMax)),
  );
  parser.registerOscHandler(9, notify);
  // `p=?` in the part before the text asks whether notifications are known (opencode 1.18 does); silence means no.
  const notifyUnlessAsked = guard((text: string) => /^[^;]*\bp=\?/.test(text) || notify(text));
  parser.registerOscHandler(99, notifyUnlessAsked);
  parser.registerOscHandler(777, notify);
  parser.registerOscHandler(
    7501,
    guard((text: string) => {
      if (text === '?') answer('\u001b]7501;?\u001b\\');
      else if (text.length <= statusBytesMax) signal('osc7501', text);
      return true;
    }),
  );
  terminal.onBell(() => guard(() => signal('bell', ''))());
}

function screenOf(terminal: headless.Terminal): Screen {
  const buffer = terminal.buffer.active;
  const rows: string[] = [];
  let left = textCharactersMax;
  for (let row = 0; row < terminal.rows; row++) {
    const text = clip(rowText(terminal, buffer.baseY + row), left);
    left -= Math.min(left, text.length);
    rows.push(text);
  }
  return { rows, cursor: { x: buffer.cursorX, y: buffer.cursorY }, alternate: buffer.type === 'alternate' };
}

const rowText = (terminal: headless.Terminal, row: number): string =>
  clip(terminal.buffer.active.getLine(row)?.translateToString(true) ?? '', terminal.cols * charactersPerCell);

function tailOf(terminal: headless.Terminal, lines: number): string[] {
  const buffer = terminal.buffer.active;
  const found: string[] = [];
  let [part, left] = ['', textCharactersMax];
  for (let row = buffer.baseY + terminal.rows - 1; row >= 0 && found.length < lines && left > 0; row--) {
    part = rowText(terminal, row) + part;
    if (buffer.getLine(row)?.isWrapped && part.length < left) continue;
    if (part !== '' || found.length > 0) found.push(part);
    left -= part.length;
    part = '';
  }
  return found.reverse();
}

/** With history if it fits a frame, without if not, as bare text if even that does not. */
function serialized(
  terminal: headless.Terminal,
  limits: {
    readonly serializer: serialize.SerializeAddon;
    readonly scrollbacks: readonly number[];
    readonly charactersMax: number;
  },
): string {
  for (const scrollback of limits.scrollbacks) {
    const text = limits.serializer.serialize({ scrollback });
    if (text.length <= limits.charactersMax) return text;
  }
  return clip(screenOf(terminal).rows.join('\r\n'), limits.charactersMax);
}
