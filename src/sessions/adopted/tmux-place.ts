/** A tmux pane as a place. It is known by its id, the process of the pane and that one's start, never by an index. */
import { identify, type ProcessIdentity } from '../../platform/processes.ts';
import type { Tmux, TmuxAnswer, TmuxPane } from '../../platform/tmux.ts';
import type { AdoptedRecord } from '../record.ts';
import { inFront } from './agent-in.ts';
import type { Look, Place, Seen } from './place.ts';
import { readStyled } from './styled.ts';

export type TmuxMark = Extract<AdoptedRecord['place'], { kind: 'tmux' }>;

export function tmuxPlace(tmux: Tmux, mark: TmuxMark): Place {
  const pane = { socket: mark.socket, id: mark.pane, pid: mark.panePid };
  return {
    group: `tmux ${mark.socket}`,
    paste: (text, seen, scratch) => tmux.paste({ ...pane, cursor: seen.screen.cursor }, text, scratch),
    keys: (data) => tmux.keys(pane, data),
    toldBox: async () => undefined,
    tail: async (lines) => {
      const answer = await tmux.tail(mark.socket, mark.pane, lines);
      return answer.kind === 'answered' ? answer.value : [`(${answer.reason})`];
    },
  };
}

export interface TmuxTarget {
  readonly mark: TmuxMark;
  readonly agent: ProcessIdentity;
}

/** One question to the server for all of them. */
export async function lookAtPanes(
  tmux: Tmux,
  targets: readonly TmuxTarget[],
  clock: () => number,
): Promise<readonly Look[]> {
  const socket = targets[0]?.mark.socket ?? '';
  const wanted = targets.map(({ mark }) => mark.pane);
  const answer = await tmux.look(socket, wanted, true);
  const at = clock();
  return Promise.all(targets.map((target) => lookOf(target, answer, at)));
}

type LookAnswer = Awaited<ReturnType<Tmux['look']>>;

async function lookOf(target: TmuxTarget, answer: LookAnswer, at: number): Promise<Look> {
  const { mark } = target;
  if (answer.kind === 'unreachable') return answer;
  if (answer.kind === 'no-server') return { kind: 'gone', reason: 'its tmux server is gone' };
  const pane = answer.value.panes.find((one) => one.id === mark.pane && isSamePane(one, mark));
  if (!pane) return { kind: 'gone', reason: `pane ${mark.pane} is gone` };
  const front = await inFront(target.agent);
  if (pane.dead) return { kind: 'gone', reason: `pane ${mark.pane} is dead`, ...deathOf(pane, target) };
  if (front === undefined) return { kind: 'gone', reason: `its process is gone, pane ${mark.pane} is still there` };
  const screen = answer.value.screens.get(mark.pane);
  // Another pane of the same question went at this moment: the next look has it.
  if (!screen) return { kind: 'unreachable', reason: `tmux told nothing of pane ${mark.pane}` };
  return seen(pane, screen, { at, obstacle: obstacleOf(pane, front) });
}

function isSamePane(pane: TmuxPane, mark: TmuxMark): boolean {
  if (pane.pid !== mark.panePid) return false;
  // The process of a dead pane is gone, so that only its number is left to compare.
  return pane.dead || identify(pane.pid)?.startTicks === mark.paneStart;
}

/** tmux reaps the pane's own process, and tells how that one ended; an agent below a shell is not it. */
function deathOf(
  pane: TmuxPane,
  { mark, agent }: TmuxTarget,
): { how?: { code: number | null; signal: string | null } } {
  if (agent.pid !== mark.panePid) return {};
  if (pane.deadSignal !== null) return { how: { code: null, signal: `signal ${pane.deadSignal}` } };
  return pane.deadStatus === null ? {} : { how: { code: pane.deadStatus, signal: null } };
}

function obstacleOf(pane: TmuxPane, front: boolean): string | undefined {
  if (pane.mode !== '') return `the pane is in ${pane.mode}, where keys go to tmux`;
  if (!front) return 'another program is in front of the agent in its pane';
  if (pane.inputOff) return 'the pane takes no input (select-pane -d)';
  return pane.synchronized ? 'the pane is synchronized: every key would go to others too' : undefined;
}

function seen(
  pane: TmuxPane,
  styled: readonly string[],
  { at, obstacle }: { readonly at: number; readonly obstacle: string | undefined },
): Seen {
  const { plain, solid } = readStyled(styled);
  return {
    kind: 'seen',
    at,
    screen: { rows: plain, cursor: pane.cursor, alternate: pane.alternate },
    solid,
    data: `${styled.join('\u001b[m\r\n')}\u001b[m\u001b[${pane.cursor.y + 1};${pane.cursor.x + 1}H`,
    cols: pane.cols,
    rows: pane.rows,
    title: pane.title,
    obstacle,
  };
}

export type Resolved<T> =
  | { readonly kind: 'found'; readonly value: T }
  | { readonly kind: 'none' | 'many' | 'failed'; readonly reason: string };

/** `work/%3`, `%3`, `dev:1.0`, `dev:1`, `dev`: a socket's name or path before the last slash, then a pane. Without a socket all servers are asked. */
export async function findPane(tmux: Tmux, text: string): Promise<Resolved<TmuxPane>> {
  const slash = text.lastIndexOf('/');
  const named = slash >= 0;
  const wanted = text.slice(slash + 1);
  const sockets = named ? [tmux.socketPath(text.slice(0, slash))] : await tmux.sockets();
  const answers = await Promise.all(sockets.map((socket) => tmux.panes(socket)));
  const found = answers.flatMap((answer) => (answer.kind === 'answered' ? answer.value : [])).filter(fits(wanted));
  const [first] = found;
  if (first && found.length === 1) return { kind: 'found', value: first };
  if (first) {
    const names = found.map((pane) => `tmux:${pane.socket}/${pane.id}`).join(', ');
    return { kind: 'many', reason: `${found.length} panes are called ${wanted}: ${names}` };
  }
  const failures = answers.flatMap((answer: TmuxAnswer<unknown>) =>
    answer.kind === 'answered' ? [] : [answer.reason],
  );
  if (failures.length > 0 && failures.length === answers.length)
    return { kind: 'failed', reason: failures.join('; ').slice(0, 300) };
  return {
    kind: 'none',
    reason: `there is no pane ${wanted}${named ? ` on ${sockets.join('')}` : ' on any tmux server'}`,
  };
}

/** A name alone stands for what is active there, as in tmux. */
const fits =
  (wanted: string) =>
  (pane: TmuxPane): boolean => {
    if (wanted.startsWith('%')) return pane.id === wanted;
    const { session, window } = pane;
    const windows = [`${session.name}:${window.index}`, `${session.name}:${window.name}`];
    if (windows.some((name) => wanted === `${name}.${pane.index}`)) return true;
    if (windows.includes(wanted)) return pane.active;
    return wanted === session.name && window.active && pane.active;
  };
