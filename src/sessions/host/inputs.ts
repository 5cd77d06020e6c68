/**
 * Which inputs were written to one session. An id is applied at most once: a second request with it waits for the first and says so.
 * The ids live in memory only, which is enough: they die with the process that owns the PTY, and so does the session. An upgrade of the
 * host carries them over; one that was still waiting is applied by the successor, under its id.
 */
import type { WriteEnd } from '../../platform/pty.ts';

export type InputEnd =
  | { readonly kind: 'applied'; readonly when: 'now' | 'before'; readonly at: number }
  | { readonly kind: 'refused'; readonly end: Exclude<WriteEnd, 'written'> };

export interface Inputs {
  readonly apply: (inputId: string, write: () => Promise<WriteEnd>) => Promise<InputEnd>;
  /** When it was written, null if it never was (or is not yet). */
  readonly writtenAt: (inputId: string) => number | null;
  /** Those that were written, oldest first. */
  readonly carry: () => readonly (readonly [string, number])[];
}

/** A caller asks again within seconds; 500 inputs are hours of prompts, and minutes of a person's keys. */
const rememberedMax = 500;

export function openInputs(now: () => number, carried: readonly (readonly [string, number])[] = []): Inputs {
  const known = new Map<string, { at: number | null; end: Promise<WriteEnd> }>(
    carried.map(([id, at]) => [id, { at, end: Promise.resolve('written') }]),
  );
  return {
    apply: async (inputId, write) => {
      const before = known.get(inputId);
      const entry = before ?? { at: null, end: write() };
      if (before === undefined) {
        known.set(inputId, entry);
        for (const oldest of known.keys()) {
          if (known.size <= rememberedMax) break;
          known.delete(oldest);
        }
      }
      const end = await entry.end;
      if (end === 'written') {
        entry.at ??= now();
        return { kind: 'applied', when: before === undefined ? 'now' : 'before', at: entry.at };
      }
      // Nothing of it was written: the same id may be tried again.
      if (end === 'full') known.delete(inputId);
      return { kind: 'refused', end };
    },
    carry: () => [...known].flatMap(([id, { at }]) => (at === null ? [] : [[id, at] as const])),
    writtenAt: (inputId) => known.get(inputId)?.at ?? null,
  };
}
