/** `session tree`: the person's tmux servers and cmux windows, what runs there, and what is adopted. */
import { basename } from 'node:path';
import { oneLine } from '../base/text.ts';
import type { SessionView } from '../protocol/session.ts';
import type { Tree, TreeAdopted } from '../protocol/tree.ts';
import { connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { sessionColours } from './render/style.ts';

/** cmux may take its 15 s. */
const treeLimitMs = 40_000;
const textMax = 60;

export async function sessionTree(cli: Cli): Promise<ExitCode> {
  const client = await connect(cli.home);
  const answer = await client.call('sessionTree', { timeoutMs: treeLimitMs });
  if (cli.json) {
    cli.printJson(answer);
    return 0;
  }
  const { sessions } = await client.call('listSessions');
  cli.print(...treeLines(cli, answer, sessions));
  return 0;
}

export function treeLines(
  cli: Pick<Cli, 'paint'>,
  { servers, cmux }: Tree,
  sessions: readonly SessionView[],
): readonly string[] {
  const own = sessions.filter(({ kind, exit }) => kind === 'own' && exit === null);
  return [
    ...(own.length === 0
      ? []
      : [
          'muster',
          ...own.map(
            (session) => `  ${session.id}  ${session.agent} ${state(cli, session.state)}  ${text(session.title)}`,
          ),
        ]),
    ...(servers.length === 0 ? ['tmux: no server'] : servers.flatMap((server) => serverLines(cli, server))),
    ...(cmux.status === 'ok'
      ? cmux.windows.flatMap((window) => cmuxLines(cli, window))
      : [`cmux: ${cmux.status === 'absent' ? 'not installed' : `${cmux.status}: ${text(cmux.problem ?? '', 200)}`}`]),
  ];
}

const text = (value: string, max: number = textMax): string => oneLine(value, max);

const state = ({ paint }: Pick<Cli, 'paint'>, name: SessionView['state']): string => paint(sessionColours[name], name);

/** `= Codex 1 working s-...`, or what could be adopted. */
function mark(cli: Pick<Cli, 'paint'>, adopted: TreeAdopted | null, agent: string | null): string {
  if (adopted) return ` = ${text(adopted.role)}  ${state(cli, adopted.state)}  ${adopted.sessionId}`;
  return agent === null ? '' : `  ${cli.paint('cyan', agent)} (not adopted)`;
}

function serverLines(cli: Pick<Cli, 'paint'>, server: Tree['servers'][number]): string[] {
  const name = `tmux ${basename(server.socket)}  ${server.socket}`;
  if (server.problem !== null) return [`${name}  ${server.problem}`];
  return [
    name,
    ...server.sessions.flatMap((session) => [
      `  session ${text(session.name)}${session.attached ? '  attached' : ''}`,
      ...session.windows.flatMap((window) => [
        `    window ${window.index} ${text(window.name)}${window.active ? '  active' : ''}`,
        ...window.panes.map(
          (pane) =>
            `      ${pane.id}${mark(cli, pane.adopted, pane.agent)}  ${pane.dead ? 'dead' : text(pane.command)}  ${text(pane.cwd)}`,
        ),
      ]),
    ]),
  ];
}

function cmuxLines(cli: Pick<Cli, 'paint'>, window: Tree['cmux']['windows'][number]): string[] {
  return [
    `cmux ${window.ref || window.id}`,
    ...window.workspaces.flatMap((workspace) => [
      `  ${workspace.ref || workspace.id} ${text(workspace.title)}${workspace.selected ? '  selected' : ''}`,
      ...workspace.surfaces.map(
        (surface) =>
          `    ${surface.ref || surface.id}${mark(cli, surface.adopted, surface.agent)}  ${surface.type}  "${text(surface.title)}"  ${surface.id}`,
      ),
    ]),
  ];
}
