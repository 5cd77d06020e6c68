/** One viewer of one session's terminal: the session's stream on the one side, a WebSocket on the other. */
import type { WebSocket } from 'ws';
import { messageOf } from '../base/fault.ts';
import type { SessionId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { type TerminalFromServer, terminalFromClientSchema } from '../protocol/feed.ts';
import type { Sessions } from '../sessions/index.ts';

const noSuchSession = 4004;

export async function serveTerminal(
  socket: WebSocket,
  session: SessionId,
  mode: 'view' | 'control',
  { sessions, log }: { sessions: Sessions; log: Log },
): Promise<void> {
  const say = (message: TerminalFromServer): void => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
  };
  try {
    const terminal = await sessions.openTerminal(session, {
      onMessage: say,
      onOutput: (bytes) => {
        if (socket.readyState === socket.OPEN) socket.send(bytes, { binary: true });
      },
    });
    if (terminal === undefined) {
      socket.close(noSuchSession, `no session ${session}`);
      return;
    }
    socket.on('close', () => terminal.close());
    if (socket.readyState !== socket.OPEN) terminal.close();
    socket.on('message', (raw, isBinary) => {
      const message = isBinary ? undefined : parse((raw as Buffer).toString('utf8'));
      if (message === undefined) return say({ type: 'refused', reason: 'a message of an unknown form' });
      if (message.type === 'ack') return terminal.acknowledge(message.bytes);
      if (mode === 'view') return say({ type: 'refused', reason: 'this terminal was opened for viewing only' });
      const done =
        message.type === 'input' ? terminal.input(message.data) : terminal.resize(message.cols, message.rows);
      done.catch((error: unknown) => say({ type: 'refused', reason: messageOf(error) }));
    });
  } catch (error) {
    log.warn({ session, cause: messageOf(error) }, 'a terminal could not be opened');
    socket.close(1011, messageOf(error).slice(0, 100));
  }
}

function parse(text: string): ReturnType<typeof terminalFromClientSchema.parse> | undefined {
  try {
    return terminalFromClientSchema.parse(JSON.parse(text));
  } catch {
    // Whatever it was, it is told to be of an unknown form.
    return undefined;
  }
}
