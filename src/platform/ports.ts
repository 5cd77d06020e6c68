/**
 * Who listens on a TCP port. Only listening sockets count: a client that is connected to the port is never its holder, because what is
 * named here may later be ended by somebody.
 *
 * Linux: `/proc/net/tcp{,6}` gives the socket's inode and owner, `/proc/PID/fd` the process that has it open. macOS: `lsof -sTCP:LISTEN`.
 * A process of another user can't be looked into: its socket is still reported, with `pid` null.
 */
import { execFile } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** `lsof` can take long on network file systems; a caller rather hears nothing than hangs. */
const lsofLimitMs = 3000;
const commandLengthMax = 300;

export interface PortHolder {
  readonly port: number;
  /** Null: the process is not visible to us (another user, another namespace). */
  readonly pid: number | null;
  readonly user: string | null;
  readonly command: string | null;
  readonly cwd: string | null;
}

/** The processes that listen on `port`, on any local address, IPv4 or IPv6. Empty: nobody. Throws if the system can't be asked. */
export function listenersOn(port: number): Promise<readonly PortHolder[]> {
  return process.platform === 'linux' ? listenersFromProc(port) : listenersFromLsof(port);
}

export interface ListeningSocket {
  readonly port: number;
  readonly inode: string;
  readonly uid: number;
}

/** TCP_LISTEN in the kernel's state column (include/net/tcp_states.h). */
const listenState = '0A';

/** Rows of `/proc/net/tcp` or `tcp6` that listen. */
export function parseSocketTable(text: string): readonly ListeningSocket[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((cells) => cells[3] === listenState)
    .map((cells) => ({
      port: Number.parseInt(cells[1]?.split(':').at(-1) ?? '', 16),
      uid: Number(cells[7]),
      inode: cells[9] ?? '',
    }));
}

async function listenersFromProc(port: number): Promise<readonly PortHolder[]> {
  const tables = await Promise.all([
    readFile('/proc/net/tcp', 'utf8'),
    readFile('/proc/net/tcp6', 'utf8').catch(() => ''),
  ]);
  const sockets = tables.flatMap(parseSocketTable).filter((socket) => socket.port === port);
  if (sockets.length === 0) return [];
  const users = await userNames();
  const owners = await processesWithSockets(new Set(sockets.map((socket) => `socket:[${socket.inode}]`)));
  const holders = sockets.map(async ({ inode, uid }): Promise<readonly PortHolder[]> => {
    const user = users.get(uid) ?? String(uid);
    const pids = owners.get(`socket:[${inode}]`) ?? [];
    if (pids.length === 0) return [{ port, pid: null, user, command: null, cwd: null }];
    return Promise.all(pids.map(async (pid) => ({ port, pid, user, ...(await describeFromProc(pid)) })));
  });
  return onePerProcess((await Promise.all(holders)).flat());
}

/** Which processes have one of these sockets open; a forked child that inherited it is a holder too. */
async function processesWithSockets(wanted: ReadonlySet<string>): Promise<ReadonlyMap<string, readonly number[]>> {
  const found = new Map<string, number[]>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    for (const link of await openFiles(name)) {
      if (!wanted.has(link)) continue;
      const pids = found.get(link) ?? [];
      if (!pids.includes(Number(name))) pids.push(Number(name));
      found.set(link, pids);
    }
  }
  return found;
}

async function openFiles(pid: string): Promise<readonly string[]> {
  try {
    const names = await readdir(`/proc/${pid}/fd`);
    return await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
  } catch {
    return []; // gone meanwhile, or not ours to look into
  }
}

async function describeFromProc(pid: number): Promise<{ command: string | null; cwd: string | null }> {
  const [command, cwd] = await Promise.all([
    readFile(`/proc/${pid}/cmdline`, 'utf8').then(
      (text) => text.split('\0').filter(Boolean).join(' ').slice(0, commandLengthMax) || null,
      () => null,
    ),
    readlink(`/proc/${pid}/cwd`).catch(() => null),
  ]);
  return { command, cwd };
}

async function userNames(): Promise<ReadonlyMap<number, string>> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return new Map(
    text.split('\n').map((line) => {
      const [name = '', , uid = ''] = line.split(':');
      return [Number(uid || -1), name] as const;
    }),
  );
}

async function listenersFromLsof(port: number): Promise<readonly PortHolder[]> {
  const args = ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-F', 'pLc'];
  const listed = await lsof(args);
  const holders = parseLsof(port, listed);
  return Promise.all(
    holders.map(async (holder) => {
      const [folder, command] = await Promise.all([
        lsof(['-a', '-p', String(holder.pid), '-d', 'cwd', '-F', 'n']),
        run('ps', ['-o', 'command=', '-p', String(holder.pid)], { timeout: lsofLimitMs }).then(
          ({ stdout }) => stdout.trim().slice(0, commandLengthMax) || holder.command,
          () => holder.command,
        ),
      ]);
      return { ...holder, command, cwd: /^n(.+)$/m.exec(folder)?.[1] ?? null };
    }),
  );
}

/** `lsof` ends with 1 when nothing matches: that is an answer, not an error. */
async function lsof(args: readonly string[]): Promise<string> {
  try {
    return (await run('lsof', args, { timeout: lsofLimitMs })).stdout;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 1) return '';
    throw error;
  }
}

/** Output of `lsof -F pLc`: a line per field, `p` begins a process. */
export function parseLsof(port: number, text: string): readonly PortHolder[] {
  const blocks = text.split(/^(?=p\d)/m).filter((block) => block.startsWith('p'));
  return onePerProcess(
    blocks.map((block) => ({
      port,
      pid: Number(/^p(\d+)/m.exec(block)?.[1]),
      user: /^L(.+)$/m.exec(block)?.[1] ?? null,
      command: /^c(.+)$/m.exec(block)?.[1] ?? null,
      cwd: null,
    })),
  );
}

/** A program that listens on IPv4 and IPv6 is one holder. */
const onePerProcess = (holders: readonly PortHolder[]): readonly PortHolder[] =>
  holders.filter((holder, index) => holders.findIndex((other) => other.pid === holder.pid) === index);

/** `node server.js (pid 123, user dev, in /srv/app)`; bounded, but not cleaned: pass it through `oneLine` before it is shown. */
export function describeHolder(holder: PortHolder): string {
  if (holder.pid === null) return `a process of user ${holder.user ?? 'unknown'} that we may not look into`;
  const where = holder.cwd === null ? '' : `, in ${holder.cwd}`;
  return `${holder.command ?? 'unknown command'} (pid ${holder.pid}, user ${holder.user ?? 'unknown'}${where})`;
}
