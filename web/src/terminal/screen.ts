/**
 * One xterm.js terminal in an element: draws, never answers, never reaches outside (`inert.ts`), and keeps the size it is given. Agents
 * draw for a dark terminal, so it is dark in both themes of the page.
 */
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import { withAdoptedStyles } from './document.ts';
import { makeInert, onlyTyped } from './inert.ts';

export interface Screen {
  /** Its natural size in CSS pixels, before any scaling. */
  readonly size: () => { width: number; height: number };
  readonly write: (data: string | Uint8Array, drawn?: () => void) => void;
  /** Empties it at this size. */
  readonly reset: (cols: number, rows: number) => void;
  readonly resize: (cols: number, rows: number) => void;
  /** Columns and rows that fill the element, null while it has no size. */
  readonly proposed: () => { cols: number; rows: number } | null;
  readonly focus: () => void;
  readonly close: () => void;
}

export interface ScreenOptions {
  readonly cols: number;
  readonly rows: number;
  readonly scrollback: number;
  readonly fontSize: number;
  /** Null: nobody can type. */
  readonly onTyped: ((input: string) => void) | null;
  /** The key that gives the keyboard back to the page (Ctrl+]). */
  readonly onLeave: (() => void) | null;
}

/** The console colours that the agents' own themes were made for; readable at small scale. */
const theme = {
  background: '#12161c',
  foreground: '#d7dde5',
  cursor: '#d7dde5',
  cursorAccent: '#12161c',
  selectionBackground: '#3b5275',
  black: '#232a34',
  red: '#f07178',
  green: '#8fca8f',
  yellow: '#e6c07b',
  blue: '#77b0f2',
  magenta: '#c99bed',
  cyan: '#6fc7cf',
  white: '#c9d1db',
  brightBlack: '#66717f',
  brightRed: '#ff8b92',
  brightGreen: '#a8e0a8',
  brightYellow: '#f5d596',
  brightBlue: '#9cc8ff',
  brightMagenta: '#dcb8fa',
  brightCyan: '#90e0e7',
  brightWhite: '#f3f6fa',
};

export const terminalFont = "ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";

export function openScreen(element: HTMLElement, options: ScreenOptions): Screen {
  const terminal = new Terminal({
    cols: options.cols,
    rows: options.rows,
    scrollback: options.scrollback,
    fontSize: options.fontSize,
    fontFamily: terminalFont,
    lineHeight: 1.1,
    theme,
    cursorBlink: false,
    cursorInactiveStyle: 'none',
    disableStdin: options.onTyped === null,
    linkHandler: { activate: () => {} },
    allowProposedApi: false,
    screenReaderMode: false,
    minimumContrastRatio: 1,
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  makeInert(terminal);
  terminal.onData((input) => {
    if (options.onTyped !== null && onlyTyped(input)) options.onTyped(input);
  });
  terminal.attachCustomKeyEventHandler((event) => {
    if (options.onTyped === null) return false;
    if (!(event.ctrlKey && event.key === ']')) return true;
    if (event.type === 'keydown') options.onLeave?.();
    event.preventDefault();
    return false;
  });
  withAdoptedStyles(() => terminal.open(element));
  if (options.onTyped === null && terminal.textarea) terminal.textarea.tabIndex = -1;
  return {
    size: () => {
      const screen = element.querySelector<HTMLElement>('.xterm-screen');
      return { width: screen?.offsetWidth ?? 0, height: screen?.offsetHeight ?? 0 };
    },
    write: (data, drawn) => terminal.write(data, drawn),
    reset: (cols, rows) => {
      terminal.reset();
      terminal.resize(cols, rows);
    },
    resize: (cols, rows) => terminal.resize(cols, rows),
    proposed: () => fit.proposeDimensions() ?? null,
    focus: () => terminal.focus(),
    close: () => terminal.dispose(),
  };
}
