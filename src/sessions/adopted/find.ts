/** From what a person names to the one terminal and agent that is meant, or a fault that says why there is none and what to do. */
import type { Agent } from '../../agents/agent.ts';
import { Fault } from '../../base/fault.ts';
import { oneLine } from '../../base/text.ts';
import type { Cmux } from '../../platform/cmux.ts';
import { descendants, type ProcessRow, processTable } from '../../platform/process-tree.ts';
import { bootId, identify } from '../../platform/processes.ts';
import type { Tmux, TmuxPane } from '../../platform/tmux.ts';
import type { AgentId } from '../../protocol/session.ts';
import type { AdoptedRecord } from '../record.ts';
import type { AdoptRequest } from './adopted.ts';
import { agentAmong, agentBelow, type FoundProcess, programName } from './agent-in.ts';
import { sayRefusal, surfacesOf } from './cmux-place.ts';
import { findPane } from './tmux-place.ts';

export interface Adoptable {
  readonly agent: Agent;
  /** Undefined where the holder does not tell enough to find it. */
  readonly process: ProcessRow | undefined;
  readonly cwd: string;
  readonly adopted: (role: string) => AdoptedRecord;
}

export interface FindSources {
  readonly tmux: Tmux;
  readonly cmux: Cmux;
  readonly agents: ReadonlyMap<AgentId, Agent>;
}

const treeHint = '`muster session tree` shows what is there and how it is named.';

export async function findAdoptable(request: AdoptRequest, sources: FindSources): Promise<Adoptable> {
  const wanted = wantedAgent(request.agent, sources.agents);
  const [, holder, name] = /^(tmux|cmux):(.+)$/.exec(request.target) ?? [];
  if (name === undefined)
    throw new Fault('BAD_REQUEST', `target: "${oneLine(request.target, 100)}" is neither tmux:PANE nor cmux:SURFACE`, {
      subject: 'target',
      hint: treeHint,
    });
  return holder === 'tmux' ? inTmux(name, wanted, sources) : inCmux(name, wanted, sources);
}

function wantedAgent(name: string | undefined, agents: ReadonlyMap<AgentId, Agent>): Agent | undefined {
  if (name === undefined) return undefined;
  const agent = agents.get(name as AgentId);
  if (agent) return agent;
  throw new Fault('AGENT_UNKNOWN', `agent: there is no "${name}"; allowed are ${[...agents.keys()].join(', ')}`, {
    subject: 'agent',
  });
}

async function inTmux(name: string, wanted: Agent | undefined, { tmux, agents }: FindSources): Promise<Adoptable> {
  const found = await findPane(tmux, name);
  if (found.kind !== 'found') throw notFound(found);
  const pane = found.value;
  const start = identify(pane.pid);
  const table = await processTable();
  const below = agentBelow(table, pane.pid, { agents, wanted });
  if (pane.dead || !start || !below) throw noAgent(pane, descendants(table, pane.pid));
  return {
    agent: below.agent,
    process: below.row,
    cwd: pane.cwd,
    adopted: (role) => ({
      place: { kind: 'tmux', socket: pane.socket, pane: pane.id, panePid: pane.pid, paneStart: start.startTicks },
      role,
      target: `tmux:${pane.socket}/${pane.id}`,
      bootId: bootId(),
    }),
  };
}

function notFound({ kind, reason }: { readonly kind: 'none' | 'many' | 'failed'; readonly reason: string }): Fault {
  const codes = { none: 'NOT_FOUND', many: 'BAD_REQUEST', failed: 'TERMINAL_UNREACHABLE' } as const;
  return new Fault(codes[kind], reason, { subject: 'target', hint: treeHint });
}

function noAgent(pane: TmuxPane, rows: readonly ProcessRow[]): Fault {
  const names = rows.map(programName).join(', ');
  const what = pane.dead ? 'is dead' : `runs ${names || 'nothing that can be seen'}, and no agent in front`;
  return new Fault('WRONG_STATE', `pane ${pane.id} ${what}`, {
    subject: 'target',
    hint: 'Start the agent there first; one that is not recognised can be named with --agent.',
  });
}

async function inCmux(name: string, wanted: Agent | undefined, { cmux, agents }: FindSources): Promise<Adoptable> {
  const tree = await cmux.tree();
  if (tree.kind !== 'answered')
    throw new Fault('TERMINAL_UNREACHABLE', `cmux: ${sayRefusal(tree)}`, { subject: 'target' });
  const found = surfacesOf(tree.value).filter(
    (surface) => surface.id === name || surface.ref === name || surface.ref === `surface:${name}`,
  );
  const [surface] = found;
  if (!surface) throw new Fault('NOT_FOUND', `cmux has no surface ${name}`, { subject: 'target', hint: treeHint });
  if (found.length > 1)
    throw new Fault(
      'BAD_REQUEST',
      `${found.length} surfaces are called ${name}: ${found.map(({ id }) => id).join(', ')}`,
      {
        subject: 'target',
        hint: 'Refs count per window; name it by its UUID.',
      },
    );
  if (surface.type !== 'terminal')
    throw new Fault('WRONG_STATE', `surface ${name} is a ${surface.type}, not a terminal`, { subject: 'target' });
  const process = surface.tty === null ? undefined : await onTerminal(surface.tty, { agents, wanted });
  const told = process?.agent ?? wanted ?? (await toldAgent(cmux, surface.id, agents));
  if (!told)
    throw new Fault('WRONG_STATE', `nothing tells which agent runs in surface ${name}`, {
      subject: 'target',
      hint: 'Name it with --agent.',
    });
  return {
    agent: told,
    process: process?.row,
    cwd: '',
    adopted: (role) => ({
      place: { kind: 'cmux', surface: surface.id, tty: surface.tty },
      role,
      target: `cmux:${surface.id}`,
      bootId: bootId(),
    }),
  };
}

/** The oldest process on a terminal is its shell; the agent stands nearer to it than its helpers do. */
async function onTerminal(tty: string, how: Parameters<typeof agentAmong>[1]): Promise<FoundProcess | undefined> {
  const name = tty.replace(/^\/dev\//, '');
  const rows = [...(await processTable()).values()].filter((row) => row.tty === name);
  return agentAmong(
    rows.toSorted((a, b) => a.pid - b.pid),
    how,
  );
}

/** Newer builds tell it themselves. */
async function toldAgent(cmux: Cmux, surface: string, agents: ReadonlyMap<AgentId, Agent>): Promise<Agent | undefined> {
  const answer = await cmux.inputState(surface);
  const name = answer.kind === 'answered' ? (answer.value.agent ?? '') : '';
  return [...agents.values()].find(
    (agent) => name === agent.id || name === agent.executable || name === `${agent.id}-code`,
  );
}
