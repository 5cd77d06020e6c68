/** Colour, only where a person sees it: a TTY without NO_COLOR. What a colour means is always also said by a word. */
import type { CheckResult } from '../../protocol/api.ts';
import type { JobState } from '../../protocol/job.ts';
import type { SessionState } from '../../protocol/state.ts';

export type Colour = 'red' | 'green' | 'yellow' | 'blue' | 'magenta' | 'cyan' | 'dim' | 'bold' | 'plain';
export type Paint = (colour: Colour, text: string) => string;

const codes: Readonly<Record<Exclude<Colour, 'plain'>, readonly [number, number]>> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
  dim: [2, 22],
  bold: [1, 22],
};

export const painter =
  (colours: boolean): Paint =>
  (colour, text) => {
    if (!colours || colour === 'plain' || text === '') return text;
    const [on, off] = codes[colour];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  };

/** https://no-color.org: any non-empty value switches colours off. */
export const wantsColour = (stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean =>
  stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';

export const sessionColours: Readonly<Record<SessionState, Colour>> = {
  starting: 'cyan',
  setup: 'yellow',
  idle: 'plain',
  working: 'blue',
  permission: 'yellow',
  question: 'yellow',
  retrying: 'magenta',
  limited: 'magenta',
  done: 'green',
  failed: 'red',
  stalled: 'red',
  exited: 'dim',
  crashed: 'red',
  unknown: 'magenta',
};

export const jobColours: Readonly<Record<JobState, Colour>> = {
  queued: 'plain',
  running: 'blue',
  done: 'green',
  failed: 'red',
  unknown: 'magenta',
  cancelled: 'dim',
};

export const verdictColours: Readonly<Record<CheckResult['verdict'], Colour>> = {
  ok: 'green',
  warn: 'yellow',
  fail: 'red',
  unknown: 'magenta',
};
