/**
 * The person's own terminal while another program's screen is shown in it. Opening it switches to raw mode and the alternate screen; closing
 * undoes everything that a program may have switched on meanwhile. It is closed whatever happens: at the end of the process too, which
 * covers an error that nobody caught.
 */
import type { Dispose } from '../base/disposal.ts';
import { Fault } from '../base/fault.ts';

export interface OwnTerminal {
  readonly columns: () => number;
  readonly rows: () => number;
  /** `done` is called when the terminal has taken it. */
  readonly write: (text: string, done?: () => void) => void;
  readonly onInput: (listener: (text: string) => void) => void;
  readonly onResize: (listener: () => void) => Dispose;
  /** SIGTERM, SIGHUP, or a SIGINT from outside: in raw mode Ctrl-C is only a key. */
  readonly onSignal: (listener: (signal: NodeJS.Signals) => void) => void;
  readonly close: () => void;
}

/** Alternate screen; title saved; the wheel not turned into arrow keys, which agents take for history. */
const enter = '\u001b[22;0t\u001b[?1049h\u001b[?1007s\u001b[?1007l\u001b[2J\u001b[H';
/** Synchronized output, attributes, mouse, focus, paste, kitty keys, other-keys, cursor keys, keypad, scroll region, origin, wrap, cursor, character set. */
const leave = [
  '\u001b[?2026l\u001b[0m\u001b]8;;\u0007',
  '\u001b[?1000l\u001b[?1002l\u001b[?1003l\u001b[?1005l\u001b[?1006l\u001b[?1015l\u001b[?1016l\u001b[?1004l\u001b[?2004l',
  '\u001b[<99u\u001b[>4m\u001b[?1l\u001b>\u001b[r\u001b[?6l\u001b[?7h\u001b[4l\u001b[?25h\u001b[0 q\u001b(B\u000f',
  '\u001b[?1007r\u001b[?1049l\u001b[23;0t',
].join('');

const signals = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const;

export function openOwnTerminal(): OwnTerminal {
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY) {
    throw new Fault(
      'BAD_REQUEST',
      `attach needs a terminal, and standard ${stdin.isTTY ? 'output' : 'input'} is none`,
      {
        hint: 'Use: muster session tail ID, and: muster session send ID TEXT',
      },
    );
  }
  const undo: (() => void)[] = [];
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    process.off('exit', close);
    for (const one of undo) one();
    stdout.write(leave);
    stdin.setRawMode(false);
    stdin.pause();
  };
  process.on('exit', close);
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  stdout.write(enter);
  return {
    close,
    columns: () => stdout.columns,
    rows: () => stdout.rows,
    write: (text, done) => {
      if (open) stdout.write(text, done);
      else done?.();
    },
    onInput: (listener) => {
      stdin.on('data', listener);
      undo.push(() => void stdin.off('data', listener));
      stdin.resume();
    },
    onResize: (listener) => {
      stdout.on('resize', listener);
      const dispose = () => void stdout.off('resize', listener);
      undo.push(dispose);
      return dispose;
    },
    onSignal: (listener) => {
      for (const signal of signals) process.on(signal, listener);
      undo.push(() => {
        for (const signal of signals) process.off(signal, listener);
      });
    },
  };
}
