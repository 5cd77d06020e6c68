/**
 * Asks another program something and waits for its answer, within a time and a size: for tools that answer at once or are broken (tmux,
 * cmux). Everything that can happen is a value. What never ran is told from what did not answer: only the former surely did nothing.
 */
import { execFile } from 'node:child_process';
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { isErrno, messageOf } from '../base/fault.ts';
import { oneLine } from '../base/text.ts';

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
  /** Killed at the limit, by somebody else, or for saying too much. What it was asked to do may have been done. */
  | { readonly kind: 'unanswered'; readonly reason: string }
  | { readonly kind: 'could-not-run'; readonly reason: string };

/** Screens and trees are tens of kilobytes; a program that prints more is not answering. */
const answerBytesMax = 8 * 1024 * 1024;

/** Errors of starting it; all others come after it has run. */
const neverRan = (error: Error): boolean =>
  ['ENOENT', 'EACCES', 'EPERM', 'ENOEXEC', 'ENOTDIR', 'E2BIG', 'EAGAIN', 'ENOMEM', 'EMFILE'].some((code) =>
    isErrno(error, code),
  );

export async function askProgram(question: Question): Promise<ProgramAnswer> {
  try {
    return await ask(question);
  } catch (error) {
    // Some errors of starting a program are thrown at once, without a child: too long an environment, no memory.
    return { kind: 'could-not-run', reason: messageOf(error) };
  }
}

function ask({ file, args, env, timeoutMs, input }: Question): Promise<ProgramAnswer> {
  return new Promise((resolve) => {
    const child = execFile(
      file,
      [...args],
      { env, timeout: timeoutMs, maxBuffer: answerBytesMax, killSignal: 'SIGKILL', encoding: 'utf8' },
      (error, stdout, stderr) => {
        if (error === null) return resolve({ kind: 'answered', code: 0, stdout, stderr });
        if (typeof error.code === 'number') return resolve({ kind: 'answered', code: error.code, stdout, stderr });
        if (neverRan(error)) return resolve({ kind: 'could-not-run', reason: messageOf(error) });
        const late = error.killed === true && typeof error.code !== 'string';
        const reason = late ? `no answer within ${timeoutMs / 1000} s` : oneLine(messageOf(error), 200);
        return resolve({ kind: 'unanswered', reason });
      },
    );
    // A program that ends without reading its input closes the pipe: its exit code tells what that means.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input ?? '');
  });
}

/** The first file of that name that can be run, in the folders of a PATH and then in `others`; a folder of that name is none. */
export async function findProgram(
  program: string,
  path: string,
  others: readonly string[],
): Promise<string | undefined> {
  const folders = [...path.split(delimiter).filter(isAbsolute), ...others];
  for (const file of isAbsolute(program) ? [program] : folders.map((folder) => join(folder, program))) {
    try {
      await access(file, constants.X_OK);
      if ((await stat(file)).isFile()) return file;
    } catch {
      // Not here: the next folder.
    }
  }
  return undefined;
}
