/**
 * `session attach`: a session's terminal in the person's terminal. Order: check that there is a terminal and a session → show how to leave →
 * connect, size it to ours, draw the snapshot → pass output through the filter and keys to the session until one of `Ending` → restore.
 * Leaving never ends the session.
 */
import { type RawData, WebSocket } from 'ws';
import { Fault, messageOf } from '../base/fault.ts';
import { oneLine } from '../base/text.ts';
import { type TerminalFromClient, type TerminalFromServer, terminalFromServerSchema } from '../protocol/feed.ts';
import type { SessionExit, SessionView } from '../protocol/session.ts';
import { type Client, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { type DetachKey, parseDetachKey } from './detach-key.ts';
import { type OwnTerminal, openOwnTerminal } from './own-terminal.ts';
import { exitText } from './render/session.ts';
import { terminalFilter } from './terminal-filter.ts';

export interface AttachOptions {
  readonly view?: boolean;
  readonly detachKey?: string;
}

type Ending =
  | { readonly kind: 'left' }
  | { readonly kind: 'session-ended'; readonly exit: SessionExit }
  | { readonly kind: 'no-session' }
  | { readonly kind: 'daemon-gone'; readonly reason: string }
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }
  /** The program left its alternate screen: what was under it must be fetched. */
  | { readonly kind: 'draw-anew' };

/** Long enough to read how to leave; a key ends it early. */
const bannerMs = 900;
const inputCharactersMax = 1_000_000;
const sizeMin = 2;
const sizeMax = 1000;
/** A snapshot with its scrollback is below 2 MB; output pieces are smaller. */
const messageBytesMax = 16 * 1024 * 1024;
/** The door closes with this where it knows no such session. */
const noSuchSession = 4004;

export async function attach(cli: Cli, id: string, options: AttachOptions): Promise<ExitCode> {
  const key = parseDetachKey(options.detachKey ?? 'ctrl-]');
  const client = await connect(cli.home);
  const { session } = await client.call('showSession', { params: { id } });
  if (session.exit) {
    throw new Fault('WRONG_STATE', `${session.id} has ended (${exitText(session.exit)})`, {
      subject: session.id,
      hint: `Its last lines: muster session tail ${session.id}`,
    });
  }
  const terminal = openOwnTerminal();
  let ending: Ending;
  try {
    ending = await show({ client, session, terminal, key, view: options.view === true });
  } finally {
    terminal.close();
  }
  return report(cli, session.id, ending);
}

interface Attachment {
  readonly client: Client;
  readonly session: SessionView;
  readonly terminal: OwnTerminal;
  readonly key: DetachKey;
  readonly view: boolean;
}

async function show(attachment: Attachment): Promise<Ending> {
  const { terminal, key, view } = attachment;
  const { promise: outside, resolve: end } = Promise.withResolvers<Ending>();
  const early: string[] = [];
  let send = (text: string): void => void early.push(text);
  const { promise: typed, resolve: keyPressed } = Promise.withResolvers<void>();
  terminal.onSignal((signal) => end({ kind: 'signal', signal }));
  terminal.onInput((text) => {
    keyPressed();
    const at = key.indexIn(text);
    if (!view && at !== 0) send(at < 0 ? text : text.slice(0, at));
    if (at >= 0) end({ kind: 'left' });
  });
  terminal.write(bannerLines(attachment).join('\r\n'));
  const timer = setTimeout(keyPressed, bannerMs);
  await Promise.race([typed, outside]);
  clearTimeout(timer);
  for (;;) {
    const ending = await oneConnection(attachment, outside, (sender) => {
      send = sender;
      for (const text of early.splice(0)) sender(text);
    });
    if (ending.kind !== 'draw-anew') return ending;
  }
}

function bannerLines({ terminal, session, key, view }: Attachment): readonly string[] {
  const [columns, rows] = [terminal.columns(), terminal.rows()];
  const otherSize = view && (columns !== session.cols || rows !== session.rows);
  return [
    `muster: ${session.id}, ${session.agent}, ${session.state}${view ? ', only looking' : ''}`,
    `${key.name} leaves it; the session goes on.`,
    ...(otherSize
      ? [`This terminal has ${columns}x${rows}, the session ${session.cols}x${session.rows}: lines may break.`]
      : []),
  ];
}

/** One WebSocket from its opening to an ending. */
async function oneConnection(
  { client, session, terminal, view }: Attachment,
  outside: Promise<Ending>,
  onReady: (send: (text: string) => void) => void,
): Promise<Ending> {
  const address = new URL(`/api/sessions/${session.id}/terminal?mode=${view ? 'view' : 'control'}`, client.url);
  address.protocol = 'ws:';
  const socket = new WebSocket(address, {
    headers: { authorization: `Bearer ${client.token}` },
    maxPayload: messageBytesMax,
    perMessageDeflate: false,
  });
  const say = (message: TerminalFromClient): void => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  };
  const resize = (): void => {
    if (!view) say({ type: 'resize', cols: bounded(terminal.columns()), rows: bounded(terminal.rows()) });
  };
  const forgetResize = terminal.onResize(resize);
  const { promise, resolve } = Promise.withResolvers<Ending>();
  // Not before the first snapshot: only then the other side surely listens.
  const onSnapshot = (): void => {
    resize();
    onReady((text) => {
      for (let at = 0; at < text.length; at += inputCharactersMax) {
        say({ type: 'input', data: text.slice(at, at + inputCharactersMax) });
      }
    });
  };
  const painter = openPainter(terminal, { say, end: resolve, onSnapshot });
  let reason = 'the connection was closed';
  socket.on('error', (error) => {
    reason = messageOf(error);
  });
  socket.on('close', (code) =>
    resolve(code === noSuchSession ? { kind: 'no-session' } : { kind: 'daemon-gone', reason: `${reason} (${code})` }),
  );
  socket.on('message', (raw: RawData, isBinary: boolean) => painter.take(bytesOf(raw), isBinary));
  try {
    return await Promise.race([promise, outside]);
  } finally {
    forgetResize();
    socket.terminate();
  }
}

const bounded = (size: number): number => Math.max(sizeMin, Math.min(sizeMax, size));

const bytesOf = (raw: RawData): Buffer => (Array.isArray(raw) ? Buffer.concat(raw) : Buffer.from(raw as Buffer));

interface PainterPorts {
  readonly say: (message: TerminalFromClient) => void;
  readonly end: (ending: Ending) => void;
  readonly onSnapshot: () => void;
}

/** Draws what the server sends; a snapshot begins anew. */
function openPainter(
  terminal: OwnTerminal,
  { say, end, onSnapshot }: PainterPorts,
): { readonly take: (bytes: Buffer, isBinary: boolean) => void } {
  let filter = terminalFilter();
  let decoder = new TextDecoder();
  const takeMessage = (message: TerminalFromServer): void => {
    if (message.type === 'snapshot') {
      filter = terminalFilter();
      decoder = new TextDecoder();
      terminal.write(`\u001b[0m\u001b[r\u001b[2J\u001b[H${filter.pass(message.data)}`);
      onSnapshot();
    } else if (message.type === 'exited') end({ kind: 'session-ended', exit: message.exit });
    else if (message.type === 'refused') terminal.write('\u0007');
  };
  return {
    take: (bytes, isBinary) => {
      if (!isBinary) {
        const checked = terminalFromServerSchema.safeParse(JSON.parse(bytes.toString('utf8')));
        if (checked.success) takeMessage(checked.data);
        return;
      }
      terminal.write(filter.pass(decoder.decode(bytes, { stream: true })), () =>
        say({ type: 'ack', bytes: bytes.length }),
      );
      if (filter.leftAlternate()) end({ kind: 'draw-anew' });
    },
  };
}

function report(cli: Cli, id: string, ending: Ending): ExitCode {
  switch (ending.kind) {
    case 'left':
      cli.note(`left ${id}; it goes on. Come back: muster session attach ${id}`);
      return 0;
    case 'session-ended':
      cli.note(`${id} ended: ${exitText(ending.exit)}`);
      return 0;
    case 'no-session':
      throw new Fault('NOT_FOUND', `No session ${id} any more`, { subject: id, hint: 'See: muster session list' });
    case 'daemon-gone':
      throw new Fault('DAEMON_DOWN', `The daemon went away (${oneLine(ending.reason, 200)}); the session lives on`, {
        hint: `muster up, then: muster session attach ${id}`,
      });
    case 'signal':
      cli.note(`left ${id} (${ending.signal}); it goes on`);
      return 130;
    case 'draw-anew':
      return 5;
  }
}
