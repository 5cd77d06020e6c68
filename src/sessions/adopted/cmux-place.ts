/**
 * A cmux surface as a place, by its UUID. What cmux answers is believed for reading and never for typing: whether something arrived is
 * told by the surface's own screen. It shows no colours and no cursor, so more is refused here than in tmux.
 */
import type { Cmux, CmuxAnswer, CmuxRefusal, CmuxSurface, CmuxWindow } from '../../platform/cmux.ts';
import type { ProcessIdentity } from '../../platform/processes.ts';
import type { Typed } from '../../platform/tmux.ts';
import type { AdoptedRecord } from '../record.ts';
import { inFront } from './agent-in.ts';
import { writeBrief } from './brief.ts';
import type { Look, Place, ToldBox } from './place.ts';

export type CmuxMark = Extract<AdoptedRecord['place'], { kind: 'cmux' }>;

export const cmuxGroup = 'cmux';

export function cmuxPlace(cmux: Cmux, mark: CmuxMark): Place {
  const { surface } = mark;
  return {
    group: cmuxGroup,
    paste: async (text, _, scratch) => {
      const pasted = await cmux.paste(surface, text);
      if (pasted.kind !== 'failed' || !pasted.unknownVerb) return typed(pasted);
      // Older builds type only, and take a backslash before n for Enter: what could be cut in two goes through a file.
      const line = /[\\\n\t]/.test(text) || text.length > typedCharsMax ? await writeBrief(scratch, text) : text;
      return typed(await cmux.send(surface, line));
    },
    keys: async (data) => {
      if (data === '\r') return typed(await cmux.key(surface, 'enter'));
      if (data === '\u001b') return typed(await cmux.key(surface, 'escape'));
      // `send-key 1` is an unknown key; as text it is one.
      return /^[\w ]+$/.test(data)
        ? typed(await cmux.send(surface, data))
        : { kind: 'refused', reason: 'cmux has no such key' };
    },
    toldBox: async (): Promise<ToldBox> => {
      const answer = await cmux.inputState(surface);
      if (answer.kind !== 'answered') return undefined;
      const { state } = answer.value;
      return state === 'unknown' || state === 'unsupported' ? undefined : state;
    },
    tail: async (lines) => {
      const answer = await cmux.read(surface, lines);
      return answer.kind === 'answered' ? answer.value.slice(-lines) : [`(${answer.reason})`];
    },
  };
}

/** Typed as keys, a longer text takes seconds in which a person may type into it. */
const typedCharsMax = 500;

/** Denied, not heard of, absent: surely nothing was typed. A broken pipe in the middle, no answer, an error of any other kind: it may have been. */
function typed(answer: CmuxAnswer<null>): Typed {
  switch (answer.kind) {
    case 'answered':
      return { kind: 'typed' };
    case 'slow':
      return { kind: 'unknown', reason: answer.reason };
    case 'denied':
      return { kind: /broken pipe/i.test(answer.reason) ? 'unknown' : 'refused', reason: answer.reason };
    case 'failed':
      return { kind: answer.unknownVerb ? 'refused' : 'unknown', reason: answer.reason };
    case 'absent':
    case 'down':
    case 'unauthorized':
      return { kind: 'refused', reason: answer.reason };
  }
}

export interface CmuxTarget {
  readonly mark: CmuxMark;
  /** Null where the tree tells no terminal, so that its process can't be found. */
  readonly agent: ProcessIdentity | null;
}

/** One after the other: cmux under load answers nobody when it is asked by many at once. */
export async function lookAtSurfaces(
  cmux: Cmux,
  targets: readonly CmuxTarget[],
  clock: () => number,
): Promise<readonly Look[]> {
  const tree = await cmux.tree();
  if (tree.kind !== 'answered') return targets.map(() => ({ kind: 'unreachable', reason: sayRefusal(tree) }));
  const looks: Look[] = [];
  for (const target of targets) looks.push(await lookAt(cmux, target, { windows: tree.value, clock }));
  return looks;
}

async function lookAt(
  cmux: Cmux,
  { mark, agent }: CmuxTarget,
  { windows, clock }: { readonly windows: readonly CmuxWindow[]; readonly clock: () => number },
): Promise<Look> {
  const surface = surfacesOf(windows).find((one) => one.id === mark.surface);
  if (!surface) return { kind: 'gone', reason: `surface ${mark.surface} is gone` };
  const front = agent === null ? true : await inFront(agent);
  if (front === undefined) return { kind: 'gone', reason: 'its process is gone, the surface is still there' };
  const read = await cmux.read(mark.surface);
  if (read.kind !== 'answered') return { kind: 'unreachable', reason: sayRefusal(read) };
  const rows = [...read.value];
  const cols = Math.max(80, ...rows.map((row) => row.length));
  return {
    kind: 'seen',
    at: clock(),
    screen: { rows, cursor: { x: 0, y: 0 }, alternate: false },
    solid: rows,
    data: rows.join('\r\n'),
    cols,
    rows: Math.max(rows.length, 2),
    title: surface.title,
    obstacle: front ? undefined : 'another program is in front of the agent in its surface',
  };
}

export const surfacesOf = (windows: readonly CmuxWindow[]): readonly CmuxSurface[] =>
  windows.flatMap((window) => window.workspaces.flatMap((workspace) => workspace.surfaces));

/** What a person can do about it, after what cmux said. */
export function sayRefusal(refusal: CmuxRefusal): string {
  switch (refusal.kind) {
    case 'denied':
      return `cmux lets only what was started inside it in (${refusal.reason}); Settings → Automation → Socket Control Mode, then restart cmux`;
    case 'unauthorized':
      return `cmux wants its password (${refusal.reason}); start Muster with CMUX_SOCKET_PASSWORD`;
    case 'absent':
    case 'down':
    case 'slow':
    case 'failed':
      return refusal.reason;
  }
}
