/**
 * Evidence in, state out. Pure: the same facts and evidence always give the same answer, and `now` is an argument.
 *
 * Order of the parts: `fuse` (one piece of evidence) → `judge` (what it may do to the state: SPEC.md has the rules) → `settle`
 * (the change itself). `tick` does what only time does: a pending claim that has stood its quiet time, an end that is no longer
 * provisional, silence. Invariants: a final state never changes; a change is always in the table of transitions.ts; the evidence
 * of a change is the evidence that was given, never an invented one, except for silence, which is our own observation.
 */
import { unreachable } from '../base/assert.ts';
import type { StateChange } from '../protocol/session.ts';
import type { Evidence, EvidenceSource, PermissionAsk, SessionState } from '../protocol/state.ts';
import type { PendingClaim, SessionFacts } from './facts.ts';
import {
  afterEndMs,
  againstLevelMs,
  changesKept,
  provisionalMs,
  quietMs,
  retryQuietMs,
  stalledMs,
  startFlickerMs,
} from './limits.ts';
import { bounded, followTurn, note, noteIds } from './note.ts';
import { sourceRanks } from './ranks.ts';
import { compatibleClaims, finalStates, restStates, transitions } from './transitions.ts';

export interface Fused {
  readonly facts: SessionFacts;
  readonly change: StateChange | undefined;
}

/** What a claim may do: change the state now, after a quiet time, agree with it, or nothing. */
type Verdict =
  | { readonly kind: 'change' }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'confirm' }
  | { readonly kind: 'ignore' };

const change: Verdict = { kind: 'change' };
const confirm: Verdict = { kind: 'confirm' };
const ignore: Verdict = { kind: 'ignore' };
const wait = (ms: number): Verdict => ({ kind: 'wait', ms });

/** Sources that always show how it is now, as against those that tell what happened. */
const levelSources: readonly EvidenceSource[] = ['sessionFile', 'osc7501', 'title', 'screen'];

export function fuse(facts: SessionFacts, evidence: Evidence): Fused {
  if (evidence.at < facts.launchedAt) return { facts: noteIds(facts, evidence), change: undefined };
  if (finalStates.includes(facts.state)) return { facts: note(facts, evidence), change: undefined };
  const verdict = judge(facts, evidence);
  const noted = hastenPending(addTurnFacts(note(facts, evidence), evidence), evidence.at);
  if (evidence.state === undefined) {
    const retracted = levelSources.includes(evidence.source) ? dropPending(noted, evidence.source) : noted;
    return { facts: followTurn(retracted, evidence, false), change: undefined };
  }
  switch (verdict.kind) {
    case 'change':
      return settle(noted, evidence);
    case 'wait':
      return { facts: followTurn(pend(noted, evidence, verdict.ms), evidence, false), change: undefined };
    case 'confirm':
      return { facts: followTurn(confirmed(noted, evidence), evidence, false), change: undefined };
    case 'ignore':
      return { facts: followTurn(noted, evidence, false), change: undefined };
    default:
      return unreachable(verdict);
  }
}

/** What time alone does. Call it at `nextTickAt` or later; earlier it does nothing. */
export function tick(facts: SessionFacts, now: number): Fused {
  if (finalStates.includes(facts.state)) return { facts, change: undefined };
  if (facts.pending && now >= facts.pending.dueAt) return settle(facts, facts.pending.evidence, facts.pending.dueAt);
  const settled =
    facts.provisionalUntil !== null && now >= facts.provisionalUntil ? { ...facts, provisionalUntil: null } : facts;
  if (mayStall(settled) && now >= settled.lastEvidenceAt + stalledMs) {
    const seconds = Math.round(stalledMs / 1000);
    const silence: Evidence = {
      source: 'control',
      at: now,
      state: 'stalled',
      reason: `nothing heard for ${seconds} s`,
    };
    return settle(settled, silence);
  }
  return { facts: settled, change: undefined };
}

/** When `tick` may next have something to do; undefined: only evidence can change these facts. */
export function nextTickAt(facts: SessionFacts): number | undefined {
  if (finalStates.includes(facts.state)) return undefined;
  const times = [facts.pending?.dueAt, facts.provisionalUntil ?? undefined].filter((at) => at !== undefined);
  if (mayStall(facts)) times.push(facts.lastEvidenceAt + stalledMs);
  return times.length > 0 ? Math.min(...times) : undefined;
}

/** The control plane was away: what it last knew is no longer known. A final state stays. */
export function unknownAfterRestart(facts: SessionFacts, at: number): Fused {
  if (finalStates.includes(facts.state) || facts.state === 'unknown') return { facts, change: undefined };
  const evidence: Evidence = { source: 'control', at, state: 'unknown', reason: 'control plane restarted' };
  const fused = settle(facts, evidence);
  return { ...fused, facts: { ...fused.facts, last: {}, lastEvidenceAt: facts.lastEvidenceAt } };
}

/** The last turn has ended, and its end can no longer be overruled. */
export const isSettled = (facts: SessionFacts): boolean => !facts.turn.open && facts.provisionalUntil === null;

const mayStall = (facts: SessionFacts): boolean => transitions[facts.state].stalled === 'clock';

function judge(facts: SessionFacts, evidence: Evidence): Verdict {
  const to = evidence.state;
  if (to === undefined) return ignore;
  if (to === facts.state || compatibleClaims[facts.state]?.includes(to))
    return isOld(facts, evidence) ? ignore : confirm;
  const passage = transitions[facts.state][to];
  if (passage === undefined || passage === 'clock') return ignore;
  if (passage === 'process') return sourceRanks[evidence.source] === 1 ? change : ignore;
  if (passage === 'control') return evidence.source === 'control' ? change : ignore;
  if (isOld(facts, evidence)) return ignore;
  if (isFlicker(facts, evidence)) return wait(startFlickerMs);
  if (passage === 'at-once') return opensAtOnce(evidence, to) ? change : wait(quietMs[evidence.source]);
  if (passage === 'edge') return judgeLeaving(facts, evidence);
  if (overrulesEnd(facts, evidence, to)) return change;
  return sourceRanks[evidence.source] <= sourceRanks[facts.holder.source]
    ? change
    : wait(quietFor(facts, evidence.source));
}

/** [S3] Longer while a more trusted source that always shows how it is now still shows the state. */
function quietFor(facts: SessionFacts, source: EvidenceSource): number {
  const shown = levelSources.some((each) => {
    const claim = each === source ? undefined : facts.last[each]?.state;
    return claim === facts.state && sourceRanks[each] < sourceRanks[source];
  });
  if (shown) return againstLevelMs;
  const ended = facts.turn.end !== null && restStates.includes(facts.state);
  return ended && sourceRanks[source] >= sourceRanks.title ? afterEndMs : quietMs[source];
}

/** [S6] News older than what made the state is history. After a restart anything not yet folded is news. */
function isOld(facts: SessionFacts, evidence: Evidence): boolean {
  const against = facts.state === 'unknown' ? facts.lastEvidenceAt : facts.evidence.at;
  return evidence.at < against;
}

/** [S10] */
function isFlicker(facts: SessionFacts, evidence: Evidence): boolean {
  // Turns of a process before this one, in a conversation that is gone on with, do not count.
  const { number, startedAt } = facts.turn;
  const hasTurned = number > 0 && (startedAt === null || startedAt >= facts.launchedAt);
  if (hasTurned || evidence.turn === 'started' || evidence.state !== 'working') return false;
  return sourceRanks[evidence.source] >= sourceRanks.osc7501;
}

/** [S4] A screen may still show the dialog that was just closed, or a prompt before the first dialog: there it must stand by it. */
const needsStanding: readonly SessionState[] = ['permission', 'question', 'limited', 'idle'];

const opensAtOnce = (evidence: Evidence, to: SessionState): boolean =>
  sourceRanks[evidence.source] <= sourceRanks.title || !needsStanding.includes(to);

/** [S5] */
function judgeLeaving(facts: SessionFacts, evidence: Evidence): Verdict {
  if (facts.state === 'retrying') {
    if (facts.claimedBy.includes(evidence.source)) return wait(retryQuietMs);
    return evidence.source === 'hook' || sourceRanks[evidence.source] < sourceRanks.hook ? change : confirm;
  }
  if (evidence.source === 'hook') return hookCloses(facts, evidence) ? change : ignore;
  if (sourceRanks[evidence.source] < sourceRanks.hook) return change;
  return facts.claimedBy.includes(evidence.source) ? change : wait(quietFor(facts, evidence.source));
}

/** Hooks of other calls go on while one waits; only its answer, the end of this call or of the turn, or a new prompt say that it is closed. */
function hookCloses(facts: SessionFacts, evidence: Evidence): boolean {
  if (evidence.turn !== undefined) return true;
  if (evidence.permission !== undefined && evidence.permission.id === facts.permission?.id) return true;
  const { tool } = evidence;
  if (tool === undefined || tool.phase === 'asked') return false;
  const open = facts.permission;
  if (open === null || open.tool === '') return true;
  return open.callId === undefined ? tool.name === open.tool : tool.id === open.callId;
}

/** [S7] */
const overrulesEnd = (facts: SessionFacts, evidence: Evidence, to: SessionState): boolean =>
  facts.provisionalUntil !== null &&
  evidence.at <= facts.provisionalUntil &&
  (to === 'failed' || to === 'retrying' || to === 'limited');

/** Holds the claim back; one that stands already keeps its first time. */
function pend(facts: SessionFacts, evidence: Evidence, ms: number): SessionFacts {
  const pending = facts.pending;
  if (pending && pending.evidence.source === evidence.source && pending.evidence.state === evidence.state) return facts;
  if (pending && pending.evidence.state === evidence.state && pending.dueAt <= evidence.at + ms) return facts;
  return { ...facts, pending: { evidence, since: evidence.at, dueAt: evidence.at + ms } };
}

/** The state was claimed again. A claim against it starts its quiet time anew, if what confirms is as trusted as the holder and it. */
function confirmed(facts: SessionFacts, evidence: Evidence): SessionFacts {
  const same = evidence.state === facts.state;
  const higher = same && sourceRanks[evidence.source] <= sourceRanks[facts.holder.source];
  const dropped = dropPending(facts, evidence.source);
  const outranked = dropped.pending && sourceRanks[evidence.source] <= sourceRanks[dropped.pending.evidence.source];
  return {
    ...dropped,
    holder: higher ? { source: evidence.source, at: evidence.at } : facts.holder,
    claimedBy: same ? claimed(facts.claimedBy, evidence.source) : facts.claimedBy,
    pending: higher && dropped.pending && outranked ? restarted(dropped.pending, evidence.at) : dropped.pending,
    permission: facts.state === 'permission' ? richer(facts.permission, evidence) : facts.permission,
  };
}

/** What stood against the claim, a more trusted source that showed the state, shows it no more: the usual quiet time is enough. */
function hastenPending(facts: SessionFacts, at: number): SessionFacts {
  const { pending } = facts;
  if (!pending || pending.dueAt - pending.since < againstLevelMs) return facts;
  const ms = quietFor(facts, pending.evidence.source);
  if (ms >= againstLevelMs) return facts;
  return { ...facts, pending: { ...pending, dueAt: Math.max(at, pending.since + ms) } };
}

const restarted = (pending: PendingClaim, at: number): PendingClaim => ({
  ...pending,
  since: at,
  dueAt: at + (pending.dueAt - pending.since),
});

const claimed = (sources: readonly EvidenceSource[], source: EvidenceSource): EvidenceSource[] =>
  sources.includes(source) ? [...sources] : [...sources, source];

/** A source that now claims something else no longer stands by what it claimed before. */
const dropPending = (facts: SessionFacts, source: EvidenceSource): SessionFacts =>
  facts.pending?.evidence.source === source ? { ...facts, pending: null } : facts;

/**
 * What is asked, as the source that knows most tells it: a hook names the call, a status line only that there is one. The id by which it
 * is answered stays, except that a hook's own is the one that its answer must bear.
 */
function richer(known: PermissionAsk | null, evidence: Evidence): PermissionAsk | null {
  const told = evidence.permission;
  if (!told) return known;
  if (!known) return asked(evidence, told);
  if (isAnother(known, told, evidence))
    return asked(evidence, told.id === known.id ? { ...told, id: `p${evidence.at}` } : told);
  if (known.tool !== '' || told.tool === '') return known;
  return asked(evidence, evidence.source === 'hook' ? told : { ...told, id: known.id });
}

const asked = (evidence: Evidence, told: PermissionAsk): PermissionAsk => ({ ...told, by: evidence.source });

/**
 * [S16] One dialog can follow the other without a moment between them. An answer meant for the first must not be given to the second, so
 * another call, another asking hook, or other words of the same source are another question.
 */
function isAnother(known: PermissionAsk, told: PermissionAsk, { source }: Evidence): boolean {
  if (known.callId !== undefined && told.callId !== undefined) return known.callId !== told.callId;
  if (known.by !== source || told.tool === '' || known.tool === '') return false;
  return source === 'hook' ? known.id !== told.id : known.tool !== told.tool || known.summary !== told.summary;
}

/** Errors and last words belong to the turn, whether or not the claim changes the state. */
function addTurnFacts(facts: SessionFacts, evidence: Evidence): SessionFacts {
  if (evidence.at < (facts.turn.startedAt ?? facts.launchedAt)) return facts;
  const error = evidence.error === undefined ? facts.error : { ...facts.error, ...evidence.error };
  const permission = facts.state === 'permission' ? richer(facts.permission, evidence) : facts.permission;
  return { ...facts, error, message: evidence.message ?? facts.message, permission };
}

/** Changes the state. `at` differs from the evidence's time where a claim had to wait. */
function settle(facts: SessionFacts, evidence: Evidence, at: number = evidence.at): Fused {
  const to = evidence.state ?? facts.state;
  const when = Math.max(at, facts.since);
  const made: StateChange = { from: facts.state, to, at: when, evidence };
  const next: SessionFacts = {
    ...facts,
    state: to,
    since: when,
    evidence,
    holder: { source: evidence.source, at: when },
    claimedBy: [evidence.source],
    provisionalUntil: evidence.provisional === true ? when + provisionalMs : null,
    pending: null,
    permission:
      to === 'permission' ? asked(evidence, evidence.permission ?? { id: `p${when}`, tool: '', summary: '' }) : null,
    changes: bounded(facts.changes, made, changesKept),
  };
  return { facts: keepTurnFacts(followTurn(next, evidence, true), facts, evidence), change: made };
}

/** A turn that this very evidence opened begins without the last one's error and words, but keeps its own. */
function keepTurnFacts(next: SessionFacts, before: SessionFacts, evidence: Evidence): SessionFacts {
  if (next.turn.number === before.turn.number) return next;
  return { ...next, error: evidence.error ?? null, message: evidence.message ?? null };
}
