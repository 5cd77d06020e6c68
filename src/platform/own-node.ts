/**
 * How the long-lived processes of a home are started: with the Node that runs us, compiled code kept beside the packages (another user
 * could put code into a shared temporary folder), and a small young generation, which costs a little collecting and saves 20 MB each.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Megabytes of half of V8's young generation; the default is 16. */
const semiSpaceMegabytes = 2;

export const compileCache: string = fileURLToPath(new URL('../../node_modules/.cache/muster', import.meta.url));

export interface OwnCommand {
  readonly file: string;
  readonly args: readonly string[];
  /** To be added to the environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** `main` is the path or URL of a main module of ours. */
export const ownCommand = (main: string | URL, args: readonly string[]): OwnCommand => ({
  file: process.execPath,
  args: [`--max-semi-space-size=${semiSpaceMegabytes}`, typeof main === 'string' ? main : fileURLToPath(main), ...args],
  env: { NODE_COMPILE_CACHE: compileCache },
});

/** True where this process can become another program and keep its number, its children and the descriptors it was given to keep. */
export const canReplaceImage = (): boolean =>
  process.platform === 'linux' && 'execve' in process && typeof process.execve === 'function';

/**
 * Becomes the given program: number, parent, children and all descriptors without close-on-exec stay. Does not return. Node aborts if the
 * system refuses, so the caller must have started the same program once before to see that it can be.
 */
export function replaceImage(command: OwnCommand): never {
  process.execve?.(command.file, [command.file, ...command.args], { ...process.env, ...command.env });
  throw new Error('this Node can not replace its own image');
}

/** O_CLOEXEC on Linux, as /proc/PID/fdinfo shows it. */
const closeOnExec = 0o2000000;

/** Whether a descriptor of ours is handed on to the next image, and to what we start. Linux. */
export function staysOpenAcrossExec(fd: number): boolean {
  try {
    const flags = /flags:\s*([0-7]+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0;
  } catch {
    // It is not open.
    return false;
  }
}
