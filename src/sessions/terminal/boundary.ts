/**
 * Where the sequence began in whose middle a stream of bytes stands now. A viewer that gets the screen as it is must get the stream from
 * there: an unfinished sequence has had no effect on the screen yet, and its second half alone would show as text.
 *
 * ESC begins a new sequence from any state, so only what follows the last ESC of a chunk has to be looked at.
 */
export interface Boundary {
  /** Takes the next bytes of the stream. */
  readonly advance: (bytes: Uint8Array) => void;
  /** Offset of the first byte of the unfinished sequence or character; the number of all bytes if there is none. */
  readonly offset: () => number;
}

type Where = 'ground' | 'escape' | 'control' | 'string' | 'character';

const esc = 0x1b;

/** `start`: offset of the first byte that will be taken; it begins a character or sequence. */
export function openBoundary(start = 0): Boundary {
  let total = start;
  let begun = start;
  let where: Where = 'ground';
  let missing = 0;

  const step = (byte: number, at: number): void => {
    const fresh = byte === esc || where === 'ground' || (where === 'character' && (byte & 0xc0) !== 0x80);
    if (fresh) {
      begun = at;
      where = byte === esc ? 'escape' : 'ground';
      missing = continuationBytes(byte);
      if (missing > 0) where = 'character';
      return;
    }
    where = where === 'character' ? (--missing > 0 ? 'character' : 'ground') : after(where, byte);
  };

  return {
    advance: (bytes) => {
      const last = bytes.lastIndexOf(esc);
      // Plain text, the bulk: only an unfinished character at the end can matter.
      const inText = last < 0 && (where === 'ground' || where === 'character');
      const from = last >= 0 ? last : inText ? Math.max(0, bytes.length - 4) : 0;
      if (inText && from > 0) where = 'ground';
      for (let index = from; index < bytes.length; index++) step(bytes[index] ?? 0, total + index);
      total += bytes.length;
    },
    offset: () => (where === 'ground' ? total : begun),
  };
}

/** How many bytes of a UTF-8 character follow this one. */
function continuationBytes(byte: number): number {
  if (byte < 0xc2 || byte > 0xf4) return 0;
  return byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
}

/** ECMA-48: intermediate bytes 20-2F, parameters 30-3F, finals 40-7E; CAN and SUB abort; strings end with BEL or ESC. */
function after(where: 'escape' | 'control' | 'string' | 'ground', byte: number): Where {
  if (byte === 0x18 || byte === 0x1a) return 'ground';
  if (where === 'string') return byte === 0x07 ? 'ground' : 'string';
  if (where === 'control') return byte >= 0x40 && byte <= 0x7e ? 'ground' : 'control';
  if (byte === 0x5b) return 'control';
  // ] P X ^ _ : OSC, DCS, SOS, PM, APC
  if ([0x5d, 0x50, 0x58, 0x5e, 0x5f].includes(byte)) return 'string';
  return byte >= 0x20 && byte <= 0x2f ? 'escape' : 'ground';
}
