/** The last bytes of a session's output, addressed by their absolute offset. Appending overwrites the oldest; memory never grows. */
export interface Ring {
  readonly append: (bytes: Uint8Array) => void;
  /** Offset of the oldest byte that is still there. */
  readonly start: () => number;
  /** Bytes ever appended: the offset of the next one. */
  readonly end: () => number;
  /** A copy of at most `bytesMax` bytes from `from` on, which must not lie before `start`; empty at the end. */
  readonly read: (from: number, bytesMax: number) => Buffer;
}

/** One full screen of colours is some 20 KB; a daemon that comes back after seconds finds all of a busy session (50 KB/s) here. */
export const ringBytes = 256 * 1024;

/** `from`: offset of the first byte that will be appended. */
export function openRing(capacity = ringBytes, from = 0): Ring {
  const store = Buffer.allocUnsafeSlow(capacity);
  let end = from;
  const start = (): number => Math.max(from, end - capacity);
  return {
    append: (bytes) => {
      const kept = bytes.subarray(Math.max(0, bytes.length - capacity));
      const at = (end + bytes.length - kept.length) % capacity;
      const first = kept.subarray(0, capacity - at);
      store.set(first, at);
      store.set(kept.subarray(first.length), 0);
      end += bytes.length;
    },
    start,
    end: () => end,
    read: (from, bytesMax) => {
      const at = from % capacity;
      const length = Math.max(0, Math.min(bytesMax, end - from, capacity - at));
      return Buffer.from(store.subarray(at, at + length));
    },
  };
}
