/** Which processes work in a folder: their current directory is it or lies in it. Linux reads /proc, macOS asks `lsof`. */
import { execFile } from 'node:child_process';
import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { promisify } from 'node:util';

export interface ProcessIn {
  readonly pid: number;
  readonly name: string;
  readonly cwd: string;
}

const lsofLimitMs = 10_000;
/** Enough to see who it is. */
const foundMax = 20;

/**
 * At most 20. Processes of other users can't be seen without their rights. Throws where nothing can be seen at all, so that nobody takes
 * "not seen" for "not there".
 */
export async function processesIn(folder: string): Promise<readonly ProcessIn[]> {
  const real = await realpath(folder).catch(() => folder);
  const all = process.platform === 'linux' ? await fromProc() : await fromLsof();
  return all.filter(({ cwd }) => cwd === real || cwd.startsWith(real + sep)).slice(0, foundMax);
}

async function fromProc(): Promise<ProcessIn[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid): Promise<ProcessIn | undefined> => {
      // Unreadable: gone meanwhile, or another user's. A folder that was removed is shown with this ending.
      const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
      if (cwd === undefined) return undefined;
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
      return { pid: Number(pid), name: name.trim(), cwd: cwd.replace(/ \(deleted\)$/, '') };
    }),
  );
  return found.filter((one) => one !== undefined);
}

/** `-F` prints one field per line: p(id), c(ommand), n(ame of the folder). */
async function fromLsof(): Promise<ProcessIn[]> {
  const { stdout } = await promisify(execFile)('lsof', ['-a', '-d', 'cwd', '-w', '-Fpcn'], {
    timeout: lsofLimitMs,
    maxBuffer: 16 * 1024 * 1024,
  });
  const found: ProcessIn[] = [];
  let pid = 0;
  let name = '';
  for (const line of stdout.split('\n')) {
    const value = line.slice(1);
    if (line.startsWith('p')) pid = Number(value);
    else if (line.startsWith('c')) name = value;
    else if (line.startsWith('n')) found.push({ pid, name, cwd: value });
  }
  return found;
}
