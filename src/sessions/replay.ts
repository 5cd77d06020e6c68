/**
 * A recording in, the states of its session out, by the same parts that watch a live one: terminal model, adapter, fusion. The time is
 * the recording's own, so that a minute is replayed in a moment and always gives the same.
 *
 * Order: `parseRecording` (asciicast v2: header, then `[seconds, code, text]`) → for each event, first what time alone does until then
 * (a screen that is due, a tick) and then the event itself: `o` output, `r` resize, `e` evidence of a source outside the terminal,
 * `x` exit. `i` (what was typed) and `m` say nothing about the agent.
 */

import type { Agent } from '../agents/agent.ts';
import { agents } from '../agents/index.ts';
import { Fault } from '../base/fault.ts';
import { oneLine } from '../base/text.ts';
import type { StateChange } from '../protocol/session.ts';
import { type EvidenceSource, evidenceSourceSchema, type SessionState } from '../protocol/state.ts';
import { type Fused, fuse, initialFacts, nextTickAt, type SessionFacts, tick } from '../state/index.ts';
import { openTerminal, type TerminalModel } from './terminal/terminal.ts';

export interface ReplayOptions {
  /** Instead of the first word of the header's title. */
  readonly agent?: string;
  /** Instead of its second word. */
  readonly agentVersion?: string;
}

export interface ReplayedChange {
  /** Seconds since the start of the recording. */
  readonly t: number;
  readonly state: SessionState;
  readonly source: EvidenceSource;
  readonly reason: string;
}

/** As the host tells screens: at most so often, and in the middle of a synchronized update only when that takes very long. */
const screenIntervalMs = 50;
const synchronizedMsMax = 1000;
/** A claim that came last may have to stand its quiet time. */
const afterMs = 1000;

type RecordedEvent = { readonly at: number } & (
  | { readonly kind: 'output'; readonly text: string }
  | { readonly kind: 'resize'; readonly cols: number; readonly rows: number }
  | { readonly kind: 'evidence'; readonly source: EvidenceSource; readonly payload: unknown }
);

interface Recording {
  readonly cols: number;
  readonly rows: number;
  readonly title: string;
  readonly events: readonly RecordedEvent[];
}

/** Throws `RECORDING_INVALID` naming the line, `AGENT_UNKNOWN` if no adapter fits. The first change is the start itself. */
export async function replayRecording(text: string, options: ReplayOptions = {}): Promise<readonly ReplayedChange[]> {
  const recording = parseRecording(text);
  const player = openPlayer(agentOf(recording.title, options), recording);
  try {
    for (const event of recording.events) await player.play(event);
    player.finish();
  } finally {
    player.close();
  }
  return player.changes;
}

function agentOf(title: string, { agent }: ReplayOptions): Agent {
  const name = agent ?? title.split(' ')[0] ?? '';
  const found = [...agents.values()].find((each) => each.id === name);
  if (found) return found;
  throw new Fault(
    'AGENT_UNKNOWN',
    `agent: there is no "${oneLine(name, 60)}"; allowed are ${[...agents.keys()].join(', ')}`,
    {
      hint: 'The recording\'s title begins with the agent, as in "claude 2.1.328 job 7"; --agent names another.',
    },
  );
}

interface Player {
  readonly changes: ReplayedChange[];
  readonly play: (event: RecordedEvent) => Promise<void>;
  readonly finish: () => void;
  readonly close: () => void;
}

function openPlayer(agent: Agent, { cols, rows }: Recording): Player {
  const changes: ReplayedChange[] = [{ t: 0, state: 'starting', source: 'control', reason: 'launched' }];
  let facts: SessionFacts = initialFacts(0);
  let memory = agent.memory();
  let now = 0;
  let failure: unknown;
  const take = ({ facts: next, change }: Fused): void => {
    facts = next;
    if (change) changes.push(shown(change));
  };
  const observe = (source: EvidenceSource, payload: unknown, at: number): void => {
    const interpreted = agent.interpret(memory, { source, payload, at });
    memory = interpreted.memory;
    for (const each of interpreted.evidence) take(fuse(facts, each));
  };
  const terminal = openTerminal({
    cols,
    rows,
    onAnswer: () => undefined,
    onSignal: (kind, text) => kind !== 'bell' && observe(kind, text, now),
    onParsed: () => undefined,
    onHookError: (error) => {
      failure ??= error;
    },
    signalsMax: Number.POSITIVE_INFINITY,
  });
  const look = openLook(terminal, (screen, at) => observe('screen', screen, at));
  const pass = (until: number): void => {
    for (;;) {
      const [tickAt, lookAt] = [nextTickAt(facts) ?? Number.POSITIVE_INFINITY, look.dueAt()];
      const next = Math.min(tickAt, lookAt);
      if (next > until) return;
      now = Math.max(now, next);
      if (lookAt <= tickAt) look.at(now);
      else take(tick(facts, now));
    }
  };
  return {
    changes,
    play: async (event) => {
      pass(event.at);
      now = Math.max(now, event.at);
      if (event.kind === 'evidence') return observe(event.source, event.payload, now);
      if (event.kind === 'resize') terminal.resize(event.cols, event.rows);
      else terminal.write(Buffer.from(event.text));
      await terminal.settled();
      if (failure !== undefined) throw failure;
      look.changed(now);
    },
    finish: () => {
      look.finish(now);
      pass(now + afterMs);
    },
    close: terminal.close,
  };
}

const shown = ({ to, at, evidence }: StateChange): ReplayedChange => ({
  t: Math.round(at) / 1000,
  state: to,
  source: evidence.source,
  reason: evidence.reason,
});

interface Look {
  readonly changed: (at: number) => void;
  /** When the screen is to be looked at; infinity if nothing changed. */
  readonly dueAt: () => number;
  readonly at: (now: number) => void;
  readonly finish: (now: number) => void;
}

function openLook(terminal: TerminalModel, show: (screen: unknown, at: number) => void): Look {
  let dirtySince: number | undefined;
  let dueAt = Number.POSITIVE_INFINITY;
  let lastAt = Number.NEGATIVE_INFINITY;
  let last = '';
  const tell = (now: number): void => {
    dirtySince = undefined;
    dueAt = Number.POSITIVE_INFINITY;
    lastAt = now;
    const screen = terminal.screen();
    const key = JSON.stringify(screen);
    if (key === last) return;
    last = key;
    show(screen, now);
  };
  return {
    changed: (at) => {
      dirtySince ??= at;
      if (dueAt === Number.POSITIVE_INFINITY) dueAt = Math.max(at, lastAt + screenIntervalMs);
    },
    dueAt: () => dueAt,
    at: (now) => {
      const waits = terminal.inSynchronizedUpdate() && now - (dirtySince ?? now) < synchronizedMsMax;
      if (waits) dueAt = now + screenIntervalMs;
      else tell(now);
    },
    finish: (now) => {
      if (dirtySince !== undefined) tell(now);
    },
  };
}

/** Columns and rows beyond these are no terminal. */
const sizeMax = 1000;

function parseRecording(text: string): Recording {
  const lines = text.split('\n');
  const header = parseLine(lines[0] ?? '', 1);
  if (!isFields(header) || header.version !== 2) throw invalid(1, 'the header is not asciicast version 2');
  const [cols, rows] = [header.width, header.height];
  if (!isSize(cols) || !isSize(rows)) throw invalid(1, `width and height must be whole numbers from 2 to ${sizeMax}`);
  const events: RecordedEvent[] = [];
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === '') continue;
    const event = parseEvent(parseLine(line, index + 1), index + 1);
    if (event) events.push(event);
  }
  return { cols, rows, title: typeof header.title === 'string' ? header.title : '', events };
}

function parseEvent(row: unknown, line: number): RecordedEvent | undefined {
  if (!Array.isArray(row) || row.length < 3) throw invalid(line, 'an event is [seconds, code, text]');
  const [seconds, code, text] = row as unknown[];
  if (typeof seconds !== 'number' || !Number.isFinite(seconds) || seconds < 0)
    throw invalid(line, 'the time is not a number of seconds');
  if (typeof code !== 'string') throw invalid(line, 'the code is not a text');
  const at = seconds * 1000;
  if (code === 'o' && typeof text === 'string') return { at, kind: 'output', text };
  if (code === 'x') return { at, kind: 'evidence', source: 'process', payload: inner(text, line) };
  if (code === 'e') return { at, kind: 'evidence', ...evidenceOf(inner(text, line), line) };
  if (code === 'r' && typeof text === 'string') return { at, kind: 'resize', ...sizeOf(text, line) };
  if (code === 'o' || code === 'r') throw invalid(line, `the text of an "${code}" event is not a text`);
  return undefined;
}

/** Our own recordings hold JSON as text; others may hold it as it is. */
const inner = (value: unknown, line: number): unknown => (typeof value === 'string' ? parseLine(value, line) : value);

function evidenceOf(value: unknown, line: number): { source: EvidenceSource; payload: unknown } {
  const source = evidenceSourceSchema.safeParse(isFields(value) ? value.source : undefined);
  if (!isFields(value) || !source.success) throw invalid(line, 'evidence is {source, payload} with a known source');
  return { source: source.data, payload: value.payload };
}

function sizeOf(text: string, line: number): { cols: number; rows: number } {
  const [, cols, rows] = (/^(\d{1,5})x(\d{1,5})$/.exec(text) ?? []).map(Number);
  if (!isSize(cols) || !isSize(rows)) throw invalid(line, `a resize is COLSxROWS, each from 2 to ${sizeMax}`);
  return { cols, rows };
}

function parseLine(text: string, line: number): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(line, 'not JSON', error);
  }
}

const isFields = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isSize = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 2 && value <= sizeMax;

const invalid = (line: number, what: string, cause?: unknown): Fault =>
  new Fault('RECORDING_INVALID', `Line ${line}: ${what}`, {
    subject: `line ${line}`,
    hint: 'A recording is asciicast v2: a JSON header, then one JSON array per line.',
    cause,
  });
