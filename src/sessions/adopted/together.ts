/** One face for all sessions: our own and the adopted ones, each request to the room that has the session. */
import { Fault } from '../../base/fault.ts';
import type { SessionId } from '../../base/ids.ts';
import type { SessionView } from '../../protocol/session.ts';
import type { Sessions } from '../sessions.ts';
import type { Adopted, AdoptRequest } from './adopted.ts';

export interface AllSessions extends Omit<Sessions, 'end'> {
  /** An adopted session is ended with `force` only. */
  readonly end: (id: SessionId, how: { graceMs: number; force?: boolean }) => Promise<void>;
  readonly adopt: (request: AdoptRequest) => Promise<{ session: SessionView; already: boolean }>;
  readonly release: (id: SessionId) => Promise<SessionView>;
  readonly onReleased: Adopted['onReleased'];
  readonly tree: Adopted['tree'];
}

export function together(own: Sessions, adopted: Adopted): AllSessions {
  return {
    ...own,
    list: () => [...own.list(), ...adopted.list()],
    get: (id) => own.get(id) ?? adopted.get(id),
    why: (id) => own.why(id) ?? adopted.why(id),
    deliver: (id, input) => (adopted.has(id) ? adopted : own).deliver(id, input),
    send: (id, input) => (adopted.has(id) ? adopted.deliver(id, input) : own.send(id, input)),
    answer: (id, answer) => (adopted.has(id) ? adopted : own).answer(id, answer),
    interrupt: (id) => (adopted.has(id) ? adopted : own).interrupt(id),
    end: (id, how) =>
      adopted.has(id) ? adopted.end(id, { graceMs: how.graceMs, force: how.force === true }) : own.end(id, how),
    tail: (id, lines) => (adopted.has(id) ? adopted : own).tail(id, lines),
    openTerminal: (id, viewer) => (adopted.has(id) ? adopted : own).openTerminal(id, viewer),
    onView: (listener) => both(own.onView(listener), adopted.onView(listener)),
    adopt: adopted.adopt,
    release: async (id) => {
      if (own.get(id))
        throw new Fault('WRONG_STATE', `${id} was started by Muster, so there is nobody to give it back to`, {
          subject: id,
          hint: '`muster session stop` ends it.',
        });
      return adopted.release(id);
    },
    onReleased: adopted.onReleased,
    tree: adopted.tree,
  };
}

const both = (first: () => void, second: () => void) => (): void => {
  first();
  second();
};
