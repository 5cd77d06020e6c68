/** What there is to adopt: every tmux server and cmux window of this user, with the agents that run in them. Looks only. */
import type { Agent } from '../../agents/agent.ts';
import { oneLine } from '../../base/text.ts';
import type { Cmux, CmuxSurface, CmuxWindow } from '../../platform/cmux.ts';
import { type ProcessRow, processTable } from '../../platform/process-tree.ts';
import type { Tmux, TmuxPane } from '../../platform/tmux.ts';
import type { AgentId, SessionView } from '../../protocol/session.ts';
import type { Tree, TreeAdopted, TreePane } from '../../protocol/tree.ts';
import { agentAmong, agentBelow } from './agent-in.ts';
import { sayRefusal } from './cmux-place.ts';

const textMax = 200;

export interface TreeSources {
  readonly tmux: Tmux;
  readonly cmux: Cmux;
  readonly adopted: readonly SessionView[];
  readonly agents: ReadonlyMap<AgentId, Agent>;
}

export async function readTree({ tmux, cmux: cmuxProgram, adopted, agents }: TreeSources): Promise<Tree> {
  const table = await processTable();
  const byPlace = new Map(
    adopted.flatMap((view): [string, SessionView][] => (view.place === null || view.exit ? [] : [[view.place, view]])),
  );
  const context: Context = { table, agents, adopted: (place) => toldAdopted(byPlace.get(place)) };
  const [servers, cmux] = await Promise.all([readServers(tmux, adopted, context), readCmux(cmuxProgram, context)]);
  return { servers, cmux };
}

interface Context {
  readonly table: ReadonlyMap<number, ProcessRow>;
  readonly agents: ReadonlyMap<AgentId, Agent>;
  readonly adopted: (place: string) => TreeAdopted | null;
}

const toldAdopted = (view: SessionView | undefined): TreeAdopted | null =>
  view ? { sessionId: view.id, role: view.role ?? '', state: view.state } : null;

const line = (text: string): string => oneLine(text, textMax);

async function readServers(tmux: Tmux, adopted: readonly SessionView[], context: Context): Promise<Tree['servers']> {
  // Also those in other folders, once something in them was adopted.
  const known = adopted.flatMap(({ place }) => /^tmux:(.*)\/%\d+$/.exec(place ?? '')?.[1] ?? []);
  const sockets = [...new Set([...(await tmux.sockets()), ...known])];
  const servers = await Promise.all(
    sockets.map(async (socket) => {
      const answer = await tmux.panes(socket);
      if (answer.kind === 'no-server') return undefined;
      if (answer.kind === 'unreachable') return { socket, pid: null, problem: line(answer.reason), sessions: [] };
      return {
        socket,
        pid: answer.value[0]?.serverPid ?? null,
        problem: null,
        sessions: sessionsOf(answer.value, context),
      };
    }),
  );
  return servers.filter((server) => server !== undefined);
}

function sessionsOf(panes: readonly TmuxPane[], context: Context): Tree['servers'][number]['sessions'] {
  return [...Map.groupBy(panes, (pane) => pane.session.id)].map(([id, ofSession]) => ({
    id,
    name: line(ofSession[0]?.session.name ?? ''),
    attached: ofSession[0]?.session.attached ?? false,
    windows: [...Map.groupBy(ofSession, (pane) => pane.window.id)].map(([windowId, ofWindow]) => ({
      id: windowId,
      index: ofWindow[0]?.window.index ?? 0,
      name: line(ofWindow[0]?.window.name ?? ''),
      active: ofWindow[0]?.window.active ?? false,
      panes: ofWindow.map((pane) => paneOf(pane, context)),
    })),
  }));
}

function paneOf(pane: TmuxPane, { table, agents, adopted }: Context): TreePane {
  const target = `tmux:${pane.socket}/${pane.id}`;
  return {
    id: pane.id,
    target,
    index: pane.index,
    active: pane.active,
    title: line(pane.title),
    command: line(pane.command),
    cwd: line(pane.cwd),
    size: `${pane.cols}x${pane.rows}`,
    dead: pane.dead,
    agent: agentBelow(table, pane.pid, { agents, wanted: undefined })?.agent.id ?? null,
    adopted: adopted(target),
  };
}

async function readCmux(cmux: Cmux, context: Context): Promise<Tree['cmux']> {
  const answer = await cmux.tree();
  if (answer.kind !== 'answered') return { status: answer.kind, problem: line(sayRefusal(answer)), windows: [] };
  return { status: 'ok', problem: null, windows: answer.value.map((window) => windowOf(window, context)) };
}

const windowOf = (window: CmuxWindow, context: Context): Tree['cmux']['windows'][number] => ({
  id: line(window.id),
  ref: line(window.ref),
  workspaces: window.workspaces.map((workspace) => ({
    id: line(workspace.id),
    ref: line(workspace.ref),
    title: line(workspace.title),
    selected: workspace.selected,
    surfaces: workspace.surfaces.map((surface) => surfaceOf(surface, context)),
  })),
});

function surfaceOf(
  surface: CmuxSurface,
  { table, agents, adopted }: Context,
): Tree['cmux']['windows'][number]['workspaces'][number]['surfaces'][number] {
  const tty = surface.tty?.replace(/^\/dev\//, '');
  const rows = tty === undefined ? [] : [...table.values()].filter((row) => row.tty === tty);
  const target = `cmux:${surface.id}`;
  return {
    id: line(surface.id),
    ref: line(surface.ref),
    target,
    title: line(surface.title),
    type: line(surface.type),
    agent: agentAmong(rows, { agents, wanted: undefined })?.agent.id ?? null,
    adopted: adopted(target),
  };
}
