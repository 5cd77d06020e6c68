/**
 * node-pty's native part (1.2.0-beta.15, pinned), used directly, and what must be done around a fork so that no program gets what is
 * another's. `pty.test.ts` fails on a bump that changes any of it.
 */
import { closeSync, constants as fsConstants, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants as osConstants } from 'node:os';
import { dirname, resolve } from 'node:path';

export interface TerminalProgram {
  /** Absolute, or a name that is looked up on `env.PATH`. */
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** The whole environment; nothing of ours is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly cols: number;
  readonly rows: number;
}

export interface PtyExit {
  /** Null if a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
}

export interface ForkedTerminal {
  readonly pid: number;
  /** The master, non-blocking. */
  readonly fd: number;
  /** Of the slave. */
  readonly path: string;
}

interface Native {
  fork(
    file: string,
    args: readonly string[],
    env: readonly string[],
    cwd: string,
    cols: number,
    rows: number,
    uid: number,
    gid: number,
    utf8: boolean,
    helperPath: string,
    onExit: (code: number, signal: number) => void,
  ): { fd: number; pid: number; pty: string };
  resize(fd: number, cols: number, rows: number, pixelWidth: number, pixelHeight: number): void;
}

/** A fork that another thread disturbed is made again; twice in a row has not been seen. */
const forkAttemptsMax = 5;
/** The kernel shall rather take an agent than the host that holds all agents. */
const childOomScore = { least: 300, aboveOurs: 100, most: 1000 };

/** `onExit` comes in a later turn. Throws if the system has no terminal or process left. */
export function forkTerminal(program: TerminalProgram, onExit: (exit: PtyExit) => void): ForkedTerminal {
  const { native, helperPath } = loadNative();
  const { file, args, cwd, cols, rows } = program;
  const env = Object.entries(program.env).map(([name, value]) => `${name}=${value}`);
  for (let attempt = 1; ; attempt++) {
    let disturbed = false;
    const exited = (code: number, signal: number): void => {
      if (disturbed) return;
      onExit(signal === 0 ? { code, signal: null } : { code: null, signal: signalName(signal) });
    };
    const forked = withoutGaps(() => native.fork(file, args, env, cwd, cols, rows, -1, -1, true, helperPath, exited));
    if (forked.kind === 'clean') {
      masters.add(forked.terminal.fd);
      return { pid: forked.terminal.pid, fd: forked.terminal.fd, path: forked.terminal.pty };
    }
    disturbed = true;
    process.kill(forked.terminal.pid, 'SIGKILL');
    closeSync(forked.terminal.fd);
    if (attempt === forkAttemptsMax) throw new Error('other threads kept closing descriptors during the fork');
  }
}

export const resizeTerminal = (fd: number, cols: number, rows: number): void =>
  loadNative().native.resize(fd, cols, rows, 0, 0);

/** A master that a former image of this process opened. */
export const rememberTerminal = (fd: number): void => void masters.add(fd);

/** The descriptor is being closed. */
export const forgetTerminal = (fd: number): void => void masters.delete(fd);

/** The descriptors of all open terminals of this process. */
const masters = new Set<number>();
/** Descriptor numbers climb while sessions overlap; beyond this a spawn would take tens of milliseconds. */
const fillersMax = 20_000;

/**
 * node-pty opens masters without close-on-exec; its child marks 3, 4, 5, ... and stops at the first number above 15 that is not open
 * (the prebuilt one lacks `close_range`). A gap below a master would hand that master to the new program, which could then read and type
 * into another's terminal. So all gaps are filled while it forks, and a look afterwards shows whether one opened in between (another
 * thread of Node may close a file at any time): such a fork is `disturbed` and must be undone.
 */
function withoutGaps(fork: () => ReturnType<Native['fork']>): {
  readonly kind: 'clean' | 'disturbed';
  readonly terminal: ReturnType<Native['fork']>;
} {
  if (process.platform !== 'linux') return { kind: 'clean', terminal: fork() };
  const highest = Math.max(-1, ...masters);
  const fillers: number[] = [];
  const fill = (): void => {
    do {
      if (fillers.length > fillersMax) throw new Error('too many descriptor numbers are in use: restart the host');
      fillers.push(openSync('/dev/null', fsConstants.O_RDONLY));
    } while (Number(fillers.at(-1)) < highest);
  };
  try {
    fill();
    const filled = fillers.length;
    const terminal = fork();
    fill();
    // A number below the highest master that is free only now was closed in between.
    const clean = fillers.slice(filled).every((fd) => fd > highest);
    return { kind: clean ? 'clean' : 'disturbed', terminal };
  } finally {
    for (const fd of fillers) closeSync(fd);
  }
}

let nativeOnce: { readonly native: Native; readonly helperPath: string } | undefined;

/** node-pty exports no entry for its native part; the version is pinned, so its place is known. */
function loadNative(): { readonly native: Native; readonly helperPath: string } {
  if (nativeOnce !== undefined) return nativeOnce;
  const require = createRequire(import.meta.url);
  const utils = require.resolve('node-pty/lib/utils.js');
  const { loadNativeModule } = require(utils) as {
    loadNativeModule: (name: string) => { dir: string; module: Native };
  };
  const loaded = loadNativeModule('pty');
  nativeOnce = { native: loaded.module, helperPath: resolve(dirname(utils), loaded.dir, 'spawn-helper') };
  return nativeOnce;
}

/** Without O_NOCTTY the terminal would become ours, and its hang-up our end. */
export function openSlave(path: string): number | undefined {
  try {
    return openSync(path, fsConstants.O_RDWR | fsConstants.O_NOCTTY);
  } catch {
    // A sandbox without /dev/pts: the exit still reads the rest, only an exit that overtakes its output could cost some.
    return undefined;
  }
}

export function signalName(number: number): string {
  const names = Object.entries(osConstants.signals).filter(([, value]) => value === number);
  return names[0]?.[0] ?? `SIG${number}`;
}

export function raiseOomScore(pid: number): void {
  if (process.platform !== 'linux') return;
  try {
    const ours = Number(readFileSync('/proc/self/oom_score_adj', 'utf8'));
    const score = Math.max(childOomScore.least, ours + childOomScore.aboveOurs);
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(Math.min(score, childOomScore.most)));
  } catch {
    // A container may forbid it; it is a preference only.
  }
}
