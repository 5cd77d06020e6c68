/** Finds the file of rows that an agent named itself, as its adapter describes it. */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../base/fault.ts';
import type { RowsSearch } from './agent.ts';

/** A first row holds the agent's instructions too; the mark stands in its first part. */
const firstRowBytesMax = 256 * 1024;
/** Looked at from the youngest folder on; a person with more conversations than this in one day is not expected. */
const filesMax = 500;
/** File systems round times. */
const roundingMs = 2000;

/** The youngest fitting file's path; undefined: there is none yet. `launchedAt` counts where the name does not tell. */
export async function findRows(search: RowsSearch, launchedAt: number): Promise<string | undefined> {
  const files: { path: string; at: number }[] = [];
  for (const path of await filesUnder(search.dir, search.depth, search.suffix)) {
    if (search.nameHas !== undefined && !path.includes(search.nameHas, path.lastIndexOf('/'))) continue;
    const facts = await stat(path).catch(ignoreMissing(undefined));
    if (!facts) continue;
    if (search.nameHas === undefined && facts.mtimeMs < launchedAt - roundingMs) continue;
    files.push({ path, at: facts.birthtimeMs });
  }
  for (const { path } of files.toSorted((a, b) => b.at - a.at)) {
    if (search.firstRowHas === undefined || (await firstRow(path)).includes(search.firstRowHas)) return path;
  }
  return undefined;
}

/** Names of the youngest folders come first: they are dates. */
async function filesUnder(dir: string, depth: number, suffix: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(ignoreMissing([]));
  const found: string[] = [];
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? 1 : -1))) {
    if (found.length >= filesMax) break;
    const path = join(dir, entry.name);
    if (entry.isFile() && entry.name.endsWith(suffix)) found.push(path);
    else if (entry.isDirectory() && depth > 0) found.push(...(await filesUnder(path, depth - 1, suffix)));
  }
  return found.slice(0, filesMax);
}

async function firstRow(path: string): Promise<string> {
  const file = await open(path, 'r').catch(ignoreMissing(undefined));
  if (!file) return '';
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(firstRowBytesMax), 0, firstRowBytesMax, 0);
    return buffer.toString('utf8', 0, bytesRead).split('\n', 1)[0] ?? '';
  } finally {
    await file.close();
  }
}

/** The agent may make, or clean away, what is looked for at any time. */
const ignoreMissing =
  <T>(instead: T) =>
  (error: unknown): T => {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return instead;
    throw error;
  };
