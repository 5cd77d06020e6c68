/**
 * The daemons and hosts of one home that live right now, found by their command line and not by a record: also those that have not
 * written their record yet, or whose record was lost. `down` and `doctor` must not overlook a process because a file is missing.
 *
 * A match is: a process of this user that runs our main file with `--home` and exactly this folder.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Home } from './home.ts';
import { identify, type ProcessIdentity } from './processes.ts';

/** The mark of everything that the daemon of this home starts without a mark of its own: git, version questions. */
export const daemonMark = (home: Pick<Home, 'dir'>): string =>
  `daemon-${createHash('sha256').update(home.dir).digest('hex').slice(0, 16)}`;

export type Role = 'daemon' | 'host';

export interface OwnProcess extends ProcessIdentity {
  readonly role: Role;
}

const mains: Readonly<Record<Role, RegExp>> = {
  daemon: /[/\\]daemon[/\\]main\.[jt]s$/,
  host: /[/\\]sessions[/\\]host[/\\]main\.[jt]s$/,
};
const psLimitMs = 5000;

export async function findOwnProcesses(home: Home): Promise<readonly OwnProcess[]> {
  const listed = process.platform === 'linux' ? await argumentsFromProc() : await argumentsFromPs();
  return listed.flatMap(({ pid, words }) => {
    const role = roleOf(words, home);
    const identity = role === undefined ? undefined : identify(pid);
    return role === undefined || identity === undefined ? [] : [{ ...identity, role }];
  });
}

/** `words` are the arguments of a process; on macOS they are cut at spaces, so a folder with a space in it takes several. */
export function roleOf(words: readonly string[], home: Pick<Home, 'dir'>): Role | undefined {
  const at = words.indexOf('--home');
  const rest = words.slice(at + 1).join(' ');
  if (at < 0 || (rest !== home.dir && !rest.startsWith(`${home.dir} `))) return undefined;
  const roles: readonly Role[] = ['daemon', 'host'];
  return roles.find((role) => words.slice(0, at).some((word) => mains[role].test(word)));
}

interface Listed {
  readonly pid: number;
  readonly words: readonly string[];
}

async function argumentsFromProc(): Promise<readonly Listed[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return Promise.all(
    names.map(async (name) => ({
      pid: Number(name),
      // Unreadable: gone meanwhile, or not ours.
      words: (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0').slice(0, -1),
    })),
  );
}

async function argumentsFromPs(): Promise<readonly Listed[]> {
  const { stdout } = await promisify(execFile)('ps', ['-xww', '-o', 'pid=,command='], { timeout: psLimitMs });
  return stdout.split('\n').map((line) => {
    const [pid = '', ...words] = line.trim().split(' ');
    return { pid: Number(pid), words };
  });
}
