/**
 * `replay FILE...`: recordings in, one line per change of state out, without a daemon. A file that can't be replayed is told on standard error
 * and does not keep the others from being replayed; the first such fault gives the exit code.
 */
import { readFile, stat } from 'node:fs/promises';
import { Fault, messageOf, toFault } from '../base/fault.ts';
import { oneLine } from '../base/text.ts';
import type { SessionState } from '../protocol/state.ts';
import { type Cli, type ExitCode, faultBody, faultExit } from './context.ts';
import { sessionColours } from './render/style.ts';

export interface ReplayOptions {
  readonly agent?: string;
  readonly agentVersion?: string;
}

/** Recordings end at 16 MB by default (limits.recordingMegabytes); a file far above that is something else. */
const fileBytesMax = 1024 * 1024 * 1024;

export async function replay(cli: Cli, files: readonly string[], options: ReplayOptions): Promise<ExitCode> {
  const { replayRecording } = await import('../daemon/offline.ts');
  const how = {
    ...(options.agent === undefined ? {} : { agent: options.agent }),
    ...(options.agentVersion === undefined ? {} : { agentVersion: options.agentVersion }),
  };
  let exit: ExitCode = 0;
  for (const file of files) {
    try {
      for (const change of await replayRecording(await readRecording(file), how)) show(cli, file, change);
    } catch (error) {
      const fault = about(file, toFault(error));
      if (cli.json) cli.note(JSON.stringify(faultBody(fault)));
      else cli.note(`muster: ${fault.message} (${fault.code})`);
      if (exit === 0) exit = faultExit(fault);
    }
  }
  return exit;
}

const about = (file: string, { code, message, hint, cause }: Fault): Fault =>
  new Fault(code, `${oneLine(file, 1000)}: ${message}`, {
    cause,
    subject: file,
    ...(hint === undefined ? {} : { hint }),
  });

async function readRecording(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > fileBytesMax) throw new Error(`larger than ${fileBytesMax} bytes`);
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new Fault('RECORDING_INVALID', `Can't read it: ${messageOf(error)}`, { cause: error, subject: file });
  }
}

interface Change {
  readonly t: number;
  readonly state: SessionState;
  readonly source: string;
  readonly reason: string;
}

function show(cli: Cli, file: string, { t, state, source, reason }: Change): void {
  if (cli.json) cli.printJson({ file, t, state, source, reason });
  else {
    const word = cli.paint(sessionColours[state], state.padEnd(10));
    cli.print(
      `${oneLine(file, 1000)}  ${t.toFixed(3).padStart(9)}  ${word}  ${source.padEnd(12)}  ${oneLine(reason, 300)}`,
    );
  }
}
