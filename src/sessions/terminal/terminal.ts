/**
 * The screen of one session: bytes in; rows, answers, signals, snapshots out.
 *
 * It is @xterm/headless 6 with grapheme widths. The model parses in its own turns (64 KB pieces, about 12 ms at a time), so it lags behind
 * what was written; `settled` waits for it, and `offset` is how far it has come. Everything that a program prints is data here: titles,
 * notifications and status records are told as text, links and clipboard requests are ignored.
 *
 * Invariant: nothing thrown in a hook reaches xterm's parser, which would stay in the middle of a sequence and fail for ever.
 */

// oxlint-disable-next-line import/default -- a CommonJS bundle: its whole export is the default
import serialize from '@xterm/addon-serialize';
import headless from '@xterm/headless';
import type { z } from 'zod';
import { clip, oneLine } from '../../base/text.ts';
import type { screenSchema } from '../../protocol/host.ts';
import { registerAnswers } from './answers.ts';
import { openBoundary } from './boundary.ts';
import { followModes } from './modes.ts';
import { openProgramStatus, statusBytesMax } from './program-status.ts';
import { useGraphemeWidths } from './widths.ts';

export type Screen = z.infer<typeof screenSchema>;
export type SignalKind = 'title' | 'osc7501' | 'notification' | 'bell';

export interface TerminalOptions {
  readonly cols: number;
  readonly rows: number;
  /** To be typed to the program, in this order; at most `answerBytesMax` for each piece that was parsed. */
  readonly onAnswer: (text: string) => void;
  /** `offset`: bytes printed before the piece in which it came. */
  readonly onSignal: (kind: SignalKind, text: string, offset: number) => void;
  /** A piece has been parsed. */
  readonly onParsed: () => void;
  readonly onHookError: (error: unknown) => void;
  /** Signals told at once, by default `signalsMax`. A recording is read faster than it was made, and wants them all. */
  readonly signalsMax?: number;
}

/** Lost: the saved cursor, tab stops, line drawing sets, hyperlinks, and the join if the cut falls inside one emoji of several parts. */
export interface Snapshot {
  /** Output from here on continues `data`. */
  readonly offset: number;
  readonly cols: number;
  readonly rows: number;
  readonly data: string;
  readonly screen: Screen;
  readonly title: string;
}

/** xterm yields to others only between two writes. */
const pieceBytes = 64 * 1024;
export const scrollbackLines = 1000;
/** Answers to one piece. A program that asks more in 64 KB is not asking. */
export const answerBytesMax = 4096;
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
  readonly write: (bytes: Uint8Array) => void;
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
  readonly title: () => string;
  readonly programStatus: () => Record<string, string>;
  readonly close: () => void;
}

export function openTerminal(options: TerminalOptions): TerminalModel {
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
  const boundary = openBoundary();
  const status = openProgramStatus();
  const teller = openSignalTeller(options.onSignal, options.signalsMax ?? signalsMax);
  let [written, parsed, answers, title] = [0, 0, '', ''];

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
  const answer = (text: string): void => {
    if (answers.length + text.length <= answerBytesMax) answers += text;
  };
  const signal = (kind: SignalKind, text: string): true => {
    if (kind === 'title') title = text;
    if (kind === 'osc7501') status.report(text);
    teller.tell(kind, text, parsed);
    return true;
  };
  const afterPiece = (piece: Uint8Array): void => {
    parsed += piece.length;
    boundary.advance(piece);
    const text = answers;
    answers = '';
    if (text !== '') guard(() => (options.onAnswer(text), true))();
    guard(() => (options.onParsed(), true))();
  };

  registerAnswers(terminal, answer, guard);
  registerSignals(terminal, { answer, signal, guard });
  const modes = followModes(terminal, guard);
  terminal.onData((text) => guard(() => (answer(text), true))());

  const settled = (): Promise<void> => new Promise((resolve) => terminal.write('', resolve));
  return {
    write: (bytes) => {
      for (let from = 0; from < bytes.length; from += pieceBytes) {
        const piece = bytes.subarray(from, from + pieceBytes);
        written += piece.length;
        terminal.write(piece, () => afterPiece(piece));
      }
    },
    backlog: () => written - parsed,
    offset: () => parsed,
    resize: (cols, rows) =>
      terminal.write('', () => {
        guard(() => (terminal.resize(cols, rows), true))();
        guard(() => (options.onParsed(), true))();
      }),
    settled,
    inSynchronizedUpdate: () => terminal.modes.synchronizedOutputMode,
    screen: () => screenOf(terminal),
    tail: (lines) => tailOf(terminal, lines),
    snapshot: async () => {
      await settled();
      const data = serialized(terminal, serializer) + modes.epilogue();
      const { cols, rows } = terminal;
      return { offset: boundary.offset(), cols, rows, data, screen: screenOf(terminal), title };
    },
    title: () => title,
    programStatus: status.records,
    close: () => {
      teller.close();
      terminal.dispose();
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
    if (told++ < atOnceMax) onSignal(kind, text, offset);
    else late.set(kind, [text, offset]);
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
function serialized(terminal: headless.Terminal, serializer: serialize.SerializeAddon): string {
  for (const scrollback of snapshotScrollbacks) {
    const text = serializer.serialize({ scrollback });
    if (text.length <= snapshotCharactersMax) return text;
  }
  return clip(screenOf(terminal).rows.join('\r\n'), snapshotCharactersMax);
}
