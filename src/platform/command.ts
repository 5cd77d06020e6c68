/**
 * Runs one command of the outside to its end, whatever it does: its output goes to a file that has no name (a descendant that keeps the
 * descriptor can't make us wait, and a crash of ours leaves nothing), it reads nothing, it has its own process group and its own mark.
 * At the time limit, at an abort and after its own end everything that carries the mark is killed: a command leaves nothing running.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, fstatSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../base/fault.ts';
import { randomToken } from '../base/ids.ts';
import { instanceVariable, sweep } from './processes.ts';

export interface CommandOptions {
  /** A line for `sh -c`, or a program with its arguments. */
  readonly command: string | { readonly file: string; readonly args: readonly string[] };
  readonly cwd: string;
  /** The whole environment; only the mark is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** What the output file may grow to (checked every `outputCheckMs`); what is older is dropped then, the newest is kept. */
  readonly outputBytesMax: number;
  readonly signal?: AbortSignal | undefined;
  /** The mark; by default a new one. */
  readonly instance?: string;
}

interface Ended {
  readonly durationMs: number;
  /** The end of standard output and standard error together, at most `tailBytesMax`. */
  readonly tail: string;
}

export type CommandResult =
  | (Ended & { readonly kind: 'exited'; readonly code: number })
  | (Ended & { readonly kind: 'signalled'; readonly signal: string })
  | (Ended & { readonly kind: 'timed-out' })
  | (Ended & { readonly kind: 'aborted' })
  | { readonly kind: 'could-not-run'; readonly reason: string };

/**
 * After SIGKILL the exit comes within milliseconds. A process in an uninterruptible wait, or of another user, may never end; it is left to
 * itself then, because whoever waits for the command has a time limit.
 */
const killedExitMs = 5000;
/** What people read of an output: the last 100 lines or so. */
export const tailBytesMax = 8 * 1024;
/** At 1 GB/s a command is 200 MB over its limit before it is seen; cheap enough to run beside it. */
const outputCheckMs = 200;

export async function runCommand(options: CommandOptions): Promise<CommandResult> {
  const startedAt = performance.now();
  const instance = options.instance ?? `command-${randomToken(12)}`;
  const output = openOutput(options.outputBytesMax);
  try {
    const end = await runTo(output.descriptor, options, instance);
    if (end.kind === 'could-not-run') return end;
    await sweep(instance);
    return { ...end, durationMs: Math.round(performance.now() - startedAt), tail: output.tail() };
  } finally {
    output.close();
  }
}

type End =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signalled'; readonly signal: string }
  | { readonly kind: 'timed-out' | 'aborted' }
  | { readonly kind: 'could-not-run'; readonly reason: string };

function runTo(descriptor: number, options: CommandOptions, instance: string): Promise<End> {
  if (options.signal?.aborted === true)
    return Promise.resolve({ kind: 'could-not-run', reason: 'it was aborted before it began' });
  return new Promise((resolve) => {
    let stopped: 'timed-out' | 'aborted' | undefined;
    let killed: NodeJS.Timeout | undefined;
    const child = start(descriptor, options, instance);
    const stop = (why: 'timed-out' | 'aborted'): void => {
      if (stopped) return;
      stopped = why;
      killGroup(child);
      killed = setTimeout(() => finish({ kind: why }), killedExitMs);
    };
    const abort = (): void => stop('aborted');
    const timer = setTimeout(stop, options.timeoutMs, 'timed-out');
    options.signal?.addEventListener('abort', abort, { once: true });
    const finish = (end: End): void => {
      clearTimeout(timer);
      clearTimeout(killed);
      options.signal?.removeEventListener('abort', abort);
      resolve(end);
    };
    child.once('error', (error) => finish({ kind: 'could-not-run', reason: whyNotRun(options.cwd, error) }));
    child.once('exit', (code, signal) => {
      if (stopped) finish({ kind: stopped });
      else finish(code === null ? { kind: 'signalled', signal: signal ?? 'unknown' } : { kind: 'exited', code });
    });
  });
}

/** The system says ENOENT of the program also where it is the folder that is missing. */
const whyNotRun = (cwd: string, error: Error): string =>
  existsSync(cwd) ? messageOf(error) : `its folder ${cwd} does not exist`;

function start(descriptor: number, { command, cwd, env }: CommandOptions, instance: string): ChildProcess {
  const [file, args] = typeof command === 'string' ? ['/bin/sh', ['-c', command]] : [command.file, [...command.args]];
  return spawn(file, args, {
    cwd,
    env: { ...env, [instanceVariable]: instance },
    stdio: ['ignore', descriptor, descriptor],
    detached: true,
  });
}

/** For a child that was started as the leader of its group. Only while the leader has not been reaped, so that the number is surely still its group's. */
export function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The whole group is gone already.
  }
}

interface Output {
  readonly descriptor: number;
  readonly tail: () => string;
  readonly close: () => void;
}

/** A file that is unlinked as soon as it is open. Writers append, so that cutting it does not leave a hole. */
function openOutput(bytesMax: number): Output {
  const dir = mkdtempSync(join(tmpdir(), 'muster-output-'));
  const descriptor = openSync(join(dir, 'output'), 'a+', 0o600);
  rmSync(dir, { recursive: true });
  let earlier = Buffer.alloc(0);
  const check = setInterval(() => {
    const { size } = fstatSync(descriptor);
    if (size <= bytesMax) return;
    earlier = readEnd(descriptor, size);
    ftruncateSync(descriptor, 0);
  }, outputCheckMs);
  return {
    descriptor,
    tail: () => {
      const whole = Buffer.concat([earlier, readEnd(descriptor, fstatSync(descriptor).size)]);
      return whole
        .subarray(Math.max(0, whole.length - tailBytesMax))
        .toString('utf8')
        .replace(/^\ufffd+/, '');
    },
    close: () => {
      clearInterval(check);
      closeSync(descriptor);
    },
  };
}

function readEnd(descriptor: number, size: number): Buffer<ArrayBuffer> {
  const length = Math.min(size, tailBytesMax);
  const buffer = Buffer.alloc(length);
  const read = readSync(descriptor, buffer, 0, length, size - length);
  return buffer.subarray(0, read);
}
