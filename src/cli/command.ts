/** What every command is made of. `program.ts` and the files beside it that hold more commands say what can be typed. */
import type { Command, OptionValues } from 'commander';
import { type Cli, type CliOptions, type ExitCode, openCli } from './context.ts';

/** What an action gets: the context, the arguments, the options. */
export interface Call {
  readonly cli: Cli;
  readonly args: readonly string[];
  readonly options: OptionValues;
}
export type Action = (call: Call) => Promise<ExitCode>;

export interface Frame {
  readonly env: NodeJS.ProcessEnv;
  readonly done: (code: ExitCode) => void;
}

export const jsonOption = ['--json', 'print the answer as JSON, errors as JSON on standard error'] as const;

export function withExamples(command: Command, examples: readonly string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${examples.map((example) => `  ${example}`).join('\n')}\n`);
}

/** A command whose action's answer becomes the exit code. */
export function action(command: Command, { env, done }: Frame, run: Action): Command {
  return command.action(async (...given: readonly unknown[]) => {
    const self = given.at(-1) as Command;
    const options = self.optsWithGlobals<CliOptions>();
    const args = self.processedArgs.map((value: string | undefined) => value ?? '');
    done(await run({ cli: openCli(options, env), args, options }));
  });
}

/** Empty where an optional one was left out. */
export const argument = (call: Call, index: number): string => call.args[index] ?? '';
