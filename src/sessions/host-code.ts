/** Which code a host runs: the version of the package and a hash of everything that the host is made of. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Beside this file and in the rooms below. The rest of `sessions` is the daemon's. */
const folders = ['../base', '../platform', '../protocol', './host', './terminal'];
const files = ['./frames.ts', './frames.js', './tombstone.ts', './tombstone.js'];
const hashCharacters = 10;

let once: string | undefined;

/** As it is on disk when this is first called. */
export function hostCode(): string {
  once ??= `${packageVersion()}+${hashOfCode()}`;
  return once;
}

export function packageVersion(): string {
  const read: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return typeof read === 'object' && read !== null && 'version' in read ? String(read.version) : 'unknown';
}

function hashOfCode(): string {
  const hash = createHash('sha256');
  const listed = folders.flatMap((folder) => {
    const dir = fileURLToPath(new URL(folder, import.meta.url));
    return readdirSync(dir).map((name) => `${folder}/${name}`);
  });
  for (const name of [...listed, ...files].toSorted()) {
    if (!/\.[jt]s$/.test(name) || name.includes('.test.')) continue;
    const text = readIfThere(fileURLToPath(new URL(name, import.meta.url)));
    if (text !== undefined) hash.update(`${name}\0`).update(text);
  }
  return hash.digest('hex').slice(0, hashCharacters);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The other ending of a file that is listed with both.
    return undefined;
  }
}
