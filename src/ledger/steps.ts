/**
 * A step is one transaction: the new state and the events that tell of it, or nothing ([L2]). Steps run one after the other in the order in
 * which they were asked for; the events of a step are published when it is committed and before the next one begins, so that listeners
 * hear every event once, in the order of its number ([L17]).
 */
import type { Kysely, Transaction } from 'kysely';
import type { Clock } from '../base/clock.ts';
import { type Emitter } from '../base/disposal.ts';
import { Fault } from '../base/fault.ts';
import type { LedgerEvent } from '../protocol/job.ts';
import { appendEvent, type EventOf } from './events.ts';
import type { LedgerSchema } from './schema.ts';

/** What a step writes with. */
export interface StepWriter {
  readonly db: Transaction<LedgerSchema>;
  readonly at: number;
  readonly append: (event: EventOf) => Promise<LedgerEvent>;
}

export interface Steps {
  readonly run: <T>(write: (writer: StepWriter) => Promise<T>) => Promise<T>;
  /** Resolves when every step asked for so far is over; steps asked for later are refused. */
  readonly close: () => Promise<void>;
}

/** Steps that may wait at once. Each is under a millisecond, so this is seconds of backlog: a loop has gone wild, and is told so. */
const waitingMax = 10_000;

export function openSteps(db: Kysely<LedgerSchema>, now: Clock, published: Emitter<LedgerEvent>): Steps {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  let closed = false;

  const transact = async <T>(write: (writer: StepWriter) => Promise<T>): Promise<T> => {
    const events: LedgerEvent[] = [];
    const value = await db.transaction().execute((trx) => {
      const at = now();
      return write({
        db: trx,
        at,
        append: async (event) => {
          const appended = await appendEvent(trx, at, event);
          events.push(appended);
          return appended;
        },
      });
    });
    for (const event of events) published.emit(event);
    return value;
  };

  return {
    run: async (write) => {
      if (closed)
        throw new Fault('WRONG_STATE', 'The ledger is closed', { hint: 'The daemon is stopping; ask again later.' });
      if (waiting >= waitingMax) throw new Fault('LEDGER_BUSY', `${waiting} steps wait for the ledger already`);
      waiting += 1;
      const mine = last.then(() => transact(write)).finally(() => void (waiting -= 1));
      // The chain goes on after a step that failed; its caller has the error.
      last = mine.catch(() => undefined);
      return mine;
    },
    close: async () => {
      closed = true;
      await last;
    },
  };
}
