import { formatDuration } from '../base/clock.ts';
import { oneLine } from '../base/text.ts';
import { type Answer, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { sessionTable } from './render/session.ts';
import { jobColours } from './render/style.ts';
import { formatBytes } from './render/time.ts';

type Status = Answer<'status'>;

/** It is asked to see whether all is well: five seconds of silence are an answer. */
const statusLimitMs = 5000;
const reasonMax = 300;

export async function status(cli: Cli): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('status', { timeoutMs: statusLimitMs });
  if (cli.json) cli.printJson(answer);
  else cli.print(...statusLines(cli, answer, Date.now()));
  return 0;
}

function statusLines(cli: Cli, answer: Status, now: number): readonly string[] {
  const { daemon, host } = answer;
  const hostLine = host.connected
    ? `pid ${host.pid ?? '?'}${host.rssBytes === null ? '' : `, ${formatBytes(host.rssBytes)}`}`
    : cli.paint('yellow', 'not connected');
  const sessions = sessionTable(cli, answer.sessions, now);
  return [
    `muster ${answer.version}  ${answer.url}`,
    `daemon  pid ${daemon.pid}, ${formatBytes(daemon.rssBytes)}, up ${formatDuration(now - daemon.startedAt)}`,
    `host    ${hostLine}`,
    `jobs    ${totalsLine(cli, answer.jobs)}`,
    ...(answer.waiting === null
      ? []
      : [cli.paint('yellow', `        ${answer.waiting.jobId} waits: ${oneLine(answer.waiting.reason, reasonMax)}`)]),
    ...(sessions.length === 0 ? ['no sessions'] : ['', ...sessions]),
  ];
}

/** `2 running · 1 done (3 in all)`; states that nobody is in are left out. */
export function totalsLine({ paint }: Pick<Cli, 'paint'>, totals: Status['jobs']): string {
  const states = ['running', 'queued', 'done', 'failed', 'unknown', 'cancelled'] as const;
  const parts = states
    .filter((state) => totals[state] > 0)
    .map((state) => paint(jobColours[state], `${totals[state]} ${state}`));
  return parts.length === 0 ? 'none yet' : `${parts.join(' · ')} (${totals.total} in all)`;
}
