/** What evidence adds to the facts apart from the state: tool calls, turns, errors, ids, and the record of what was heard. */
import type { Evidence, ToolCall } from '../protocol/state.ts';
import type { SessionFacts } from './facts.ts';
import { endOrderMs, evidenceKept, toolCallsKept } from './limits.ts';
import { restStates, turnStates } from './transitions.ts';

/** Keeps the last `max`. */
export const bounded = <T>(items: readonly T[], item: T, max: number): T[] => [...items.slice(-(max - 1)), item];

/** Counts a call once by its id, however many sources tell of it and in whatever order. */
export function countTool(tools: SessionFacts['tools'], call: ToolCall): SessionFacts['tools'] {
  const known = tools.calls.find((each) => each.id === call.id);
  const ended = known?.phase === 'ended' || call.phase === 'ended';
  const next = {
    id: call.id,
    name: call.name || known?.name || '',
    phase: ended ? 'ended' : call.phase === 'started' || known?.phase === 'started' ? 'started' : 'asked',
    ok: call.ok ?? known?.ok ?? null,
  } as const;
  const failedBefore = known?.phase === 'ended' && known.ok === false;
  return {
    asked: tools.asked + (known ? 0 : 1),
    ran: tools.ran + (ended && known?.phase !== 'ended' ? 1 : 0),
    failed: tools.failed + (ended && next.ok === false && !failedBefore ? 1 : 0),
    calls: known
      ? tools.calls.map((each) => (each.id === call.id ? next : each))
      : bounded(tools.calls, next, toolCallsKept),
  };
}

/**
 * Opens and closes turns. A turn opens when a source says so, or when the session is seen to leave its prompt; a second prompt
 * accepted while one runs is a turn of its own.
 */
export function followTurn(facts: SessionFacts, evidence: Evidence, changed: boolean): SessionFacts {
  const { turn } = facts;
  const runs = changed && turnStates.includes(facts.state);
  const rests = changed && restStates.includes(facts.state);
  if (evidence.turn === 'started' || (runs && !turn.open)) {
    if (!turn.open) return openTurn(facts, evidence);
    if (evidence.accepted === undefined) return facts;
    if (turn.accepted === null) return { ...facts, turn: { ...turn, accepted: evidence.accepted } };
    return turn.accepted === evidence.accepted && evidence.at <= (turn.startedAt ?? 0)
      ? facts
      : openTurn(facts, evidence);
  }
  if ((evidence.turn === 'ended' || evidence.turn === 'interrupted' || rests) && turn.open && isNews(turn, evidence)) {
    return { ...facts, turn: { ...turn, open: false, endedAt: evidence.at, end: endOf(facts, evidence) } };
  }
  if (!turn.open && turn.end !== null && evidence.turn === 'ended' && saysHowItEnded(turn, evidence)) {
    return { ...facts, turn: { ...turn, end: turn.end === 'failed' ? 'failed' : endOf(facts, evidence) } };
  }
  return facts;
}

function endOf(facts: SessionFacts, evidence: Evidence): NonNullable<SessionFacts['turn']['end']> {
  if (evidence.turn === 'interrupted') return 'interrupted';
  const state = evidence.state ?? facts.state;
  if (state === 'failed' || state === 'limited') return 'failed';
  return evidence.turn === 'ended' || state !== 'idle' ? 'ended' : 'interrupted';
}

/** A level source may show the prompt a moment before the event that says how the turn ended. */
const saysHowItEnded = (turn: SessionFacts['turn'], evidence: Evidence): boolean =>
  turn.endedAt !== null && Math.abs(evidence.at - turn.endedAt) <= endOrderMs;

const isNews = (turn: SessionFacts['turn'], evidence: Evidence): boolean => evidence.at >= (turn.startedAt ?? 0);

function openTurn(facts: SessionFacts, evidence: Evidence): SessionFacts {
  return {
    ...facts,
    turn: {
      number: facts.turn.number + 1,
      open: true,
      startedAt: evidence.at,
      accepted: evidence.accepted ?? null,
      endedAt: null,
      end: null,
    },
    error: null,
    message: null,
  };
}

/** Notes everything but the state. A claim that only repeats the last one of its source is not kept a second time. */
export function note(facts: SessionFacts, evidence: Evidence): SessionFacts {
  const repeats = isRepeat(facts.last[evidence.source], evidence);
  return {
    ...facts,
    tools: evidence.tool ? countTool(facts.tools, evidence.tool) : facts.tools,
    resumeId: evidence.resumeId ?? facts.resumeId,
    transcriptPath: evidence.transcriptPath ?? facts.transcriptPath,
    lastEvidenceAt: Math.max(facts.lastEvidenceAt, evidence.at),
    last: { ...facts.last, [evidence.source]: evidence },
    recent: repeats ? facts.recent : bounded(facts.recent, evidence, evidenceKept),
  };
}

/** Of an earlier life of the conversation only its name counts: its turns and calls were another process's. */
export const noteIds = (facts: SessionFacts, evidence: Evidence): SessionFacts => ({
  ...facts,
  resumeId: evidence.resumeId ?? facts.resumeId,
  transcriptPath: evidence.transcriptPath ?? facts.transcriptPath,
});

function isRepeat(last: Evidence | undefined, evidence: Evidence): boolean {
  if (!last) return false;
  return JSON.stringify({ ...last, at: 0 }) === JSON.stringify({ ...evidence, at: 0 });
}
