/**
 * What Qwen Code's sources say: hooks, and its own event stream (`--json-file`), which alone tells of denials; the screen fills in.
 * Retries of a failing model call are shown by none of them: they look like work.
 */
import type { Evidence, EvidenceSource, Observation } from '../../protocol/state.ts';
import type { AgentMemory, Interpretation } from '../agent.ts';
import { type HookDialect, interpretHook, type RecentCall } from '../hooks.ts';
import { interpretProcess } from '../process.ts';
import { isScreen, rowsOf } from '../screen.ts';
import { readQwenScreen } from './screen.ts';

interface QwenMemory {
  readonly calls: readonly RecentCall[];
}

export const qwenMemory = (): AgentMemory => ({ calls: [] });

/** Unlike Claude's, PreToolUse comes when the call was allowed. */
const dialect: HookDialect = { preToolUse: 'started', questionTools: ['ask_user_question'] };

export function interpretQwen(memory: AgentMemory, observation: Observation): Interpretation {
  const before: QwenMemory = { calls: (memory.calls ?? []) as readonly RecentCall[] };
  if (observation.source === 'hook') {
    const { calls, evidence } = interpretHook(before.calls, observation, dialect);
    return { memory: { calls }, evidence };
  }
  return { memory, evidence: readers[observation.source]?.(observation) ?? [] };
}

const readers: Partial<Record<EvidenceSource, (observation: Observation) => readonly Evidence[]>> = {
  screen: readScreen,
  process: interpretProcess,
};

function readScreen(observation: Observation): readonly Evidence[] {
  if (!isScreen(observation.payload)) return [];
  const base = { source: 'screen', at: observation.at } as const;
  const seen = readQwenScreen(rowsOf(observation.payload));
  if (!seen) return [{ ...base, reason: 'screen shows nothing known' }];
  const permission = seen.asked === undefined ? {} : { permission: { id: `p${observation.at}`, ...seen.asked } };
  return [{ ...base, state: seen.state, reason: seen.reason, ...permission }];
}
