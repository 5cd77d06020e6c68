/**
 * One viewer of one session's terminal: a snapshot, then the output that follows it, within the viewer's credit. A viewer that is too
 * slow gets `gap` and a fresh snapshot; it never slows the session. An ended session shows its last screen.
 */
import { Fault, messageOf } from '../base/fault.ts';
import { randomToken } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { TerminalFromServer } from '../protocol/feed.ts';
import { type HostNotice, keysInputPrefix } from '../protocol/host.ts';
import type { HostLink } from './host-link.ts';
import { type LastScreen, readLastScreen } from './last-screen.ts';
import type { LiveSession } from './live-session.ts';

/** What may be under way to a viewer that has not said that it drew it. */
const creditBytes = 512 * 1024;

export interface TerminalViewer {
  readonly onMessage: (message: TerminalFromServer) => void;
  readonly onOutput: (bytes: Buffer) => void;
}

export interface TerminalStream {
  readonly acknowledge: (bytes: number) => void;
  readonly input: (data: string) => Promise<void>;
  readonly resize: (cols: number, rows: number) => Promise<void>;
  /** Notices of this session, handed on by the room. */
  readonly notice: (notice: HostNotice) => void;
  /** The connection to the host is gone; `resume` when there is one again. After a break that was announced, `resume` alone. */
  readonly lost: () => void;
  readonly resume: () => void;
  readonly close: () => void;
}

export async function openTerminalStream(
  session: LiveSession,
  host: HostLink,
  viewer: TerminalViewer,
  log: Log,
): Promise<TerminalStream> {
  const sessionId = session.record.id;
  let subscription: number | undefined;
  /** Offset of the next byte, and how many more the viewer may be sent. */
  let at = 0;
  let credit = creditBytes;
  let stopListening: () => void = () => undefined;
  let closed = false;

  const follow = async (): Promise<void> => {
    const snapshot = await host.call('snapshot', { sessionId });
    const subscribed = await host.call('subscribe', { sessionId, from: snapshot.offset, creditBytes });
    if (closed) return leave(subscribed.subscription);
    viewer.onMessage({
      type: 'snapshot',
      cols: snapshot.cols,
      rows: snapshot.rows,
      data: snapshot.data,
      offset: snapshot.offset,
    });
    credit = creditBytes;
    listen(subscribed);
  };
  const listen = ({ subscription: id, from }: { subscription: number; from: number }): void => {
    subscription = id;
    at = from;
    stopListening = host.onOutput(id, ({ offset, bytes }) => {
      at = offset + bytes.length;
      credit -= bytes.length;
      viewer.onOutput(bytes);
    });
  };
  /** The same host on another connection: what came meanwhile is still in its ring, or there is a fresh screen. */
  const goOn = async (): Promise<void> => {
    stopListening();
    subscription = undefined;
    const subscribed = await host.call('subscribe', { sessionId, from: at, creditBytes: Math.max(1, credit) });
    if (closed) return leave(subscribed.subscription);
    if (subscribed.from === at) return listen(subscribed);
    leave(subscribed.subscription);
    viewer.onMessage({ type: 'gap' });
    await show();
  };
  const leave = (id: number): void => {
    stopListening();
    host.call('unsubscribe', { subscription: id }).catch(() => undefined);
  };
  const showLast = (last: LastScreen | undefined): void => {
    if (last)
      viewer.onMessage({ type: 'snapshot', cols: last.cols, rows: last.rows, data: last.data, offset: last.offset });
    if (session.record.exit) viewer.onMessage({ type: 'exited', exit: session.record.exit });
  };

  const show = async (): Promise<void> => {
    if (session.ended) showLast(await readLastScreen(session.dir));
    else await follow();
  };
  const showAgain = (): void => {
    const shown = subscription === undefined || session.ended ? show() : goOn();
    shown.catch((error: unknown) =>
      log.warn({ session: sessionId, cause: messageOf(error) }, 'a viewer could not be given a fresh screen'),
    );
  };
  await show();

  return {
    acknowledge: (bytes) => {
      credit += Math.max(0, Math.floor(bytes));
      if (subscription !== undefined && bytes > 0)
        host.call('credit', { subscription, bytes: Math.floor(bytes) }).catch(() => undefined);
    },
    input: async (data) => {
      if (session.ended) throw new Fault('WRONG_STATE', 'The session has ended');
      session.noteTyping();
      await host.call('write', { sessionId, inputId: `${keysInputPrefix}${randomToken(16)}`, data });
    },
    resize: async (cols, rows) => {
      if (session.ended) return;
      await host.call('resize', { sessionId, cols, rows });
    },
    notice: (notice) => {
      if (notice.notice === 'gap' && notice.subscription === subscription) {
        viewer.onMessage({ type: 'gap' });
        leave(notice.subscription);
        subscription = undefined;
        showAgain();
      }
      if (notice.notice === 'resized' && notice.sessionId === sessionId)
        viewer.onMessage({ type: 'resized', cols: notice.cols, rows: notice.rows });
      if (notice.notice === 'exited' && notice.sessionId === sessionId)
        viewer.onMessage({ type: 'exited', exit: notice.exit });
    },
    lost: () => {
      // The number means nothing on the next connection, where it may be another viewer's.
      stopListening();
      subscription = undefined;
      viewer.onMessage({ type: 'gap' });
    },
    resume: showAgain,
    close: () => {
      closed = true;
      if (subscription !== undefined) leave(subscription);
    },
  };
}
