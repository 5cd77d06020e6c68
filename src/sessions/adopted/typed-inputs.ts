/**
 * Which inputs were begun, on disk before the first byte is typed: after a crash an input may have been typed and is never typed again.
 * The file is read once and then held in memory; the oldest entries go at the limit.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isErrno } from '../../base/fault.ts';
import { writeFileAtomically } from '../../platform/atomic-file.ts';

const schema = z.array(z.object({ id: z.string(), at: z.number() }));
type Begun = z.infer<typeof schema>[number];

/** Somebody who asks again does so within the next few inputs. */
const kept = 200;

export interface TypedInputs {
  /** When it was begun, and whether another was begun after it; undefined: never. */
  readonly begun: (id: string) => { readonly at: number; readonly last: boolean } | undefined;
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
    begun: (id) => {
      const index = begun.findIndex((one) => one.id === id);
      const one = begun[index];
      return one && { at: one.at, last: index === begun.length - 1 };
    },
    begin: (id, at) => write([...begun, { id, at }]),
    withdraw: (id) => write(begun.filter((one) => one.id !== id)),
  };
}

async function readBegun(file: string): Promise<Begun[]> {
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    // None was ever begun. A file that is there must be read: without it a text would be typed a second time.
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
