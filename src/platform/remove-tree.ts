import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { isErrno } from '../base/fault.ts';

/** A folder that something still writes into is not empty at the moment of its removal; it is tried again, in all for half a second. */
const tries = { maxRetries: 5, retryDelay: 100 } as const;

/** Removes a folder and all in it, also what was made read-only (module caches are). Nothing there is no error; links are not followed. */
export async function removeTree(path: string): Promise<void> {
  const options = { recursive: true, force: true, ...tries } as const;
  try {
    await rm(path, options);
  } catch (error) {
    if (!isErrno(error, 'EACCES') && !isErrno(error, 'EPERM')) throw error;
    await promisify(execFile)('chmod', ['-R', 'u+rwX', path]);
    await rm(path, options);
  }
}
