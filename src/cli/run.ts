import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { randomToken } from '../base/ids.ts';
import type { SubmitJob } from '../protocol/api.ts';
import { connect } from './client.ts';
import { type Cli, type ExitCode, textArgument } from './context.ts';

export interface RunOptions {
  readonly project?: string;
  readonly persona?: string;
  readonly agent?: string;
  readonly verify?: string;
  readonly allowDirty?: boolean;
  readonly allowEmpty?: boolean;
  readonly key?: string;
  readonly follow?: boolean;
}

/** Intake asks git about the repository; a large one on a cold disk takes its time. */
const submitLimitMs = 60_000;

export async function run(cli: Cli, text: string, options: RunOptions): Promise<ExitCode> {
  const client = await connect(cli.home);
  const key = options.key ?? `cli-${randomToken(16)}`;
  const body = submission(await textArgument(text), { ...options, key });
  const again = `The same command with --key ${key} makes no second job.`;
  const answer = await client.call('submitJob', { body, timeoutMs: submitLimitMs, again });
  const { job, already } = answer;
  if (cli.json) cli.printJson(answer);
  else cli.print(`${job.id} ${already ? `was already there (${job.state})` : job.state}`);
  if (!options.follow) {
    if (!cli.json) cli.note(`follow it: muster job follow ${job.id}`);
    return 0;
  }
  return (await import('./follow.ts')).followJob(cli, job.id);
}

function submission(text: string, options: RunOptions): SubmitJob {
  return {
    text,
    projectPath: resolve(options.project ?? '.'),
    submittedBy: `cli ${userInfo().username}`.slice(0, 100),
    ...(options.persona === undefined ? {} : { persona: options.persona }),
    ...(options.agent === undefined ? {} : { agent: options.agent }),
    ...(options.verify === undefined ? {} : { verify: options.verify }),
    ...(options.allowDirty === undefined ? {} : { allowDirty: options.allowDirty }),
    ...(options.allowEmpty === undefined ? {} : { allowEmpty: options.allowEmpty }),
    ...(options.key === undefined ? {} : { idempotencyKey: options.key }),
  };
}
