/**
 * The person's tmux servers, asked and never changed: one short-lived client per question, no attached client, no control mode, no pipe
 * (docs/adr/0016). Order of the parts: finding servers, reading panes, typing into one.
 *
 * Invariants: only `typeInto` writes, and only into a pane that is still the one that was meant: the server itself compares the pane's
 * process and mode in the same moment (`if-shell -F`), so that nothing can come in between. No option, hook, key table, window size or
 * lasting buffer is ever touched. A client is told not to start a server.
 */
import { lstat, readdir, rm, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { randomToken } from '../base/ids.ts';
import { oneLine } from '../base/text.ts';
import { askProgram, findProgram, type ProgramAnswer } from './ask-program.ts';

export interface TmuxOptions {
  /** Program, or a name to look up; by default `tmux`. */
  readonly program: string | undefined;
  /** PATH, HOME, TMUX_TMPDIR and the locale are used. */
  readonly env: NodeJS.ProcessEnv;
}

export interface TmuxPane {
  readonly socket: string;
  readonly serverPid: number;
  /** `%3`: unique for the life of the server. */
  readonly id: string;
  /** The pane's first process, a shell as a rule. */
  readonly pid: number;
  readonly tty: string;
  readonly session: { readonly id: string; readonly name: string; readonly attached: boolean };
  readonly window: { readonly id: string; readonly index: number; readonly name: string; readonly active: boolean };
  readonly index: number;
  readonly active: boolean;
  readonly command: string;
  readonly cwd: string;
  readonly title: string;
  readonly cols: number;
  readonly rows: number;
  readonly cursor: { readonly x: number; readonly y: number };
  readonly alternate: boolean;
  /** Copy mode, or another in which keys go to tmux. */
  readonly mode: string;
  readonly dead: boolean;
  /** Exit code of a dead pane that stays (`remain-on-exit`). */
  readonly deadStatus: number | null;
  readonly deadSignal: number | null;
  readonly inputOff: boolean;
  readonly synchronized: boolean;
}

export type TmuxAnswer<T> =
  | { readonly kind: 'answered'; readonly value: T }
  /** There is no server behind this socket, so its panes are gone. */
  | { readonly kind: 'no-server'; readonly reason: string }
  /** It may well live: it did not answer in time, or speaks another version. */
  | { readonly kind: 'unreachable'; readonly reason: string };

export interface Tmux {
  /** Sockets of this user's servers in the usual folder. */
  readonly sockets: () => Promise<readonly string[]>;
  /** `work`, `/tmp/x/sock` or empty (`default`) as a path. */
  readonly socketPath: (name: string) => string;
  readonly panes: (socket: string) => Promise<TmuxAnswer<readonly TmuxPane[]>>;
  /** All panes, and the visible rows of those named, in one question. With `styled` the rows carry their colours as SGR sequences. */
  readonly look: (
    socket: string,
    paneIds: readonly string[],
    styled: boolean,
  ) => Promise<TmuxAnswer<{ readonly panes: readonly TmuxPane[]; readonly screens: ReadonlyMap<string, string[]> }>>;
  /** The last lines of the pane's history and screen. */
  readonly tail: (socket: string, paneId: string, lines: number) => Promise<TmuxAnswer<readonly string[]>>;
  readonly paste: (pane: PaneMark, text: string, scratch: string) => Promise<Typed>;
  /** Bytes as keys. */
  readonly keys: (pane: PaneMark, data: string) => Promise<Typed>;
}

/** Names one pane so that no other can be hit: its id may come again with another server, its process may not. */
export interface PaneMark {
  readonly socket: string;
  readonly id: string;
  readonly pid: number;
  /** Typed only while the cursor still stands there: a person who began to type has moved it. */
  readonly cursor?: { readonly x: number; readonly y: number };
}

/** `unknown`: the answer did not come, so that it may have been typed. */
export type Typed =
  | { readonly kind: 'typed' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

/** A server answers in 5 ms; on a machine at its limits in a second. */
const answerLimitMs = 5000;
const socketsMax = 50;
/** Beyond this a title or path is cut. */
const fieldCharsMax = 1000;

const fields = [
  'pid',
  'pane_id',
  'pane_pid',
  'pane_tty',
  'session_id',
  'session_attached',
  'window_id',
  'window_index',
  'window_active',
  'pane_index',
  'pane_active',
  'pane_width',
  'pane_height',
  'cursor_x',
  'cursor_y',
  'alternate_on',
  'pane_mode',
  'pane_dead',
  'pane_dead_status',
  'pane_dead_signal',
  'pane_input_off',
  'pane_synchronized',
  // Free text last; tmux writes control characters in names as octal, so a tab is none of theirs.
  'session_name',
  'window_name',
  'pane_current_command',
  'pane_current_path',
  'pane_title',
] as const;
type Field = (typeof fields)[number];
const paneFormat = fields.map((field) => `#{${field}}`).join('\t');

export function openTmux({ program, env }: TmuxOptions): Tmux {
  const clientEnv = clientEnvironment(env);
  const folder = join(env.TMUX_TMPDIR || '/tmp', `tmux-${process.getuid?.() ?? 0}`);
  let found: Promise<string | undefined> | undefined;
  const ask = async (socket: string, commands: readonly (readonly string[])[]): Promise<ProgramAnswer> => {
    found ??= findProgram(program ?? 'tmux', env.PATH ?? '', usualFolders);
    const file = await found;
    if (file === undefined) {
      found = undefined;
      return { kind: 'could-not-run', reason: `there is no program ${program ?? 'tmux'}` };
    }
    const args = commands.flatMap((command, index) => (index === 0 ? command : [';', ...command]));
    return askProgram({ file, args: ['-u', '-S', socket, ...args], env: clientEnv, timeoutMs: answerLimitMs });
  };
  return {
    sockets: () => findSockets(folder),
    socketPath: (name) => (isAbsolute(name) ? name : join(folder, name === '' ? 'default' : name)),
    panes: async (socket) =>
      understood(await ask(socket, [['list-panes', '-a', '-F', paneFormat]]), (text) => parsePanes(socket, text)),
    look: (socket, paneIds, styled) => look(ask, socket, paneIds, styled),
    tail: async (socket, paneId, lines) =>
      understood(await ask(socket, [['capture-pane', '-p', '-J', '-S', `-${lines}`, '-t', paneId]]), (text) =>
        lastLines(text, lines),
      ),
    paste: (pane, text, scratch) => paste(ask, pane, text, scratch),
    keys: async (pane, data) => {
      const codes = [...Buffer.from(data)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
      return typed(await ask(pane.socket, [guarded(pane, `send-keys -t ${pane.id} -H ${codes}`)]));
    },
  };
}

/** What a client needs and nothing that would make it take us for a program inside a pane. */
function clientEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const wanted = ['PATH', 'HOME', 'USER', 'LANG', 'LC_ALL', 'LC_CTYPE', 'TMUX_TMPDIR'];
  const given = wanted.flatMap((name): [string, string][] => (env[name] ? [[name, env[name]]] : []));
  return { TERM: 'xterm-256color', ...Object.fromEntries(given) };
}

/** Boot units have a short path: package managers' folders are looked at too. */
const usualFolders = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin', '/opt/local/bin'];

/** Only a folder that is this user's alone is believed: another user could lay a socket into any other. */
async function findSockets(folder: string): Promise<readonly string[]> {
  const facts = await lstat(folder).catch(() => undefined);
  if (!facts?.isDirectory() || facts.uid !== process.getuid?.() || (facts.mode & 0o022) !== 0) return [];
  const names = (await readdir(folder).catch((): string[] => [])).toSorted().slice(0, socketsMax);
  const kinds = await Promise.all(names.map(async (name) => lstat(join(folder, name)).catch(() => undefined)));
  return names.filter((_, index) => kinds[index]?.isSocket() === true).map((name) => join(folder, name));
}

type Ask = (socket: string, commands: readonly (readonly string[])[]) => Promise<ProgramAnswer>;

function understood<T>(answer: ProgramAnswer, read: (text: string) => T): TmuxAnswer<T> {
  if (answer.kind === 'could-not-run') return { kind: 'unreachable', reason: answer.reason };
  if (answer.kind === 'unanswered') return { kind: 'unreachable', reason: `tmux: ${answer.reason}` };
  if (answer.code === 0) return { kind: 'answered', value: read(answer.stdout) };
  const reason = oneLine(answer.stderr, 200) || `tmux ended with code ${answer.code}`;
  // Both words stand for a socket that nobody listens at.
  const gone = /no server running|error connecting to .*(No such file|Connection refused)/i.test(reason);
  return { kind: gone ? 'no-server' : 'unreachable', reason };
}

function parsePanes(socket: string, text: string): TmuxPane[] {
  return text.split('\n').flatMap((line) => {
    const values = line.split('\t');
    if (values.length < fields.length) return [];
    const of = (field: Field): string => (values[fields.indexOf(field)] ?? '').slice(0, fieldCharsMax);
    const number = (field: Field): number => Number(of(field)) || 0;
    const optional = (field: Field): number | null => (of(field) === '' ? null : number(field));
    return [
      {
        socket,
        serverPid: number('pid'),
        id: of('pane_id'),
        pid: number('pane_pid'),
        tty: of('pane_tty'),
        session: { id: of('session_id'), name: of('session_name'), attached: number('session_attached') > 0 },
        window: {
          id: of('window_id'),
          index: number('window_index'),
          name: of('window_name'),
          active: of('window_active') === '1',
        },
        index: number('pane_index'),
        active: of('pane_active') === '1',
        command: of('pane_current_command'),
        cwd: of('pane_current_path'),
        title: values.slice(fields.indexOf('pane_title')).join(' ').slice(0, fieldCharsMax),
        cols: number('pane_width'),
        rows: number('pane_height'),
        cursor: { x: number('cursor_x'), y: number('cursor_y') },
        alternate: of('alternate_on') === '1',
        mode: of('pane_mode'),
        dead: of('pane_dead') === '1',
        deadStatus: optional('pane_dead_status'),
        deadSignal: optional('pane_dead_signal'),
        inputOff: of('pane_input_off') === '1',
        synchronized: of('pane_synchronized') === '1',
      },
    ];
  });
}

/** One client for everything: a line that nobody can guess stands between the parts. A pane that is gone ends the parts, not the answer. */
async function look(ask: Ask, socket: string, paneIds: readonly string[], styled: boolean): ReturnType<Tmux['look']> {
  const mark = `muster-${randomToken(20)}`;
  const capture = ['capture-pane', '-p', ...(styled ? ['-e'] : []), '-t'];
  const parts = paneIds.flatMap((id) => [
    ['display-message', '-p', '-t', id, `${mark} ${id}`],
    [...capture, id],
  ]);
  const answer = await ask(socket, [['list-panes', '-a', '-F', paneFormat], ...parts]);
  const partly =
    answer.kind === 'answered' && answer.code !== 0 && answer.stdout !== '' ? { ...answer, code: 0 } : answer;
  return understood(partly, (text) => {
    const [head = '', ...pieces] = text.split(`${mark} `);
    const screens = pieces.map((piece): [string, string[]] => {
      const [id = '', ...rows] = piece.split('\n');
      return [id, rows.slice(0, -1)];
    });
    return { panes: parsePanes(socket, head), screens: new Map(screens.filter(([, rows]) => rows.length > 0)) };
  });
}

function lastLines(text: string, lines: number): string[] {
  const all = text.split('\n');
  while (all.length > 0 && all.at(-1)?.trim() === '') all.pop();
  return all.slice(-lines).map((line) => line.trimEnd());
}

const refusedMark = 'muster: not typed';

/** Looks and types in one step of the server. */
function guarded(pane: PaneMark, command: string): string[] {
  const same = `#{==:#{pane_pid},${pane.pid}}`;
  const free = '#{==:#{pane_in_mode}#{pane_dead}#{pane_input_off}#{pane_synchronized},0000}';
  const still = pane.cursor === undefined ? '1' : `#{==:#{cursor_x} #{cursor_y},${pane.cursor.x} ${pane.cursor.y}}`;
  const words =
    '#{pane_pid} cursor=#{cursor_x},#{cursor_y} mode=#{pane_mode} dead=#{pane_dead} off=#{pane_input_off} sync=#{pane_synchronized}';
  const refusal = `display-message -p -t ${pane.id} "${refusedMark} ${words}"`;
  return ['if-shell', '-F', '-t', pane.id, `#{&&:${same},#{&&:${free},${still}}}`, command, refusal];
}

function typed(answer: ProgramAnswer): Typed {
  if (answer.kind === 'could-not-run') return { kind: 'refused', reason: answer.reason };
  if (answer.kind === 'unanswered') return { kind: 'unknown', reason: `tmux: ${answer.reason}` };
  if (answer.code !== 0) return { kind: 'refused', reason: oneLine(answer.stderr, 200) || `code ${answer.code}` };
  if (!answer.stdout.includes(refusedMark)) return { kind: 'typed' };
  const why = oneLine(answer.stdout.replace(refusedMark, ''), 200);
  return { kind: 'refused', reason: `the pane is not as it was (process ${why})` };
}

/**
 * The text goes through a file, not through the client's standard input: if we die, a client that reads a pipe would take the half that
 * came for the whole. `-p` brackets the paste for a program that asked for it, `-r` keeps line ends as they are. The buffer has a name of
 * its own and goes with the paste; a paste that was refused leaves it, so it is removed once more, whatever happened.
 */
async function paste(ask: Ask, pane: PaneMark, text: string, scratch: string): Promise<Typed> {
  const name = `muster-${randomToken(16)}`;
  const file = join(scratch, `${name}.txt`);
  await writeFile(file, text, { mode: 0o600, flag: 'wx' });
  try {
    const answer = await ask(pane.socket, [
      ['load-buffer', '-b', name, file],
      guarded(pane, `paste-buffer -p -r -d -b ${name} -t ${pane.id}`),
    ]);
    const what = typed(answer);
    if (what.kind !== 'typed') await ask(pane.socket, [['delete-buffer', '-b', name]]);
    return what;
  } finally {
    await rm(file, { force: true });
  }
}
