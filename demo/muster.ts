/** The command line, used as anybody uses it: as a child process. It has a process group of its own, so that a Ctrl-C for the demo does not hit it. */
import { spawn } from 'node:child_process';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Fault } from '../src/base/fault.ts';
import { type FaultCode, faults } from '../src/base/faults.ts';
import { oneLine } from '../src/base/text.ts';
import type { Home } from '../src/platform/home.ts';
import { faultSchema, routes } from '../src/protocol/api.ts';
import type { JobView } from '../src/protocol/job.ts';
import type { ScenarioJob } from './scenario.ts';

const bin = fileURLToPath(new URL('../bin/muster.mjs', import.meta.url));
/** `down` waits for sessions, host and daemon in turn, each with a limit of its own below this. */
const commandLimitMs = 120_000;
/** One command prints a job or a few lines. */
const outputCharsMax = 1_000_000;

interface CommandEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function runMuster(home: Home, args: readonly string[]): Promise<CommandEnd> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, MUSTER_HOME: home.dir, NO_COLOR: '1' };
    const child = spawn(process.execPath, [bin, ...args], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), commandLimitMs);
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        if (output[name].length < outputCharsMax) output[name] += text;
      });
    }
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, ...output });
    });
  });
}

async function mustRun(home: Home, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runMuster(home, args);
  if (code === 0) return stdout;
  throw (
    faultOf(stderr) ??
    new Fault('INTERNAL', `muster ${args[0]} ended with code ${code}: ${oneLine(stderr || stdout, 500)}`, {
      hint: `The daemon's log: ${join(home.logs, 'daemon.log')}`,
    })
  );
}

/** With `--json` a command prints its fault as the API does. */
function faultOf(stderr: string): Fault | undefined {
  try {
    const { code, message, hint } = faultSchema.parse(JSON.parse(stderr)).error;
    return new Fault(isFaultCode(code) ? code : 'INTERNAL', message, hint === undefined ? {} : { hint });
  } catch {
    return undefined; // plain words
  }
}

const isFaultCode = (code: string): code is FaultCode => Object.hasOwn(faults, code);

export const startMuster = async (home: Home): Promise<void> => void (await mustRun(home, ['up', '--wait']));

/** What `down` printed. */
export const stopMuster = (home: Home): Promise<string> => mustRun(home, ['down']);

/** `muster run`, with a key, so that asking again after a crash in between gives the same job. */
export async function submitJob(
  home: Home,
  job: ScenarioJob,
  place: { repository: string; key: string },
): Promise<JobView> {
  const options = [
    '--project',
    place.repository,
    '--agent',
    'qwen',
    '--key',
    place.key,
    '--json',
    ...(job.verify ? ['--verify', job.verify] : []),
    ...(job.persona ? ['--persona', job.persona] : []),
  ];
  const printed = await mustRun(home, ['run', ...options, '--', job.text]);
  return routes.submitJob.answer.parse(JSON.parse(printed)).job;
}

/** The command that a person types, in the checkout, for this home. */
export function commandFor(home: Home, words: string): string {
  const here = relative(process.cwd(), home.dir);
  return `MUSTER_HOME=${here.startsWith('..') ? home.dir : here} npm run -s muster -- ${words}`;
}
