/**
 * Which inputs were written to one session. An id is applied at most once: a second request with it waits for the first and says so.
 * The ids live in memory only, which is enough: they die with the process that owns the PTY, and so does the session. An upgrade of the
 * host carries them over; one that was still waiting is applied by the successor, under its id.
 */
import type { WriteEnd } from '../../platform/pty.ts';
import { keysInputPrefix } from '../../protocol/host.ts';

export type InputEnd =
  | { readonly kind: 'applied'; readonly when: 'now' | 'before'; readonly at: number }
  | { readonly kind: 'refused'; readonly end: Exclude<WriteEnd, 'written'> };

export interface Inputs {
  readonly apply: (inputId: string, write: () => Promise<WriteEnd>) => Promise<InputEnd>;
  /** When it was written, null if it never was (or is not yet). */
  readonly writtenAt: (inputId: string) => number | null;
  /** Those that were written, oldest first; a person's keys after the others. */
  readonly carry: () => readonly (readonly [string, number])[];
}

/** Of each list. A prompt may be asked for again by another life of the daemon: 500 are hours of them. Of keys they are minutes. */
const rememberedMax = 500;

type Known = Map<string, { at: number | null; end: Promise<WriteEnd> }>;

export function openInputs(now: () => number, carried: readonly (readonly [string, number])[] = []): Inputs {
  /** Apart, so that a person who types pushes no prompt out: asked for again, it would be pasted again. */
  const keys: Known = new Map();
  const others: Known = new Map();
  const listOf = (inputId: string): Known => (inputId.startsWith(keysInputPrefix) ? keys : others);
  for (const [id, at] of carried) listOf(id).set(id, { at, end: Promise.resolve('written') });
  return {
    apply: async (inputId, write) => {
      const known = listOf(inputId);
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
    carry: () => [...others, ...keys].flatMap(([id, { at }]) => (at === null ? [] : [[id, at] as const])),
    writtenAt: (inputId) => listOf(inputId).get(inputId)?.at ?? null,
  };
}
