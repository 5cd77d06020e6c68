/** `host show | upgrade`: the process that holds the terminals. */
import { formatDuration } from '../base/clock.ts';
import { type Answer, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';

/** The rehearsal, a quiet moment and the change itself have limits of 20, 10 and 25 s. */
const upgradeLimitMs = 60_000;

export async function showHost(cli: Cli): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('showHost');
  if (cli.json) cli.printJson(answer);
  else cli.print(...hostLines(answer.host, Date.now()));
  return 0;
}

export async function upgradeHost(cli: Cli): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('upgradeHost', { body: {}, timeoutMs: upgradeLimitMs });
  const { host, pauseMs } = answer;
  if (cli.json) cli.printJson(answer);
  else
    cli.print(
      `the host runs ${host.code ?? '?'} now; its ${host.sessions} sessions paused for ${Math.round(pauseMs)} ms`,
    );
  return 0;
}

/** For `up --upgrade-host`, which has printed its own answer already. */
export async function upgradeIfOlder(cli: Cli): Promise<ExitCode> {
  const client = await connect(cli.home);
  const { host: before } = await client.call('showHost');
  if (before.code === before.installed) return 0;
  const { host, pauseMs } = await client.call('upgradeHost', { body: {}, timeoutMs: upgradeLimitMs });
  cli.note(
    `the host was ${before.code ?? 'older'} and runs ${host.code ?? '?'} now (${Math.round(pauseMs)} ms of silence)`,
  );
  return 0;
}

function hostLines(host: Answer<'showHost'>['host'], now: number): readonly string[] {
  const newer = host.code === host.installed ? '' : `; installed is ${host.installed}: muster host upgrade`;
  return [
    `host      pid ${host.pid}, up ${formatDuration(now - host.startedAt)}, upgraded in place ${host.upgrades} times`,
    `code      ${host.code ?? 'older than this question'}${newer}`,
    `sessions  ${host.sessions} alive`,
  ];
}
