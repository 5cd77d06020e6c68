/** What every command is given: the home it works on and how it may speak. */
import { Fault } from '../base/fault.ts';
import { faults } from '../base/faults.ts';
import { defaultHome, type Home, homeAt } from '../platform/home.ts';
import type { FaultBody } from '../protocol/api.ts';
import { type Paint, painter, wantsColour } from './render/style.ts';

/** 0 done, 1 the answer is no, 2 wrong use, 3 no daemon, 4 the outside, 5 ours, 130 interrupted by Ctrl-C. */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 130;

export interface Cli {
  readonly home: Home;
  readonly env: NodeJS.ProcessEnv;
  readonly json: boolean;
  /** Columns of the terminal; undefined where the output is a file or a pipe. */
  readonly width: number | undefined;
  readonly paint: Paint;
  /** Lines to standard output. */
  readonly print: (...lines: readonly string[]) => void;
  /** One JSON value on one line to standard output. */
  readonly printJson: (value: unknown) => void;
  /** Lines to standard error: what is not the answer itself. */
  readonly note: (...lines: readonly string[]) => void;
}

export interface CliOptions {
  readonly home?: string;
  readonly json?: boolean;
}

export function openCli(options: CliOptions, env: NodeJS.ProcessEnv): Cli {
  const { stdout, stderr } = process;
  const write = (stream: NodeJS.WriteStream) => (lines: readonly string[]) => {
    if (lines.length > 0) stream.write(`${lines.join('\n')}\n`);
  };
  return {
    home: options.home === undefined ? defaultHome(env) : homeAt(options.home),
    env,
    json: options.json === true,
    // Some terminals say 0 until they know: better uncut than nothing.
    width: stdout.isTTY && stdout.columns > 0 ? stdout.columns : undefined,
    paint: painter(wantsColour(stdout, env)),
    print: (...lines) => write(stdout)(lines),
    printJson: (value) => write(stdout)([JSON.stringify(value)]),
    note: (...lines) => write(stderr)(lines),
  };
}

/** A fault as the HTTP interface shows it. */
export function faultBody({ code, message, hint, subject }: Fault): FaultBody {
  return {
    error: { code, message, ...(hint === undefined ? {} : { hint }), ...(subject === undefined ? {} : { subject }) },
  };
}

export const faultExit = (fault: Fault): ExitCode => faults[fault.code].exit;

/** Largest text that is read from standard input, in bytes: more than any request of the daemon takes. */
const standardInputMax = 1024 * 1024;

/** The argument itself, or for `-` what comes on standard input, without the last line end. */
export async function textArgument(text: string): Promise<string> {
  if (text !== '-') return text;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk as Uint8Array);
    length += bytes.length;
    if (length > standardInputMax) {
      throw new Fault('BAD_REQUEST', `The text on standard input is longer than ${standardInputMax} bytes`, {
        subject: 'text',
        hint: 'Put long material into a file of the repository and name the file.',
      });
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}

/** A whole number within bounds, or a BAD_REQUEST that names the option. */
export function wholeNumber(option: string, { min, max }: { readonly min: number; readonly max: number }) {
  return (value: string): number => {
    const number = Number(value);
    if (value.trim() !== '' && Number.isSafeInteger(number) && number >= min && number <= max) return number;
    throw new Fault('BAD_REQUEST', `${option}: "${value}" is not a whole number from ${min} to ${max}`, {
      subject: option,
      hint: `Give ${option} a whole number from ${min} to ${max}.`,
    });
  };
}
