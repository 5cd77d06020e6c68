/**
 * Which state may follow which, and what it takes. One table, read by `fuse` and `tick` only; what is not in it cannot happen.
 *
 * at-once  any source's claim does it; the state is too weak, or the news too grave, to wait for rank
 * ranked   a source of equal or higher rank at once, a lower one after its quiet time
 * edge     a source that itself had shown the state that is left, at once; any other after its quiet time (see SPEC [S5])
 * process  only the end of the process (or control, which speaks for it)
 * clock    only `tick`: silence is not a claim
 */
import { type SessionState, sessionStates } from '../protocol/state.ts';

export type Passage = 'at-once' | 'ranked' | 'edge' | 'process' | 'clock' | 'control';

type Row = Partial<Readonly<Record<SessionState, Passage>>>;

const ends: Row = { exited: 'process', crashed: 'process', unknown: 'control' };
const anywhere = (passage: Passage): Row =>
  Object.fromEntries(
    sessionStates
      .filter((state) => !['starting', 'stalled', 'unknown', 'exited', 'crashed'].includes(state))
      .map((state) => [state, passage]),
  );
const without = (row: Row, ...states: readonly SessionState[]): Row =>
  Object.fromEntries(Object.entries(row).filter(([state]) => !states.includes(state as SessionState)));

export const transitions: Readonly<Record<SessionState, Row>> = {
  starting: { ...anywhere('at-once'), ...ends },
  unknown: { ...anywhere('at-once'), ...ends },
  stalled: { ...anywhere('at-once'), ...ends },
  setup: { ...without(anywhere('at-once'), 'setup'), ...ends },
  idle: { ...without(anywhere('ranked'), 'idle'), ...ends },
  working: {
    ...without(anywhere('ranked'), 'working'),
    permission: 'at-once',
    question: 'at-once',
    retrying: 'at-once',
    limited: 'at-once',
    stalled: 'clock',
    ...ends,
  },
  retrying: {
    ...without(anywhere('ranked'), 'retrying'),
    working: 'edge',
    permission: 'at-once',
    question: 'at-once',
    limited: 'at-once',
    stalled: 'clock',
    ...ends,
  },
  permission: { ...without(anywhere('edge'), 'permission'), ...ends },
  question: { ...without(anywhere('edge'), 'question'), ...ends },
  /** A prompt is a prompt: `idle` after an end says nothing new, and the end is the better answer. */
  done: { ...without(anywhere('ranked'), 'done', 'idle'), ...ends },
  failed: { ...without(anywhere('ranked'), 'failed', 'idle'), limited: 'at-once', ...ends },
  limited: { ...without(anywhere('ranked'), 'limited', 'idle', 'done'), ...ends },
  exited: {},
  crashed: {},
};

/** A turn is running, whatever it waits for. */
export const turnStates: readonly SessionState[] = ['working', 'permission', 'question', 'retrying', 'stalled'];

/** At its prompt after a turn, or before the first. */
export const restStates: readonly SessionState[] = ['idle', 'done', 'failed', 'limited'];

export const finalStates: readonly SessionState[] = ['exited', 'crashed'];

/** Somebody has to do something. */
export const waitingStates: readonly SessionState[] = ['permission', 'question', 'setup', 'limited'];

/**
 * Claims that agree with a state though they name another one: a title that spins while the model call is retried, a session file
 * that says idle after a failure.
 */
export const compatibleClaims: Partial<Readonly<Record<SessionState, readonly SessionState[]>>> = {
  done: ['idle'],
  failed: ['idle', 'done'],
  limited: ['idle', 'done', 'failed'],
};
