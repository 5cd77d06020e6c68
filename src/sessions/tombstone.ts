/**
 * What stays of an ended session in `tombstone.json` of its folder. The host writes it before it tells anybody of the end, so whoever
 * comes later, after any restart, finds how it ended and what was last seen. It is removed when the end was acknowledged.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomically } from '../platform/atomic-file.ts';
import { screenSchema } from '../protocol/host.ts';
import { sessionExitSchema } from '../protocol/session.ts';

export const tombstoneSchema = z.object({
  version: z.literal(1),
  sessionId: z.string(),
  exit: sessionExitSchema,
  spawnedAt: z.number(),
  lastOutputAt: z.number().nullable(),
  /** Bytes it printed. */
  offset: z.number(),
  title: z.string(),
  programStatus: z.record(z.string(), z.string()),
  screen: screenSchema,
  /** Its last lines, history included. */
  tail: z.array(z.string()),
  /** Processes that it had left behind and that were ended after it. */
  swept: z.int(),
  /** The host was to end it: by somebody's word, or because it was itself told to leave. Absent: an older host wrote it; nobody knows. */
  asked: z.boolean().optional(),
});
export type Tombstone = z.infer<typeof tombstoneSchema>;

const pathIn = (dir: string): string => join(dir, 'tombstone.json');

export const writeTombstone = (dir: string, tombstone: Tombstone): Promise<void> =>
  writeFileAtomically(pathIn(dir), JSON.stringify(tombstone));

/** Undefined if there is none, or none that can be read. */
export async function readTombstone(dir: string): Promise<Tombstone | undefined> {
  try {
    return tombstoneSchema.safeParse(JSON.parse(await readFile(pathIn(dir), 'utf8'))).data;
  } catch {
    // Absent is the usual case; a torn one can't be, it is written atomically.
    return undefined;
  }
}

export const removeTombstone = (dir: string): Promise<void> => rm(pathIn(dir), { force: true });
