/** Node, git, disk, memory. */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { isErrno } from '../base/fault.ts';
import { oneLine } from '../base/text.ts';
import { sessionLimits } from '../platform/cgroup.ts';
import type { Home } from '../platform/home.ts';
import { diskSpace, memory, memoryPressure } from '../platform/machine.ts';
import { type Check, type Finding, failure, fine, warning } from './check.ts';

const megabyte = 1024 * 1024;
const oldestNode = 24;
/** `git worktree list -z`, without which no worktree is made or found (platform/git.ts). */
const oldestGit = [2, 36] as const;
/** Below this the ledger can't be trusted to be written; below the second a few sessions fill the disk. */
const diskFailBytes = 200 * megabyte;
const diskWarnBytes = 2048 * megabyte;
/** A daemon, a host and one agent take about 500 MB together. */
const memoryFailBytes = 300 * megabyte;
const memoryWarnBytes = 1024 * megabyte;
/** Share of time that something waited for memory: above this, agents crawl. */
const pressureWarnPercent = 20;
const gitLimitMs = 5000;

const megabytes = (bytes: number): string => `${Math.round(bytes / megabyte)} MB`;

export const nodeCheck: Check = {
  id: 'node',
  what: 'Node.js',
  expected: `${oldestNode} or newer`,
  run: async () => nodeFinding(process.versions.node),
};

export const nodeFinding = (version: string): Finding =>
  Number(version.split('.')[0]) >= oldestNode
    ? fine(version)
    : failure(version, 'Run "npm ci" in the folder of muster: it brings the right Node.');

export const gitCheck = (env: NodeJS.ProcessEnv): Check => ({
  id: 'git',
  what: 'git',
  expected: `${oldestGit.join('.')} or newer`,
  run: async () => {
    try {
      return gitFinding((await promisify(execFile)('git', ['--version'], { env, timeout: gitLimitMs })).stdout);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return failure('not on the PATH', 'Install git.');
      throw error;
    }
  },
});

export function gitFinding(output: string): Finding {
  const [version = '', major = '', minor = ''] = /(\d+)\.(\d+)\S*/.exec(output) ?? [];
  if (version === '') return { verdict: 'unknown', found: `a version that is not understood: ${oneLine(output, 100)}` };
  const enough = Number(major) > oldestGit[0] || (Number(major) === oldestGit[0] && Number(minor) >= oldestGit[1]);
  return enough ? fine(version) : failure(version, `Install git ${oldestGit.join('.')} or newer.`);
}

export const homeCheck = (home: Home): Check => ({
  id: 'home',
  what: 'home folder',
  expected: 'writable, and closed to other users',
  run: async () => {
    const status = await stat(home.dir).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    if (status === undefined) return fine(`${home.dir} will be made by: muster up`);
    if (!status.isDirectory())
      return failure(`${home.dir} is no folder`, 'Move it away, or set MUSTER_HOME to another folder.');
    const writable = await access(home.dir, constants.W_OK | constants.X_OK).then(
      () => true,
      () => false,
    );
    if (!writable)
      return failure(`${home.dir} is not writable`, `Give yourself the right to write there, or set MUSTER_HOME.`);
    const mode = status.mode & 0o777;
    if ((mode & 0o077) !== 0) return warning(`${home.dir} has mode ${mode.toString(8)}`, `chmod 700 ${home.dir}`);
    return fine(home.dir);
  },
});

export const tokenCheck = (home: Home): Check => ({
  id: 'token',
  what: 'token file',
  expected: 'readable by you alone (600)',
  run: async () => {
    const status = await stat(home.token).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    if (status === undefined) return fine('will be made by: muster up');
    const mode = status.mode & 0o777;
    return (mode & 0o077) === 0
      ? fine(`mode ${mode.toString(8)}`)
      : failure(`mode ${mode.toString(8)}: others can act as you`, `chmod 600 ${home.token}`);
  },
});

export const diskCheck = (home: Home): Check => ({
  id: 'disk',
  what: 'disk space for the home',
  expected: `at least ${megabytes(diskWarnBytes)} free`,
  run: async () => diskFinding(await diskSpace(home.dir)),
});

export function diskFinding({
  path,
  freeBytes,
  totalBytes,
}: {
  readonly path: string;
  readonly freeBytes: number;
  readonly totalBytes: number;
}): Finding {
  const found = `${megabytes(freeBytes)} of ${megabytes(totalBytes)} free (${path})`;
  if (freeBytes < diskFailBytes)
    return failure(found, 'Free some space: worktrees and recordings of ended sessions take the most.');
  return freeBytes < diskWarnBytes ? warning(found, 'Free some space before sessions fill it.') : fine(found);
}

/** Whether `limits.sessionMegabytes` would be kept. */
export const sessionLimitCheck: Check = {
  id: 'session-limit',
  what: 'a memory limit for each session',
  expected: 'control groups with a memory controller',
  run: async () => {
    const limits = sessionLimits();
    return limits.kind === 'possible'
      ? fine('can be had (limits.sessionMegabytes)')
      : fine(`can not be had: ${limits.reason}; sessions start by free memory all the same`);
  },
};

export const memoryCheck: Check = {
  id: 'memory',
  what: 'memory',
  expected: `at least ${megabytes(memoryWarnBytes)} available`,
  run: async () => memoryFinding(memory(), await memoryPressure()),
};

export function memoryFinding(
  { availableBytes, totalBytes }: { readonly availableBytes: number; readonly totalBytes: number },
  pressure: number | undefined,
): Finding {
  const told = pressure === undefined ? 'pressure not told by this system' : `pressure ${pressure}%`;
  const found = `${megabytes(availableBytes)} of ${megabytes(totalBytes)} available, ${told}`;
  if (availableBytes < memoryFailBytes) return failure(found, 'End something: an agent would be killed by the system.');
  if (availableBytes < memoryWarnBytes || (pressure ?? 0) > pressureWarnPercent)
    return warning(found, 'Run fewer sessions at a time (limits.sessions).');
  return fine(found);
}
