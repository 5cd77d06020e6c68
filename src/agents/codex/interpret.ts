/**
 * What Codex's sources say. OSC 7501 (sent without being asked for) and the title tell how it is now; the rollout file tells what was
 * asked, what ran and how a turn ended, with the HTTP status of a failure; the screen alone tells of reconnects. Hooks need the
 * user's trust, so we start none; where a recording has them they are read.
 */
import type { Evidence, EvidenceSource, Observation } from '../../protocol/state.ts';
import type { AgentMemory, Interpretation } from '../agent.ts';
import { isPlanLimit, turnError } from '../errors.ts';
import { type HookDialect, interpretHook, type RecentCall } from '../hooks.ts';
import { interpretProcess } from '../process.ts';
import { interpretProgramStatus } from '../program-status.ts';
import { type Fields, fieldsOf, lineOf, listOf, numberOf, present, rowTime, textOf } from '../reading.ts';
import { isScreen, rowsOf } from '../screen.ts';
import { type CodexScreen, readCodexScreen } from './screen.ts';

interface CodexMemory {
  readonly calls: readonly RecentCall[];
  /** The title has shown work before: a plain one then means rest. */
  readonly spun: boolean;
  /** It tells its status by OSC 7501: a plain title is no news, only earlier and less exact. */
  readonly told: boolean;
  /** It was seen at its prompt: where better sources speak, the composer on the screen is no news any more. */
  readonly ready: boolean;
}

export const codexMemory = (): AgentMemory => ({ calls: [], spun: false, told: false, ready: false });

const dialect: HookDialect = { preToolUse: 'asked', questionTools: ['request_user_input'] };

export function interpretCodex(memory: AgentMemory, observation: Observation): Interpretation {
  const before: CodexMemory = {
    calls: (memory.calls ?? []) as readonly RecentCall[],
    spun: memory.spun === true,
    told: memory.told === true,
    ready: memory.ready === true,
  };
  const read = readers[observation.source];
  if (!read) return { memory, evidence: [] };
  const { evidence, ...learnt } = read(before, observation);
  return { memory: { ...before, ...learnt }, evidence };
}

type Reading = Partial<CodexMemory> & { readonly evidence: readonly Evidence[] };

const readers: Partial<Record<EvidenceSource, (memory: CodexMemory, observation: Observation) => Reading>> = {
  hook: (memory, observation) => interpretHook(memory.calls, observation, dialect),
  osc7501: readStatus,
  title: readTitle,
  notification: readNotification,
  transcript: (_, observation) => ({ evidence: readRow(observation) }),
  screen: readScreen,
  process: (_, observation) => ({ evidence: interpretProcess(observation) }),
};

function readStatus(_: CodexMemory, observation: Observation): Reading {
  const evidence = interpretProgramStatus(observation, () => false);
  return evidence.length > 0 ? { told: true, ready: true, evidence } : { evidence };
}

/** `⠋ name` ten times a second at work, `[ ! ] Action Required | name` when it asks, the plain name at rest. */
function readTitle(memory: CodexMemory, observation: Observation): Reading {
  if (typeof observation.payload !== 'string') return { evidence: [] };
  const base = { source: 'title', at: observation.at } as const;
  if (/^[\u2801-\u28ff] /.test(observation.payload)) {
    return { spun: true, evidence: [{ ...base, state: 'working', reason: 'title spins' }] };
  }
  if (/^\[ [!.] \] Action Required\b/.test(observation.payload)) {
    return { spun: true, evidence: [{ ...base, state: 'permission', reason: 'title: Action Required' }] };
  }
  const state = memory.spun && !memory.told ? { state: 'idle' as const } : {};
  return { evidence: [{ ...base, ...state, reason: 'title is plain' }] };
}

/** Only with the user's own `[tui] notifications`. The other kind, the last message at the end of a turn, is free text. */
function readNotification(_: CodexMemory, observation: Observation): Reading {
  if (typeof observation.payload !== 'string' || !observation.payload.startsWith('Approval requested: '))
    return { evidence: [] };
  const at = observation.at;
  return {
    evidence: [{ source: 'notification', at, state: 'permission', reason: 'notification: approval requested' }],
  };
}

function readScreen(memory: CodexMemory, observation: Observation): Reading {
  if (!isScreen(observation.payload)) return { evidence: [] };
  const base = { source: 'screen', at: observation.at } as const;
  const seen = readCodexScreen(rowsOf(observation.payload));
  if (!seen) return { evidence: [{ ...base, reason: 'screen shows nothing known' }] };
  const state = seen.state ?? (memory.ready && (memory.told || memory.spun) ? undefined : 'idle');
  return {
    ready: memory.ready || state === 'idle',
    evidence: [
      {
        ...base,
        ...present<Pick<Evidence, 'state'>>({ state }),
        ...askedOn(seen, observation.at),
        reason: seen.reason,
      },
    ],
  };
}

/** Nothing but the dialog itself says what is asked. */
const askedOn = (seen: CodexScreen, at: number): Pick<Evidence, 'permission'> =>
  seen.asked === undefined ? {} : { permission: { id: `p${at}`, ...seen.asked } };

/** One row of `rollout-*.jsonl`: `{timestamp, type, payload}`. */
function readRow(observation: Observation): readonly Evidence[] {
  const row = fieldsOf(observation.payload);
  const payload = fieldsOf(row?.payload);
  if (!row || !payload) return [];
  const base = { source: 'transcript', at: rowTime(row, observation.at) } as const;
  if (row.type === 'session_meta') {
    const resumeId = textOf(payload.id, 200);
    return resumeId === undefined ? [] : [{ ...base, resumeId, reason: 'rollout: session' }];
  }
  const told =
    row.type === 'event_msg' ? readEvent(payload) : row.type === 'response_item' ? readItem(payload) : undefined;
  return told ? [{ ...base, ...told }] : [];
}

type Told = Omit<Evidence, 'source' | 'at'>;

function readEvent(payload: Fields): Told | undefined {
  switch (payload.type) {
    case 'task_started':
      return { state: 'working', turn: 'started', reason: 'rollout: turn started' };
    case 'user_message':
      return accepted(textOf(payload.message, 2000));
    case 'item_completed': {
      const item = fieldsOf(payload.item);
      if (item?.type !== 'UserMessage') return undefined;
      return accepted(
        textOf(
          listOf(item.content)
            .map((part) => textOf(fieldsOf(part)?.text, 2000) ?? '')
            .join(''),
          2000,
        ),
      );
    }
    case 'turn_aborted':
      return {
        state: 'idle',
        turn: 'interrupted',
        reason: `rollout: turn aborted, ${lineOf(payload.reason, 40) ?? ''}`,
      };
    case 'task_complete':
      return readComplete(payload);
    default:
      return undefined;
  }
}

const accepted = (text: string | undefined): Told | undefined =>
  text === undefined ? undefined : { state: 'working', turn: 'started', accepted: text, reason: 'rollout: prompt' };

function readComplete(payload: Fields): Told {
  const error = fieldsOf(payload.error);
  if (!error) {
    const message = textOf(payload.last_agent_message, 4000);
    return {
      state: 'done',
      turn: 'ended',
      ...(message === undefined ? {} : { message }),
      reason: 'rollout: turn complete',
    };
  }
  const text = textOf(error.message, 2000) ?? 'failed';
  const [word, status] = errorInfo(error.codex_error_info);
  const state = isPlanLimit(text) ? 'limited' : 'failed';
  return {
    state,
    turn: 'ended',
    error: turnError(word, text, status),
    reason: `rollout: turn failed ${word ?? ''}`.trim(),
  };
}

/** `"usage_limit_exceeded"` or `{"response_too_many_failed_attempts": {"http_status_code": 429}}`. */
function errorInfo(info: unknown): [string | undefined, number | undefined] {
  if (typeof info === 'string') return [lineOf(info, 80), undefined];
  const [entry] = Object.entries(fieldsOf(info) ?? {});
  return entry ? [lineOf(entry[0], 80), numberOf(fieldsOf(entry[1])?.http_status_code)] : [undefined, undefined];
}

/** Calls of the model: in code mode one `exec` may hold several commands, so that these are calls, not commands. */
function readItem(payload: Fields): Told | undefined {
  const id = textOf(payload.call_id, 200);
  if (id === undefined || typeof payload.type !== 'string') return undefined;
  if (payload.type.endsWith('_call')) {
    const name = lineOf(payload.name, 200) ?? payload.type;
    return { tool: { id, name, phase: 'started' }, reason: `rollout: call ${name}` };
  }
  if (payload.type.endsWith('_call_output')) {
    return { tool: { id, name: '', phase: 'ended' }, reason: 'rollout: call ended' };
  }
  return undefined;
}
