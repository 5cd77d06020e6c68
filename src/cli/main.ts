/** The command line from arguments to exit code. Every command's code is loaded only when it is called. */
import { CommanderError } from 'commander';
import { Fault, messageOf, toFault } from '../base/fault.ts';
import { type ExitCode, faultBody, faultExit } from './context.ts';
import { buildProgram } from './program.ts';
import { painter, wantsColour } from './render/style.ts';

export async function main(argv: readonly string[]): Promise<void> {
  endQuietlyWithoutReader();
  process.exitCode = await runCommand(argv);
}

async function runCommand(argv: readonly string[]): Promise<ExitCode> {
  let exit: ExitCode = 0;
  const program = buildProgram(process.env, (code) => {
    exit = code;
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exit;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0; // help or version was asked for and printed
      if (error.code === 'commander.help') return 2; // a command without its verb: its help has been printed
      return report(wrongUse(error), argv);
    }
    return report(toFault(error), argv);
  }
}

/** `error: unknown command 'jbo'\n(Did you mean job?)` → our form: what happened, and what to do. */
function wrongUse(error: CommanderError): Fault {
  const [message = '', suggestion = ''] = error.message.replace(/^error: /, '').split('\n');
  const guess = /\((.*)\)/.exec(suggestion)?.[1];
  return new Fault('BAD_REQUEST', message, {
    hint: `${guess === undefined ? '' : `${guess} `}See: muster help, or --help behind any command`,
  });
}

function report(fault: Fault, argv: readonly string[]): ExitCode {
  process.stderr.write(argv.includes('--json') ? `${JSON.stringify(faultBody(fault))}\n` : faultText(fault));
  return faultExit(fault);
}

function faultText(fault: Fault): string {
  const paint = painter(wantsColour(process.stderr, process.env));
  const lines = [`${paint('red', 'muster:')} ${fault.message} (${fault.code})`];
  if (fault.hint !== undefined) lines.push(`  hint: ${fault.hint}`);
  if (fault.code === 'INTERNAL' && process.env.MUSTER_DEBUG) lines.push(fault.stack ?? '', causeText(fault.cause));
  return `${lines.join('\n')}\n`;
}

const causeText = (cause: unknown): string =>
  cause instanceof Error ? (cause.stack ?? messageOf(cause)) : messageOf(cause);

/** `muster job list | head -1`: the reader has gone, which is no error of anybody. */
function endQuietlyWithoutReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}
