/**
 * Which inputs were begun: in the session's record, and so on disk, before the first byte of them is typed. After a crash each of them was
 * typed, or a part of it, or may have been, and none is typed a second time. The oldest go at the limit.
 */
import type { BegunInput, SessionRecord } from './record.ts';

/** Whoever asks again does so within the next few inputs. */
const kept = 50;

type Begun = Pick<SessionRecord, 'begun'>;

export const begunInput = ({ begun }: Begun, inputId: string): BegunInput | undefined =>
  begun?.find((one) => one.inputId === inputId);

export const lastBegun = ({ begun }: Begun): BegunInput | undefined => begun?.at(-1);

/** To be written before the first byte. */
export const withBegun = (record: Begun, input: BegunInput): { begun: BegunInput[] } => ({
  begun: [...withoutBegun(record, input.inputId).begun, input].slice(-kept),
});

/** Surely nothing of it was typed: it may be tried again. */
export const withoutBegun = ({ begun = [] }: Begun, inputId: string): { begun: BegunInput[] } => ({
  begun: begun.filter((one) => one.inputId !== inputId),
});
