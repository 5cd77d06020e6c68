/**
 * What Claude Code's sources say. Hooks tell what happened and leave out denial, interrupt and retries; the session file and
 * OSC 7501 tell how it is now; the screen alone shows retries. Undocumented parts (the session file) are one vote, never the only one.
 */
import type { Evidence, EvidenceSource, Observation } from '../../protocol/state.ts';
import type { AgentMemory, Interpretation } from '../agent.ts';
import { isPlanLimit, turnError } from '../errors.ts';
import { type HookDialect, interpretHook, type RecentCall } from '../hooks.ts';
import { interpretProcess } from '../process.ts';
import { interpretProgramStatus } from '../program-status.ts';
import { fieldsOf, lineOf, listOf, rowTime, textOf } from '../reading.ts';
import { isScreen, rowsOf } from '../screen.ts';
import { readClaudeScreen } from './screen.ts';

interface ClaudeMemory {
  readonly calls: readonly RecentCall[];
  /** A prompt was accepted: from then on a request to log in is a failed turn, not the set-up. */
  readonly prompted: boolean;
}

export const claudeMemory = (): AgentMemory => ({ calls: [], prompted: false });

const dialect: HookDialect = { preToolUse: 'asked', questionTools: ['AskUserQuestion'] };

export function interpretClaude(memory: AgentMemory, observation: Observation): Interpretation {
  const before: ClaudeMemory = {
    calls: (memory.calls ?? []) as readonly RecentCall[],
    prompted: memory.prompted === true,
  };
  if (observation.source === 'hook') {
    const { calls, evidence } = interpretHook(before.calls, observation, dialect);
    const prompted = before.prompted || evidence.some((each) => each.accepted !== undefined);
    return { memory: { calls, prompted }, evidence };
  }
  return { memory, evidence: levels[observation.source]?.(before, observation) ?? [] };
}

const levels: Partial<Record<EvidenceSource, (memory: ClaudeMemory, observation: Observation) => readonly Evidence[]>> =
  {
    sessionFile: (_, observation) => interpretSessionFile(observation),
    osc7501: interpretStatus,
    title: (_, observation) => interpretTitle(observation),
    transcript: (_, observation) => interpretRow(observation),
    screen: (_, observation) => interpretScreen(observation),
    process: (_, observation) => interpretProcess(observation),
  };

function interpretStatus(memory: ClaudeMemory, observation: Observation): readonly Evidence[] {
  const told = interpretProgramStatus(observation, (status) => /\btrust this folder\b/i.test(status.message));
  if (!memory.prompted) return told;
  return told.map((each) =>
    each.reason === '7501 blocked auth'
      ? { ...each, state: 'failed', turn: 'ended', error: turnError('authentication_failed', 'asked to log in again') }
      : each,
  );
}

/** `{status: busy|idle|waiting, waitingFor}`: observed in 2.1.197 and 2.1.328, not documented. */
function interpretSessionFile(observation: Observation): readonly Evidence[] {
  const file = fieldsOf(observation.payload);
  const status = lineOf(file?.status, 20);
  if (!file || status === undefined) return [];
  const waitsFor = lineOf(file.waitingFor, 60);
  const resumeId = textOf(file.sessionId, 200);
  const base = {
    source: 'sessionFile',
    at: observation.at,
    reason: `session file ${status}${waitsFor === undefined ? '' : `, ${waitsFor}`}`,
    ...(resumeId === undefined ? {} : { resumeId }),
  } as const;
  if (status === 'busy') return [{ ...base, state: 'working' }];
  if (status === 'idle') return [{ ...base, state: 'idle' }];
  if (status !== 'waiting') return [];
  if (waitsFor === undefined || /permission|approv|plan|sandbox|worker/i.test(waitsFor))
    return [{ ...base, state: 'permission' }];
  return [{ ...base, state: 'question' }];
}

/** While it works and nobody answered its 7501 query, a turning glyph; at rest and in dialogs alike ✳, which says nothing. */
function interpretTitle(observation: Observation): readonly Evidence[] {
  if (typeof observation.payload !== 'string') return [];
  const base = { source: 'title', at: observation.at } as const;
  if (/^[◐◑◒◓\u2801-\u28ff] /.test(observation.payload)) return [{ ...base, state: 'working', reason: 'title spins' }];
  return observation.payload.startsWith('✳') ? [{ ...base, reason: 'title is still' }] : [];
}

function interpretScreen(observation: Observation): readonly Evidence[] {
  if (!isScreen(observation.payload)) return [];
  const seen = readClaudeScreen(rowsOf(observation.payload));
  return [{ source: 'screen', at: observation.at, ...(seen ?? { reason: 'screen shows nothing known' }) }];
}

/** A row of the conversation's file: good for how a turn ended; it has no permission and no retry. */
function interpretRow(observation: Observation): readonly Evidence[] {
  const row = fieldsOf(observation.payload);
  const message = fieldsOf(row?.message);
  if (!row || !message || row.isSidechain === true) return [];
  const base = { source: 'transcript', at: rowTime(row, observation.at) } as const;
  const texts = typeof message.content === 'string' ? [message.content] : listOf(message.content).map(blockText);
  if (row.isApiErrorMessage === true) {
    const text = texts.join(' ');
    const error = turnError(lineOf(row.error, 80), text);
    return [
      {
        ...base,
        state: isPlanLimit(text) ? 'limited' : 'failed',
        turn: 'ended',
        error,
        reason: 'transcript: API error',
      },
    ];
  }
  if (row.type === 'user' && texts.some((text) => text.startsWith('[Request interrupted by user'))) {
    return [{ ...base, state: 'idle', turn: 'interrupted', reason: 'transcript: interrupted by user' }];
  }
  return [];
}

const blockText = (block: unknown): string => textOf(fieldsOf(block)?.text, 2000) ?? '';
