/**
 * Which inputs were begun, on disk before the first byte is typed: after a crash an input may have been typed and is never typed again.
 * The file is read once and then held in memory; the oldest entries go at the limit.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomically } from '../../platform/atomic-file.ts';

const schema = z.array(z.object({ id: z.string(), at: z.number() }));
type Begun = z.infer<typeof schema>[number];

/** Somebody who asks again does so within the next few inputs. */
const kept = 200;

export interface TypedInputs {
  /** When it was begun; undefined: never. */
  readonly begunAt: (id: string) => number | undefined;
  readonly begin: (id: string, at: number) => Promise<void>;
  /** Nothing was typed after all: it may be tried again. */
  readonly withdraw: (id: string) => Promise<void>;
}

export async function openTypedInputs(dir: string): Promise<TypedInputs> {
  const file = join(dir, 'inputs.json');
  let begun = await readBegun(file);
  const write = async (next: readonly Begun[]): Promise<void> => {
    begun = next.slice(-kept);
    await writeFileAtomically(file, JSON.stringify(begun));
  };
  return {
    begunAt: (id) => begun.find((one) => one.id === id)?.at,
    begin: (id, at) => write([...begun, { id, at }]),
    withdraw: (id) => write(begun.filter((one) => one.id !== id)),
  };
}

async function readBegun(file: string): Promise<Begun[]> {
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    // None was ever begun. A damaged file can't be: it is written whole or not at all.
    return [];
  }
}
