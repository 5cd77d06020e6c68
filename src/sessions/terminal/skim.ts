/**
 * What a screen model need not parse of a flood, without any difference in what it shows afterwards.
 *
 * Lines that scroll out of the screen and of its history leave nothing behind but the colours in force. So if what waits is only text,
 * tabs, line ends and colours (SGR), all but the last lines may be left out; the colours set there are applied. One other control
 * character or sequence ends such a run, because it may move the cursor, change a mode, ask or tell something.
 */

export interface Skim {
  /** Bytes from the start that may be left out. 0: nothing. */
  readonly skipped: number;
  /** To be parsed in their place: the colours that are in force after them. */
  readonly colours: Buffer;
  /** Where the run ended: before it there is nothing more to gain. */
  readonly looked: number;
}

const [plain, lineFeed, escape, lead, other] = [0, 1, 2, 3, 4];
const [lineFeedByte, returnByte, escapeByte] = [0x0a, 0x0d, 0x1b];

/** C2 80 to C2 9F are control characters as UTF-8. Bytes that are no UTF-8 are dropped by the model and so are plain. */
const classes = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte === lineFeedByte) return lineFeed;
  if (byte === escapeByte) return escape;
  if (byte === 0xc2) return lead;
  return byte >= 0x20 || byte === 0x09 || byte === returnByte ? plain : other;
});

/**
 * `bytes` stand at the start of a character and outside any sequence; the whole screen scrolls. `linesKept`: rows of screen and history
 * together.
 */
export function skim(bytes: Buffer, linesKept: number): Skim {
  const looked = endOfRun(bytes);
  const cut = cutBefore(bytes, looked, linesKept);
  return { skipped: cut, colours: coloursAt(bytes, cut), looked };
}

function endOfRun(bytes: Buffer): number {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let index = 0;
  while (index < bytes.length) {
    index = endOfText(words, index);
    const kind = classes[bytes[index] ?? 0];
    if (kind === plain || kind === lineFeed) index++;
    else if (kind === escape) {
      const end = endOfColours(bytes, index);
      if (end === undefined) return index;
      index = end;
    } else if (kind === lead && ((bytes[index + 1] ?? 0) & 0xe0) !== 0x80) index++;
    else return index;
  }
  return index;
}

/**
 * Behind words of four bytes of which none is below 20 or is C2; five times as fast as byte by byte. A difference that borrows sets the
 * highest bit of a byte that did not have it; it can borrow from the next byte too, and so stop too early, never too late.
 */
function endOfText(words: DataView, from: number): number {
  const last = words.byteLength - 4;
  let index = from;
  for (; index <= last; index += 4) {
    const word = words.getUint32(index, true);
    const leads = word ^ 0xc2c2c2c2;
    const below = (word - 0x20202020) & ~word;
    const lead = (leads - 0x01010101) & ~leads;
    if (((below | lead) & 0x80808080) !== 0) break;
  }
  return index;
}

/** `ESC [ digits ; : m`; undefined if it is anything else or not whole. */
function endOfColours(bytes: Buffer, from: number): number | undefined {
  if (bytes[from + 1] !== 0x5b) return undefined;
  let index = from + 2;
  for (let byte = bytes[index] ?? 0; byte >= 0x30 && byte <= 0x3b; byte = bytes[index] ?? 0) index++;
  return bytes[index] === 0x6d ? index + 1 : undefined;
}

/** After a CR LF, so that the line that follows begins in the first column; at least `linesKept` line ends come after it. */
function cutBefore(bytes: Buffer, end: number, linesKept: number): number {
  let at = end;
  for (let kept = 0; at > 0; kept++) {
    const found = bytes.lastIndexOf(lineFeedByte, at - 1);
    if (found < 0) return 0;
    if (kept >= linesKept && bytes[found - 1] === returnByte) return found + 1;
    at = found;
  }
  return 0;
}

/** All of them from the last one on that begins with a reset. */
function coloursAt(bytes: Buffer, end: number): Buffer {
  const found: Buffer[] = [];
  for (let at = end; at > 0; ) {
    at = bytes.lastIndexOf(escapeByte, at - 1);
    if (at < 0) break;
    const colours = bytes.subarray(at, endOfColours(bytes, at) ?? at);
    found.push(colours);
    if (/^\u001b\[0*[;m]/.test(colours.toString('latin1'))) break;
  }
  return Buffer.concat(found.reverse());
}
