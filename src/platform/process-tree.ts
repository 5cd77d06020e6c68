/**
 * Which processes there are and how they hang together: who started whom, which group owns the terminal, what a process was called with,
 * which files it holds open. Read only, of this user's processes; what belongs to others, or is gone, is left out.
 *
 * Linux reads /proc; elsewhere one `ps` gives the table, and open files are not known.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { askProgram } from './ask-program.ts';
import { isZombie, statField, statFields } from './proc.ts';

export interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  /** The process group that reads the terminal now; -1 without a terminal. */
  readonly foreground: number;
  /** As the system names it: `pts/3`, `ttys003`; empty where that is not told. */
  readonly tty: string;
  /** Program and arguments as the process presents them. Where only one line is known, split at spaces. */
  readonly argv: readonly string[];
}

/** Interpreters and wrappers put the program's name within the first few arguments; prompts can be long. */
const argumentsKept = 6;
const argumentCharsMax = 300;
const psLimitMs = 5000;

export async function processTable(): Promise<ReadonlyMap<number, ProcessRow>> {
  const rows = process.platform === 'linux' ? await readProc() : await askPs();
  return new Map(rows.map((row) => [row.pid, row]));
}

/** The process and everything below it, nearest first. */
export function descendants(table: ReadonlyMap<number, ProcessRow>, root: number): readonly ProcessRow[] {
  const children = Map.groupBy(table.values(), (row) => row.parent);
  const found: ProcessRow[] = [];
  const first = table.get(root);
  const queue = first ? [first] : [];
  for (let row = queue.shift(); row !== undefined; row = queue.shift()) {
    if (found.includes(row)) continue;
    found.push(row);
    queue.push(...(children.get(row.pid) ?? []));
  }
  return found;
}

/** Undefined where it can't be told. */
export async function workingFolder(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined;
  return readlink(`/proc/${pid}/cwd`).catch(() => undefined);
}

/** The named variables of a process's environment as it was started with; empty where it can't be read. */
export async function environmentOf(pid: number, names: readonly string[]): Promise<Record<string, string>> {
  if (process.platform !== 'linux') return {};
  const text = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return Object.fromEntries(
    text.split('\0').flatMap((entry) => {
      const at = entry.indexOf('=');
      const name = entry.slice(0, Math.max(0, at));
      return names.includes(name) ? [[name, entry.slice(at + 1)]] : [];
    }),
  );
}

/** Where the program file of a process lies; undefined where that can't be told. */
export async function programFile(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined;
  return readlink(`/proc/${pid}/exe`).catch(() => undefined);
}

/** Clock ticks of the kernel's process times: 100 a second on every Linux that Node runs on. */
const tickMs = 10;

/** When a process was started, in epoch milliseconds, to a second or so; undefined where that can't be told. */
export async function startedAt({ startTicks }: { readonly startTicks: string }): Promise<number | undefined> {
  if (process.platform !== 'linux') return Date.parse(startTicks) || undefined;
  const boot = /^btime (\d+)$/m.exec(await readFile('/proc/stat', 'utf8').catch(() => ''))?.[1];
  return boot === undefined ? undefined : Number(boot) * 1000 + Number(startTicks) * tickMs;
}

/** One row of the table, read alone where the system allows it. */
export async function processRow(pid: number): Promise<ProcessRow | undefined> {
  return process.platform === 'linux' ? readOne(pid) : (await processTable()).get(pid);
}

/** Paths of the regular files that a process holds open; empty where that can't be told. */
export async function openFiles(pid: number): Promise<readonly string[]> {
  if (process.platform !== 'linux') return [];
  const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const paths = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
  return paths.filter((path) => path.startsWith('/') && !path.endsWith(' (deleted)'));
}

/** /proc entries read at once. */
const slice = 64;

async function readProc(): Promise<ProcessRow[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const rows: ProcessRow[] = [];
  for (let index = 0; index < pids.length; index += slice) {
    const read = await Promise.all(pids.slice(index, index + slice).map((pid) => readOne(Number(pid))));
    rows.push(...read.filter((row) => row !== undefined));
  }
  return rows;
}

async function readOne(pid: number): Promise<ProcessRow | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  const fields = statFields(stat);
  if (isZombie(fields)) return undefined;
  const number = (name: keyof typeof statField): number => Number(fields[statField[name]]);
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const argv = line.split('\0').slice(0, argumentsKept);
  return {
    pid,
    parent: number('parent'),
    group: number('group'),
    foreground: number('foreground'),
    tty: terminalName(number('tty')),
    argv: argv.filter((each) => each !== '').map((each) => each.slice(0, argumentCharsMax)),
  };
}

/** Device numbers 136 to 143 are pseudo terminals, a million each as the kernel counts minors. */
function terminalName(device: number): string {
  const major = (device >> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  return major >= 136 && major <= 143 ? `pts/${(major - 136) * 256 + minor}` : '';
}

async function askPs(): Promise<ProcessRow[]> {
  const answer = await askProgram({
    file: '/bin/ps',
    args: ['-axww', '-o', 'pid=,ppid=,pgid=,tpgid=,tty=,command='],
    env: { LC_ALL: 'C' },
    timeoutMs: psLimitMs,
  });
  if (answer.kind !== 'answered') return [];
  return answer.stdout.split('\n').flatMap((line) => {
    const [, pid, parent, group, foreground, tty, command] =
      /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(-?\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    if (pid === undefined || command === undefined) return [];
    const argv = command.split(/\s+/, argumentsKept).map((each) => each.slice(0, argumentCharsMax));
    const numbers = { pid: Number(pid), parent: Number(parent), group: Number(group), foreground: Number(foreground) };
    return [{ ...numbers, tty: tty === undefined || tty.startsWith('?') ? '' : tty, argv }];
  });
}
