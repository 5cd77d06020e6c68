/**
 * What of a session's output may reach the person's own terminal. The session's terminal is the host's model; ours only shows it. So
 *
 * - queries (device attributes, status, modes, colours, kitty keyboard) are dropped: our terminal would answer them a second time, as input;
 * - what acts on the machine is dropped: clipboard (OSC 52), notifications, printing, window operations, device control strings;
 * - titles pass with their control characters removed, hyperlinks only to http and https;
 * - the alternate screen is already ours: entering it clears, leaving it is reported, since its content must be fetched anew.
 *
 * A pure state machine over text; a sequence may be cut anywhere between two pieces. An over-long sequence is dropped as a whole.
 */

/** No sequence that may pass is longer than this; hyperlinks are the longest. */
const sequenceMax = 4096;

export interface TerminalFilter {
  /** The part of `text` that may be shown. */
  readonly pass: (text: string) => string;
  /** True once the program has left the alternate screen that it had entered since the last `reset`. */
  readonly leftAlternate: () => boolean;
}

type State =
  | { readonly kind: 'ground' }
  | { readonly kind: 'escape'; readonly intermediates: string }
  | { readonly kind: 'csi'; readonly body: string }
  | { readonly kind: 'osc'; readonly body: string }
  /** Of a device control, privacy or application string: dropped to its end. */
  | { readonly kind: 'dropped-string' };

const ground: State = { kind: 'ground' };
const clearScreen = '\u001b[2J\u001b[H';

export function terminalFilter(): TerminalFilter {
  let state: State = ground;
  let alternate = false;
  let left = false;
  const screen = (on: boolean): string => {
    if (alternate && !on) left = true;
    alternate = on;
    return clearScreen;
  };
  return {
    leftAlternate: () => left,
    pass: (text) => {
      let out = '';
      for (const character of text) {
        const next = step(state, character, screen);
        state = next.state;
        out += next.out;
      }
      return out;
    },
  };
}

interface Step {
  readonly state: State;
  readonly out: string;
}
type Screen = (on: boolean) => string;

const into = (state: State): Step => ({ state, out: '' });
const show = (out: string): Step => ({ state: ground, out });

function step(state: State, character: string, screen: Screen): Step {
  if (character === '\u001b' && state.kind !== 'osc' && state.kind !== 'dropped-string')
    return into({ kind: 'escape', intermediates: '' });
  if (character === '\u0018' || character === '\u001a') return into(ground);
  switch (state.kind) {
    case 'ground':
      return show(inGround(character));
    case 'escape':
      return inEscape(state.intermediates, character);
    case 'csi':
      return inCsi(state.body, character, screen);
    case 'osc':
      return inOsc(state.body, character);
    case 'dropped-string':
      if (character === '\u001b') return into({ kind: 'escape', intermediates: '' });
      return into(character === '\u0007' || character === '\u009c' ? ground : state);
  }
}

/** Bell, backspace, tab, line feeds, carriage return, shifts; no ENQ (it asks for an answer), no 8-bit controls (some terminals obey them). */
function inGround(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code >= 0x20) return code >= 0x7f && code <= 0x9f ? '' : character;
  return code >= 0x07 && code <= 0x0f ? character : '';
}

const strings = new Set(['P', 'X', '^', '_', 'k']);
/** Save and restore the cursor, keypad modes, index, next line, tab stop, reverse index, character sets. */
const plainEscapes = new Set(['7', '8', '=', '>', 'D', 'E', 'H', 'M', 'N', 'O', 'n', 'o', '|', '}', '~']);

function inEscape(intermediates: string, character: string): Step {
  if (intermediates === '') {
    if (character === '[') return into({ kind: 'csi', body: '' });
    if (character === ']') return into({ kind: 'osc', body: '' });
    if (strings.has(character)) return into({ kind: 'dropped-string' });
    // A full reset would throw us out of our alternate screen.
    if (character === 'c') return show(`\u001b[!p${clearScreen}`);
  }
  if (character >= ' ' && character <= '/') return into({ kind: 'escape', intermediates: intermediates + character });
  const passes = intermediates === '' ? plainEscapes.has(character) : /^[()*+\-./#]$/.test(intermediates);
  return show(passes ? `\u001b${intermediates}${character}` : '');
}

function inCsi(body: string, character: string, screen: Screen): Step {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return into({ kind: 'csi', body });
  if (code >= 0x20 && code <= 0x3f && body.length < sequenceMax) return into({ kind: 'csi', body: body + character });
  return show(code >= 0x40 && code <= 0x7e ? csi(body, character, screen) : '');
}

/** Reports of any kind, window operations, printing, checksums. */
const neverFinals = new Set(['c', 'n', 't', 'i', 'x', 'y', 'R']);

function csi(body: string, final: string, screen: Screen): string {
  const parts = /^([<=>?]?)([\d;:]*)([ -/]*)$/.exec(body);
  if (parts === null) return '';
  const [, prefix = '', parameters = '', intermediates = ''] = parts;
  if (neverFinals.has(final) || !['', ' ', '!'].includes(intermediates)) return '';
  if (prefix === '?' && (final === 'h' || final === 'l')) return modes(parameters, final, screen);
  if (prefix === '?' && !['J', 'K'].includes(final)) return '';
  if (prefix === '>' && !['u', 'm'].includes(final)) return '';
  return `\u001b[${body}${final}`;
}

const alternateModes = new Set(['47', '1047', '1049']);
/** 3: 132 columns. 1007: wheel as arrow keys, which we have switched off. 2031, 2048, 9001: our terminal would report things by itself. */
const neverModes = new Set(['3', '1007', '2031', '2048', '9001']);

function modes(parameters: string, final: 'h' | 'l', screen: Screen): string {
  return parameters
    .split(';')
    .map((mode) => {
      if (alternateModes.has(mode)) return screen(final === 'h');
      return neverModes.has(mode) || mode === '' ? '' : `\u001b[?${mode}${final}`;
    })
    .join('');
}

function inOsc(body: string, character: string): Step {
  if (character === '\u0007' || character === '\u009c') return show(osc(body));
  if (character === '\u001b') return { state: { kind: 'escape', intermediates: '' }, out: osc(body) };
  if (body.length >= sequenceMax) return into({ kind: 'dropped-string' });
  return into({ kind: 'osc', body: body + character });
}

const controls = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
const titleMax = 200;

function osc(body: string): string {
  const at = body.indexOf(';');
  const number = at < 0 ? body : body.slice(0, at);
  const text = body.slice(at + 1).replace(controls, '');
  if (number === '0' || number === '2') return `\u001b]2;${text.slice(0, titleMax)}\u0007`;
  if (number === '8' && /^[^;]*;(https?:\/\/|$)/.test(text)) return `\u001b]8;${text}\u0007`;
  return '';
}
