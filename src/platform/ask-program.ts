/**
 * Asks another program something and waits for its answer, within a time and a size: for tools that answer at once or are broken (tmux,
 * cmux). Everything that can happen is a value; what was printed before a time limit is given too, because it may have been done.
 */
import { execFile } from 'node:child_process';
import { messageOf } from '../base/fault.ts';

export interface Question {
  readonly file: string;
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Written to its standard input, which is then closed. */
  readonly input?: string;
}

export type ProgramAnswer =
  | { readonly kind: 'answered'; readonly code: number; readonly stdout: string; readonly stderr: string }
  /** It was killed at the limit. What it was asked to do may have been done. */
  | { readonly kind: 'timed-out'; readonly stdout: string; readonly stderr: string }
  | { readonly kind: 'could-not-run'; readonly reason: string };

/** Screens and trees are tens of kilobytes; a program that prints more is not answering. */
const answerBytesMax = 8 * 1024 * 1024;

export function askProgram({ file, args, env, timeoutMs, input }: Question): Promise<ProgramAnswer> {
  return new Promise((resolve) => {
    const child = execFile(
      file,
      [...args],
      { env, timeout: timeoutMs, maxBuffer: answerBytesMax, killSignal: 'SIGKILL', encoding: 'utf8' },
      (error, stdout, stderr) => {
        if (error === null) return resolve({ kind: 'answered', code: 0, stdout, stderr });
        if (typeof error.code === 'number') return resolve({ kind: 'answered', code: error.code, stdout, stderr });
        if (error.killed === true && error.code === undefined) return resolve({ kind: 'timed-out', stdout, stderr });
        if (error.signal) return resolve({ kind: 'could-not-run', reason: `it was ended by ${error.signal}` });
        return resolve({ kind: 'could-not-run', reason: messageOf(error) });
      },
    );
    // A program that ends without reading its input closes the pipe: its exit code tells what that means.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input ?? '');
  });
}
