/**
 * A text that can't be typed safely is written to a file, and one fixed sentence names the file: it has nothing in it that a shell, a
 * terminal or an agent's input box takes for a command, should it land in the wrong one.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomToken } from '../../base/ids.ts';

export async function writeBrief(dir: string, text: string): Promise<string> {
  const path = join(dir, `brief-${randomToken(10)}.md`);
  await writeFile(path, `${text}\n`, { mode: 0o600, flag: 'wx' });
  return `Please read the file ${path} and do what it says`;
}
