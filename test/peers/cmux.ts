#!/usr/bin/env node
/**
 * A scripted `cmux`: the verbs that Muster uses, over a state file instead of an app, with the faults that were seen in the field. The
 * state file is `CMUX_SOCKET_PATH`; `openCmuxPeer` makes it, an executable called `cmux`, and the means to look at and change it. Behind
 * each agent surface stands a small Claude-like screen: an input box, `@wait MS` in a prompt as the length of its turn.
 *
 * Faults are consumed one by one, per verb: `ok-without-effect`, `stall` (nothing done), `stall-delivered` (done, but the answer never
 * comes), `denied`, `broken-pipe`, `not-a-terminal`.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface PeerSurface {
  readonly id: string;
  ref: string;
  title: string;
  type: string;
  tty: string | null;
  /** shell: what a restored husk shows. */
  kind: 'agent' | 'shell';
  typed: string;
  log: string[];
  busyUntil: number;
  dialog: boolean;
}

export type PeerFault = 'ok-without-effect' | 'stall' | 'stall-delivered' | 'denied' | 'broken-pipe' | 'not-a-terminal';

export interface PeerState {
  mode: 'open' | 'denied' | 'broken-pipe' | 'password' | 'down' | 'stalled';
  password: string;
  /** Older builds know neither. */
  hasPaste: boolean;
  hasInputState: boolean;
  faults: { verb: string; kind: PeerFault }[];
  surfaces: PeerSurface[];
  /** Every prompt that an agent took, and every verb that was called. */
  prompts: string[];
  calls: string[];
}

export interface CmuxPeer {
  readonly program: string;
  readonly env: { readonly CMUX_SOCKET_PATH: string };
  readonly read: () => PeerState;
  readonly change: (edit: (state: PeerState) => void) => void;
}

export const peerSurface = (number: number, given: Partial<PeerSurface> = {}): PeerSurface => ({
  id: `0000000${number}-AAAA-4BBB-8CCC-DDDDDDDDDDDD`,
  ref: `surface:${number}`,
  title: `agent ${number}`,
  type: 'terminal',
  tty: null,
  kind: 'agent',
  typed: '',
  log: ['welcome'],
  busyUntil: 0,
  dialog: false,
  ...given,
});

export function openCmuxPeer(dir: string, surfaces: readonly PeerSurface[]): CmuxPeer {
  const file = join(dir, 'cmux-state.json');
  const program = join(dir, 'cmux');
  const first: PeerState = {
    mode: 'open',
    password: 'secret',
    hasPaste: true,
    hasInputState: true,
    faults: [],
    surfaces: [...surfaces],
    prompts: [],
    calls: [],
  };
  writeFileSync(file, JSON.stringify(first));
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${fileURLToPath(import.meta.url)}' "$@"\n`);
  chmodSync(program, 0o755);
  return {
    program,
    env: { CMUX_SOCKET_PATH: file },
    read: () => JSON.parse(readFileSync(file, 'utf8')) as PeerState,
    change: (edit) => locked(file, edit),
  };
}

/** One writer at a time; a folder is the lock. */
function locked<T>(file: string, edit: (state: PeerState) => T): T {
  const lock = `${file}.lock`;
  for (;;) {
    try {
      mkdirSync(lock);
      break;
    } catch {
      // Somebody else has it for a millisecond.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
  try {
    const state = JSON.parse(readFileSync(file, 'utf8')) as PeerState;
    const answer = edit(state);
    writeFileSync(`${file}.next`, JSON.stringify(state));
    renameSync(`${file}.next`, file);
    return answer;
  } finally {
    rmdirSync(lock);
  }
}

const columns = 100;

function screenOf(surface: PeerSurface): string {
  if (surface.kind === 'shell') return ['Last login: today on ttys003', 'dev@mac ~ % '].join('\n');
  const rule = '─'.repeat(columns);
  if (surface.dialog)
    return [
      ...surface.log,
      'Bash command',
      'Do you want to proceed?',
      '❯ 1. Yes',
      '  2. No',
      ' Esc to cancel · Tab to amend',
    ].join('\n');
  const busy = Date.now() < surface.busyUntil;
  const box =
    surface.typed === ''
      ? ['❯ Try "fix the failing test"']
      : surface.typed.split('\n').map((row, index) => (index === 0 ? `❯ ${row}` : `  ${row}`));
  return [...surface.log, rule, ...box, rule, busy ? '  esc to interrupt' : '  ? for shortcuts'].join('\n');
}

function enter(state: PeerState, surface: PeerSurface): void {
  if (surface.kind === 'shell') surface.log.push(`ran: ${surface.typed}`);
  else if (surface.dialog || surface.typed.trim() === '' || Date.now() < surface.busyUntil) return;
  else {
    state.prompts.push(surface.typed);
    const wait = /@wait (\d+)/.exec(surface.typed)?.[1];
    surface.busyUntil = Date.now() + Number(wait ?? 2500);
    surface.log.push(`> ${surface.typed.split('\n')[0] ?? ''}`);
  }
  surface.typed = '';
}

/** As the real `send` does: a backslash and n is Enter. */
function type(state: PeerState, surface: PeerSurface, text: string): void {
  for (const piece of text.split(/(\\n|\\r|\\t|\n)/)) {
    if (piece === '\\n' || piece === '\\r' || piece === '\n') enter(state, surface);
    else if (piece !== '\\t') surface.typed += piece;
  }
}

interface Answer {
  readonly out?: string;
  readonly error?: string;
  readonly stall?: boolean;
}

function answer(state: PeerState, args: readonly string[], input: string): Answer {
  const [verb = ''] = args;
  state.calls.push(args.join(' ').slice(0, 200));
  const denied = 'Access denied – only processes started inside cmux can connect';
  const pipe = 'Failed to write to socket (Broken pipe, errno 32)';
  if (state.mode === 'down') return { error: 'Failed to connect to socket: Connection refused' };
  if (state.mode === 'denied') return { error: denied };
  if (state.mode === 'broken-pipe') return { error: pipe };
  if (state.mode === 'stalled') return { stall: true };
  if (state.mode === 'password' && process.env.CMUX_SOCKET_PASSWORD !== state.password)
    return { error: 'Authentication required: password' };
  const at = state.faults.findIndex((fault) => fault.verb === verb);
  const kind = at < 0 ? undefined : state.faults.splice(at, 1)[0]?.kind;
  if (kind === 'denied') return { error: denied };
  if (kind === 'broken-pipe') return { error: pipe };
  if (kind === 'not-a-terminal') return { error: 'Surface is not a terminal' };
  if (kind === 'stall') return { stall: true };
  if (kind === 'ok-without-effect') return { out: 'OK' };
  const done = perform(state, verb, args, input);
  return kind === 'stall-delivered' ? { stall: true } : done;
}

function perform(state: PeerState, verb: string, args: readonly string[], input: string): Answer {
  if (verb === 'ping') return { out: 'PONG' };
  if (verb === 'tree') return { out: JSON.stringify(treeOf(state)) };
  if (verb === 'rpc') {
    if (!state.hasInputState) return { error: 'unknown method surface.input_state' };
    const { surface_id: id } = JSON.parse(args[2] ?? '{}') as { surface_id?: string };
    const asked = state.surfaces.find((one) => one.id === id);
    if (!asked) return { error: 'not_found' };
    const empty = asked.typed === '' ? 'empty' : 'draft';
    const shown = asked.kind === 'shell' ? 'unknown' : asked.dialog ? 'dialog' : empty;
    return { out: JSON.stringify({ state: shown, agent: asked.kind === 'agent' ? 'claude' : null }) };
  }
  if (verb === 'paste' && !state.hasPaste) return { error: 'unknown command: paste' };
  const named = args[args.indexOf('--surface') + 1];
  const surface = args.includes('--surface') ? state.surfaces.find((one) => one.id === named) : undefined;
  if (!surface) return { error: 'not_found: surface' };
  if (surface.type !== 'terminal') return { error: 'Surface is not a terminal' };
  const rest = args.includes('--') ? args.slice(args.indexOf('--') + 1) : args.slice(3);
  switch (verb) {
    case 'read-screen':
      return { out: `${screenOf(surface)}\n` };
    case 'paste':
      surface.typed += rest[0] === '-' || rest.length === 0 ? input : rest.join(' ');
      return { out: 'OK' };
    case 'send':
      if (!args.includes('--') && rest[0]?.startsWith('-')) return { error: 'send requires text' };
      if (surface.dialog && rest[0] === '1') surface.dialog = false;
      else type(state, surface, rest.join(' '));
      return { out: 'OK' };
    case 'send-key':
      if (rest[0] === 'enter') enter(state, surface);
      else if (rest[0] === 'escape') surface.busyUntil = 0;
      else return { error: `unknown key ${rest[0] ?? ''}` };
      return { out: 'OK' };
    default:
      return { error: `unknown command: ${verb}` };
  }
}

const treeOf = (state: PeerState): object => ({
  windows: [
    {
      id: 'W-1',
      ref: 'window:1',
      workspaces: [
        {
          id: 'WS-1',
          ref: 'workspace:1',
          index: 0,
          title: 'main',
          selected: true,
          panes: [
            {
              id: 'P-1',
              ref: 'pane:1',
              surfaces: state.surfaces.map(({ id, ref, title, type: kind, tty }) => ({
                id,
                ref,
                title,
                type: kind,
                tty,
                index: 0,
                selected: true,
                focused: false,
              })),
            },
          ],
        },
      ],
    },
  ],
});

async function main(): Promise<void> {
  const file = process.env.CMUX_SOCKET_PATH ?? '';
  const args = process.argv.slice(2);
  const input = args[0] === 'paste' && existsSync('/dev/stdin') ? readFileSync(0, 'utf8') : '';
  const told = locked(file, (state) => answer(state, args, input));
  if (told.stall) await new Promise((done) => setTimeout(done, 60_000));
  if (told.out !== undefined) process.stdout.write(told.out.endsWith('\n') ? told.out : `${told.out}\n`);
  if (told.error !== undefined) {
    process.stderr.write(`${told.error}\n`);
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
