/**
 * How the long-lived processes of a home are started: with the Node that runs us, compiled code kept beside the packages (another user
 * could put code into a shared temporary folder), and a small young generation, which costs a little collecting and saves 20 MB each.
 */
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
