/** The last words of an ended session, kept in its folder: the screen as a terminal would show it, and the lines before it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomically } from '../platform/atomic-file.ts';

const lastScreenSchema = z.object({
  cols: z.int(),
  rows: z.int(),
  offset: z.number(),
  data: z.string(),
  lines: z.array(z.string()),
});
export type LastScreen = z.infer<typeof lastScreenSchema>;

const fileName = 'last-screen.json';

export const writeLastScreen = (dir: string, screen: LastScreen): Promise<void> =>
  writeFileAtomically(join(dir, fileName), JSON.stringify(screen));

/** Undefined if the session left none: it died with its host. */
export async function readLastScreen(dir: string): Promise<LastScreen | undefined> {
  try {
    return lastScreenSchema.parse(JSON.parse(await readFile(join(dir, fileName), 'utf8')));
  } catch {
    // Absent or damaged: there is no last screen to show, and the session says how it ended all the same.
    return undefined;
  }
}
