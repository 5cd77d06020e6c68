/** Tokens in files that only their owner reads. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Fault, isErrno } from '../base/fault.ts';
import { writeFileAtomically } from './atomic-file.ts';

/** The token in the file; made with 256 random bits if there is none. */
export async function readOrCreateToken(path: string): Promise<string> {
  try {
    const token = (await readFile(path, 'utf8')).trim();
    if (/^[0-9a-f]{64}$/.test(token)) return token;
    throw new Fault('CONFIG_INVALID', `${path} does not hold a token`, {
      subject: path,
      hint: 'Remove the file; a new one is made at the next start.',
    });
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  const token = randomBytes(32).toString('hex');
  await writeFileAtomically(path, `${token}\n`, 0o600);
  return token;
}
