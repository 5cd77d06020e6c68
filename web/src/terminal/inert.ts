/**
 * Keeps a session's output from acting through this page. The host's terminal is the only one that answers an agent's queries; a second
 * answer from each open page would be typed into the agent. So every query is swallowed before xterm.js sees it, and so are the sequences
 * that reach outside the terminal (clipboard, links, titles, notifications) or switch mouse and focus reports on: the mouse stays with the
 * page, where it selects text. `onlyTyped` is the second fence: what looks like an answer or a report is never sent.
 */
import type { Terminal } from '@xterm/xterm';

/** CSI sequences that ask: device attributes, status and cursor position, modes, version, keyboard flags, window size. */
const queries = [
  { final: 'c' },
  { prefix: '>', final: 'c' },
  { prefix: '=', final: 'c' },
  { final: 'n' },
  { prefix: '?', final: 'n' },
  { intermediates: '$', final: 'p' },
  { prefix: '?', intermediates: '$', final: 'p' },
  { prefix: '>', final: 'q' },
  { prefix: '?', final: 'u' },
  { final: 't' },
  { final: 'x' },
] as const;

/** 0-2 titles, 4 and 10-19 colours (asked or set), 7 folder, 8 links, 9/99/777 notifications, 52 clipboard, 133/633/7501 program status. */
const outside = [
  0, 1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 50, 52, 99, 104, 133, 633, 777, 1337, 7501,
];

/** Mouse reports in all their forms, focus reports, colour scheme reports. */
const reportModes: ReadonlySet<number> = new Set([9, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2031]);

export function makeInert(terminal: Terminal): void {
  const { parser } = terminal;
  for (const query of queries) parser.registerCsiHandler(query, () => true);
  for (const number of outside) parser.registerOscHandler(number, () => true);
  parser.registerDcsHandler({ intermediates: '$', final: 'q' }, () => true);
  parser.registerDcsHandler({ intermediates: '+', final: 'q' }, () => true);
  parser.registerCsiHandler({ prefix: '?', final: 'h' }, (params) =>
    params.every((mode) => typeof mode === 'number' && reportModes.has(mode)),
  );
}

/** Cursor position, attributes, mode answers; OSC and DCS answers; focus; mouse. Shift+F3 (`ESC [1;2R`) looks like a position and is lost. */
const reports =
  /^\u001b(?:\[\d+;\d+R|\[[?>=][\d;]*[a-zA-Z$]+|\[\d*n|\[[IO]$|\[\?[\d;]*\$y|[\]P][\s\S]|\[<[\d;]+[Mm]|\[M[\s\S]{3})/;

/** True for what a person typed or pasted. */
export const onlyTyped = (input: string): boolean => !reports.test(input);
