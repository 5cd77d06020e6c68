import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/** What was named; else the current folder if it lies in a repository. */
export async function projectOf(named: string | undefined): Promise<string | undefined> {
  if (named !== undefined && named !== '') return resolve(named);
  for (let folder = process.cwd(); ; folder = dirname(folder)) {
    const found = await access(join(folder, '.git')).then(
      () => true,
      () => false,
    );
    if (found) return folder;
    if (dirname(folder) === folder) return undefined;
  }
}
