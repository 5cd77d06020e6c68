/**
 * One git process from its start to its end, in the process that calls this: with bounded time and output, in a process group of its own,
 * so that what git has started (filters, ssh) is ended with it. Request and end are plain values, because `git-runner.ts` sends them to
 * another process.
 */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { messageOf } from '../base/fault.ts';
import { killGroup } from './command.ts';

export interface GitRequest {
  readonly args: readonly string[];
  readonly cwd: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Written to standard input. */
  readonly input: string;
  readonly limitMs: number;
}

export type GitEnd =
  | { readonly kind: 'ok'; readonly stdout: string }
  | { readonly kind: 'failed'; readonly code: number; readonly stderr: string }
  | { readonly kind: 'could-not-run'; readonly reason: string }
  /** Killed at a limit: what it was to do may have been done. */
  | { readonly kind: 'stopped'; readonly reason: string };

/** A list of 500,000 paths. */
const outputBytesMax = 64 * 1024 * 1024;
/** One in an uninterruptible wait may never go. */
const killedMs = 2000;

/** `onStart`: with the number of its group. Never rejects. */
export async function runGit(request: GitRequest, onStart?: (group: number) => void): Promise<GitEnd> {
  try {
    return await run(request, onStart);
  } catch (error) {
    // Some errors of starting a program are thrown at once, without a child.
    return { kind: 'could-not-run', reason: messageOf(error) };
  }
}

function run({ args, cwd, env, input, limitMs }: GitRequest, onStart?: (group: number) => void): Promise<GitEnd> {
  return new Promise((resolve) => {
    const child = spawn('git', args, { cwd, env, detached: true });
    child.once('error', (error) => resolve({ kind: 'could-not-run', reason: messageOf(error) }));
    if (child.pid === undefined) return;
    onStart?.(child.pid);
    const finish = (end: GitEnd): void => {
      clearTimeout(timer);
      resolve(end);
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
    };
    // Told when it is gone, so that what is then looked at stays as it is; what it had started may hold its pipes for longer.
    const stop = (reason: string): void => {
      killGroup(child);
      const stopped = (): void => finish({ kind: 'stopped', reason });
      child.once('exit', stopped);
      setTimeout(stopped, killedMs).unref();
    };
    const timer = setTimeout(stop, limitMs, `took longer than ${limitMs} ms`);
    const tooMuch = (): void => stop(`printed more than ${outputBytesMax} bytes`);
    const stdout = collect(child.stdout, tooMuch);
    const stderr = collect(child.stderr, tooMuch);
    child.once('close', (code) =>
      finish(code === 0 ? { kind: 'ok', stdout: stdout() } : { kind: 'failed', code: code ?? -1, stderr: stderr() }),
    );
    // git may end without reading; the pipe's error then says nothing that its exit does not.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

function collect(stream: Readable, tooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > outputBytesMax) tooMuch();
    else chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
