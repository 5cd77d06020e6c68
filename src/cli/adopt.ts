/** `session adopt | release`: agents that run in tmux or cmux, beside our own. */
import { connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { sessionLines } from './render/session.ts';

/** cmux may take 15 s for each of the questions that are asked. */
const adoptLimitMs = 90_000;

export interface AdoptOptions {
  readonly agent?: string;
  readonly role?: string;
}

export async function adoptSession(cli: Cli, target: string, { agent, role }: AdoptOptions): Promise<ExitCode> {
  const body = {
    target: wholeTarget(target, cli.env),
    ...(agent === undefined ? {} : { agent }),
    ...(role === undefined ? {} : { role }),
  };
  const answer = await (await connect(cli.home)).call('adoptSession', { body, timeoutMs: adoptLimitMs });
  if (cli.json) cli.printJson(answer);
  else {
    cli.print(...sessionLines(cli, answer.session, Date.now()));
    if (answer.already) cli.note(`${answer.session.id} was adopted before`);
  }
  return 0;
}

export async function releaseSession(cli: Cli, id: string): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('releaseSession', { params: { id }, body: {} });
  if (cli.json) cli.printJson(answer);
  else cli.note(`released ${id} (${answer.session.role ?? ''}); what runs there goes on`);
  return 0;
}

/** Inside tmux a pane without a server is one of that server: `$TMUX` is `socket,pid,session`. */
export function wholeTarget(target: string, env: NodeJS.ProcessEnv): string {
  const pane = /^tmux:([^/]+)$/.exec(target)?.[1];
  const socket = env.TMUX?.split(',')[0] ?? '';
  return pane === undefined || !socket.startsWith('/') ? target : `tmux:${socket}/${pane}`;
}
