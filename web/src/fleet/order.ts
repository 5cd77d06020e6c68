/**
 * The order of the wall: who needs a person first (the longest waiting on top), then what runs, then what has ended, newest first. Running
 * sessions keep their places by age, so that a tile doesn't jump each time its state changes.
 */
import type { SessionView } from '../../../src/protocol/session.ts';
import { hasEnded, needsPerson } from '../parts/tones.ts';

export interface Wall {
  readonly waiting: readonly SessionView[];
  readonly running: readonly SessionView[];
  readonly ended: readonly SessionView[];
}

export function arrange(sessions: Iterable<SessionView>): Wall {
  const all = [...sessions];
  const byAge = (a: SessionView, b: SessionView): number => a.startedAt - b.startedAt || (a.id < b.id ? -1 : 1);
  return {
    waiting: all.filter((session) => needsPerson(session.state)).sort((a, b) => a.since - b.since || byAge(a, b)),
    running: all.filter((session) => !needsPerson(session.state) && !hasEnded(session.state)).sort(byAge),
    ended: all.filter((session) => hasEnded(session.state)).sort((a, b) => endOf(b) - endOf(a) || byAge(a, b)),
  };
}

const endOf = (session: SessionView): number => session.exit?.at ?? session.since;
