import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/**
 * The repository in which the named folder lies, by default the current one. What is named and lies in none is taken as it is, so that the
 * daemon can say what is wrong with it; a current folder outside of any is no project.
 */
export async function projectOf(named: string | undefined): Promise<string | undefined> {
  const start = resolve(named ?? '');
  for (let folder = start; ; folder = dirname(folder)) {
    if (await holdsGit(folder)) return folder;
    if (dirname(folder) === folder) return named === undefined || named === '' ? undefined : start;
  }
}

const holdsGit = (folder: string): Promise<boolean> =>
  access(join(folder, '.git')).then(
    () => true,
    () => false,
  );
