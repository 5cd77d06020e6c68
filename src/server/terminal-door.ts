/** One viewer of one session's terminal: the session's stream on the one side, a WebSocket on the other. */
import type { WebSocket } from 'ws';
import { Fault, messageOf } from '../base/fault.ts';
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
  const opening = sessions.openTerminal(session, {
    onMessage: say,
    onOutput: (bytes) => {
      if (socket.readyState === socket.OPEN) socket.send(bytes, { binary: true });
    },
  });
  // Heard from the first moment, followed in order once the terminal is there.
  let before: Promise<void> = Promise.resolve();
  socket.on('message', (raw, isBinary) => {
    const message = isBinary ? undefined : parse((raw as Buffer).toString('utf8'));
    before = before
      .then(async () => obey(await opening, message, mode))
      .catch((error: unknown) => say({ type: 'refused', reason: messageOf(error) }));
  });
  try {
    const terminal = await opening;
    if (terminal === undefined) return socket.close(noSuchSession, `no session ${session}`);
    socket.on('close', () => terminal.close());
    if (socket.readyState !== socket.OPEN) terminal.close();
  } catch (error) {
    log.warn({ session, cause: messageOf(error) }, 'a terminal could not be opened');
    socket.close(1011, messageOf(error).slice(0, 100));
  }
}

type Terminal = Awaited<ReturnType<Sessions['openTerminal']>>;

/** Throws what is then told as refused. */
async function obey(terminal: Terminal, message: ReturnType<typeof parse>, mode: 'view' | 'control'): Promise<void> {
  if (terminal === undefined) return;
  if (message === undefined) throw new Fault('BAD_REQUEST', 'a message of an unknown form');
  if (message.type === 'ack') return terminal.acknowledge(message.bytes);
  if (mode === 'view') throw new Fault('WRONG_STATE', 'this terminal was opened for viewing only');
  await (message.type === 'input' ? terminal.input(message.data) : terminal.resize(message.cols, message.rows));
}

function parse(text: string): ReturnType<typeof terminalFromClientSchema.parse> | undefined {
  try {
    return terminalFromClientSchema.parse(JSON.parse(text));
  } catch {
    // Whatever it was, it is told to be of an unknown form.
    return undefined;
  }
}
