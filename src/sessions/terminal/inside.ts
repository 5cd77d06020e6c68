/**
 * What we use of xterm (6.0.0, pinned) that it does not offer: parsing at once instead of in its own timers, counts that are bounded, and
 * the parts of its state that no snapshot holds. `terminal.test.ts` fails on a bump that changes any of it.
 */
import type { IBufferCell, Terminal } from '@xterm/headless';
import { assert } from '../../base/assert.ts';

/** How characters are drawn from here on; the methods are those of a cell. */
export type Pen = Pick<
  IBufferCell,
  | 'isBold'
  | 'isDim'
  | 'isItalic'
  | 'isUnderline'
  | 'isBlink'
  | 'isInverse'
  | 'isInvisible'
  | 'isStrikethrough'
  | 'isOverline'
  | 'isFgRGB'
  | 'isBgRGB'
  | 'isFgPalette'
  | 'isBgPalette'
  | 'getFgColorMode'
  | 'getBgColorMode'
  | 'getFgColor'
  | 'getBgColor'
>;

export interface InsideBuffer {
  readonly scrollTop: number;
  readonly scrollBottom: number;
  readonly ybase: number;
  readonly savedX: number;
  readonly savedY: number;
  readonly savedCurAttrData: Pen;
  readonly savedCharset: object | undefined;
  readonly tabs: Readonly<Record<number, boolean | undefined>>;
}

export interface Inside {
  readonly parse: (bytes: Uint8Array) => void;
  /** After something was thrown in the middle of a sequence. */
  readonly reset: () => void;
  /** The one that is shown. */
  readonly buffer: () => InsideBuffer;
  readonly normal: () => InsideBuffer;
  readonly pen: () => Pen;
  readonly charsets: () => { readonly designated: readonly (object | undefined)[]; readonly shifted: number };
}

interface Core {
  readonly _inputHandler: {
    readonly parse: (bytes: Uint8Array) => unknown;
    readonly _parser: { readonly reset: () => void };
    readonly _curAttrData: Pen;
  };
  readonly _bufferService: { readonly buffer: InsideBuffer; readonly buffers: { readonly normal: InsideBuffer } };
  readonly _charsetService: { readonly _charsets: readonly (object | undefined)[]; readonly glevel: number };
}

/** Of the commands that are done as often as their first parameter says: how often they can have an effect. */
const counted: Readonly<Record<string, (terminal: Terminal) => number>> = {
  repeatPrecedingCharacter: ({ cols, rows }) => cols * rows,
  cursorForwardTab: ({ cols }) => cols,
  cursorBackwardTab: ({ cols }) => cols,
  insertChars: ({ cols }) => cols,
  deleteChars: ({ cols }) => cols,
  eraseChars: ({ cols }) => cols,
  insertColumns: ({ cols }) => cols,
  deleteColumns: ({ cols }) => cols,
  scrollLeft: ({ cols }) => cols,
  scrollRight: ({ cols }) => cols,
  insertLines: ({ rows }) => rows,
  deleteLines: ({ rows }) => rows,
  scrollUp: ({ rows }) => rows,
  scrollDown: ({ rows }) => rows,
};

type Counted = (given: { readonly params: Int32Array }) => boolean;

/** xterm does every one of them, for hours, or asks for gigabytes: `CSI 999999999 b`, `I`, `S`. */
function boundCounts(terminal: Terminal, input: Record<string, unknown>): void {
  for (const [name, mostOf] of Object.entries(counted)) {
    const act = input[name];
    assert(typeof act === 'function', 'xterm is another inside');
    input[name] = (given: Parameters<Counted>[0]): boolean => {
      given.params[0] = Math.min(given.params[0] ?? 0, mostOf(terminal));
      return (act as Counted).call(input, given);
    };
  }
}

export function insideOf(terminal: Terminal): Inside {
  const core = (terminal as unknown as { readonly _core: Core })._core;
  const { _inputHandler: input, _charsetService: charsets } = core;
  assert(typeof input.parse === 'function' && typeof input._parser.reset === 'function', 'xterm is another inside');
  assert(
    Array.isArray(charsets._charsets) && typeof core._bufferService.buffer.savedY === 'number',
    'xterm is another',
  );
  boundCounts(terminal, input as unknown as Record<string, unknown>);
  return {
    parse: (bytes) => void input.parse(bytes),
    reset: () => input._parser.reset(),
    buffer: () => core._bufferService.buffer,
    normal: () => core._bufferService.buffers.normal,
    pen: () => input._curAttrData,
    charsets: () => ({ designated: charsets._charsets, shifted: charsets.glevel }),
  };
}
