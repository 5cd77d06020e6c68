/**
 * One reader of the feed: first what is, then everything that happens, in order and without gaps. Events are read from the ledger, not
 * remembered here: a notice only says that there is more, so a slow reader costs no memory and a reader that comes back misses nothing.
 */
import type { WebSocket } from 'ws';
import { messageOf } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Ledger } from '../ledger/index.ts';
import type { FeedMessage } from '../protocol/feed.ts';
import type { AllSessions } from '../sessions/index.ts';

/** Unsent bytes at which a reader counts as fallen behind; it is closed with 4008 and may come back with its last number. */
const unsentBytesMax = 4 * 1024 * 1024;
const fellBehind = 4008;
/** Events read from the ledger in one go. */
const pageEvents = 500;

export interface FeedSources {
  readonly ledger: Ledger;
  readonly sessions: AllSessions;
  readonly version: string;
  readonly log: Log;
}

export function serveFeed(
  socket: WebSocket,
  after: number | undefined,
  { ledger, sessions, version, log }: FeedSources,
): void {
  const send = (message: FeedMessage): void => {
    if (socket.readyState !== socket.OPEN) return;
    if (socket.bufferedAmount > unsentBytesMax) socket.close(fellBehind, 'fell behind');
    else socket.send(JSON.stringify(message));
  };
  let sent = after ?? -1;
  let reading = false;
  let more = true;
  const pump = async (): Promise<void> => {
    more = true;
    if (reading) return;
    reading = true;
    try {
      while (more && socket.readyState === socket.OPEN) {
        more = false;
        const events = await ledger.events({ after: sent, limit: pageEvents });
        if (events.length === 0) break;
        const totals = await ledger.totals();
        for (const event of events) send({ type: 'event', event, totals });
        sent = events.at(-1)?.seq ?? sent;
        if (events.length === pageEvents) more = true;
      }
    } catch (error) {
      log.warn({ cause: messageOf(error) }, 'the feed could not read the ledger');
      socket.close(1011, 'the ledger could not be read');
    } finally {
      reading = false;
    }
  };
  const start = async (): Promise<void> => {
    const lastEvent = await ledger.lastSeq();
    if (after === undefined) sent = lastEvent;
    send({ type: 'hello', version, lastEvent, totals: await ledger.totals(), sessions: [...sessions.list()] });
    await pump();
  };
  const leave = [
    ledger.onEvent(() => void pump()),
    sessions.onView((session) => send({ type: 'session', session })),
    sessions.onReleased(({ id }) => send({ type: 'session-gone', sessionId: id })),
  ];
  socket.on('close', () => {
    for (const dispose of leave) dispose();
  });
  reading = true;
  void start()
    .catch((error: unknown) => {
      log.warn({ cause: messageOf(error) }, 'a feed could not be started');
      socket.close(1011, 'the feed could not be started');
    })
    .finally(() => {
      reading = false;
      void pump();
    });
}
