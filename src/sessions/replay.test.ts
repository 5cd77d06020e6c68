import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { Fault } from '../base/fault.ts';
import { type SessionState, sessionStateSchema } from '../protocol/state.ts';
import { type ReplayedChange, replayRecording } from './replay.ts';

const recordings = new URL('../../test/recordings/', import.meta.url);
const manifestSchema = z.array(
  z.object({
    file: z.string(),
    agent: z.string(),
    duration: z.number(),
    truth: z.array(z.object({ t: z.number(), state: sessionStateSchema })),
  }),
);
type Entry = z.infer<typeof manifestSchema>[number];

/** The truth can't tell how a turn ended from its prompt, nor a retry from work where the agent shows none. */
const merged: Partial<Record<SessionState, string>> = {
  idle: 'prompt',
  done: 'prompt',
  failed: 'prompt',
  limited: 'prompt',
  retrying: 'working',
};
const kindOf = (state: SessionState): string => merged[state] ?? state;

interface Point {
  readonly t: number;
  readonly state: SessionState;
}

const at = (points: readonly Point[], t: number): Point | undefined => points.findLast((each) => each.t <= t);

/** The first second after a true change is not judged; nor is the start, whose end in the truth is when the screen stood still. */
const graceSeconds = 1;
const stepSeconds = 0.01;

interface Measure {
  readonly file: string;
  readonly seconds: number;
  readonly wrong: number;
  readonly latencies: readonly number[];
  readonly missed: readonly string[];
  readonly falseChanges: number;
}

function measure(entry: Entry, changes: readonly ReplayedChange[]): Measure {
  const truth = entry.truth.filter(
    (each, index) => kindOf(each.state) !== kindOf(entry.truth[index - 1]?.state ?? 'unknown'),
  );
  let [seconds, wrong] = [0, 0];
  for (let t = 0; t < entry.duration; t += stepSeconds) {
    const real = at(truth, t);
    if (!real || real.state === 'starting' || t - real.t < graceSeconds) continue;
    seconds += stepSeconds;
    if (kindOf(at(changes, t)?.state ?? 'starting') !== kindOf(real.state)) wrong += stepSeconds;
  }
  const found = truth.slice(2).map((real, index) => {
    const until = truth[index + 3]?.t ?? entry.duration;
    const seen = kindOf(at(changes, real.t)?.state ?? 'starting') === kindOf(real.state);
    const hit = seen
      ? real
      : changes.find((each) => each.t >= real.t && each.t <= until && kindOf(each.state) === kindOf(real.state));
    return { state: real.state, latency: hit && hit.t - real.t };
  });
  const shown = changes.filter((each, index) => kindOf(each.state) !== kindOf(changes[index - 1]?.state ?? 'unknown'));
  return {
    file: entry.file,
    seconds,
    wrong,
    latencies: found.flatMap((each) => each.latency ?? []),
    missed: found.filter((each) => each.latency === undefined).map((each) => each.state),
    falseChanges: Math.max(0, shown.length - truth.length),
  };
}

const entries = manifestSchema.parse(JSON.parse(await readFile(new URL('manifest.json', recordings), 'utf8')));
const texts = new Map<string, string>();

/** The same recording as it would be with less: some of its evidence left out, or its sequences unreadable. */
function without(text: string, left: readonly ('hook' | 'sessionFile' | 'osc7501')[]): string {
  const lines = text.split('\n').filter((line) => !left.some((each) => line.includes(`"{\\"source\\":\\"${each}\\"`)));
  return left.includes('osc7501') ? lines.join('\n').replaceAll(']7501;', ']7599;') : lines.join('\n');
}

async function measureAll(agent: string, left: Parameters<typeof without>[1]): Promise<Measure[]> {
  const chosen = entries.filter((entry) => entry.agent === agent);
  return Promise.all(
    chosen.map(async (entry) => measure(entry, await replayRecording(without(texts.get(entry.file) ?? '', left)))),
  );
}

function summary(measures: readonly Measure[]): {
  right: number;
  missed: string[];
  falseChanges: number;
  p50: number;
  p95: number;
} {
  const sum = (pick: (each: Measure) => number): number => measures.reduce((total, each) => total + pick(each), 0);
  const sorted = measures.flatMap((each) => each.latencies).toSorted((a, b) => a - b);
  const quantile = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return {
    right: 1 - sum((each) => each.wrong) / sum((each) => each.seconds),
    missed: measures.flatMap((each) => each.missed.map((state) => `${each.file}: ${state}`)),
    falseChanges: sum((each) => each.falseChanges),
    p50: quantile(0.5),
    p95: quantile(0.95),
  };
}

beforeAll(async () => {
  for (const entry of entries) texts.set(entry.file, await readFile(new URL(entry.file, recordings), 'utf8'));
});

const rows: string[] = [];
describe.each(['claude', 'codex', 'qwen'])('%s', (agent) => {
  test('[S2] [S3] [S4] [S5] all sources together are right 99 % of the time, miss nothing and invent nothing', async () => {
    const { right, missed, falseChanges, p50, p95 } = summary(await measureAll(agent, []));
    rows.push(`${agent}: right ${(right * 100).toFixed(2)} %, p50 ${p50.toFixed(3)} s, p95 ${p95.toFixed(3)} s`);
    expect({ right: right >= 0.99, missed, falseChanges, fast: p95 < 0.35 }).toEqual({
      right: true,
      missed: [],
      falseChanges: 0,
      fast: true,
    });
    process.stdout.write(`${rows.at(-1)}\n`);
  });

  test('the terminal alone, without hooks and files, is right 99 % of the time', async () => {
    const { right } = summary(await measureAll(agent, ['hook', 'sessionFile']));
    expect(right).toBeGreaterThanOrEqual(0.99);
  });

  test('what is dead or needs a person is found with any one channel less', async () => {
    for (const left of [['hook'], ['sessionFile'], ['osc7501'], ['hook', 'sessionFile', 'osc7501']] as const) {
      const { missed } = summary(await measureAll(agent, left));
      expect(missed.filter((each) => /permission|crashed/.test(each))).toEqual([]);
    }
  });
});

describe('a file that is no recording', () => {
  const header = '{"version":2,"width":80,"height":24,"title":"claude 2.1.328 x"}';
  test.each([
    ['', 'Line 1: not JSON'],
    ['{"version":1}', 'Line 1: the header is not asciicast version 2'],
    ['{"version":2,"width":0,"height":24}', 'Line 1: width and height must be whole numbers from 2 to 1000'],
    [`${header}\n[0.1,"o","a"]\nnonsense`, 'Line 3: not JSON'],
    [`${header}\n[0.1,"o"]`, 'Line 2: an event is [seconds, code, text]'],
    [`${header}\n["x","o","a"]`, 'Line 2: the time is not a number of seconds'],
    [`${header}\n[0.1,"o",7]`, 'Line 2: the text of an "o" event is not a text'],
    [`${header}\n\n[0.1,"r","80"]`, 'Line 3: a resize is COLSxROWS, each from 2 to 1000'],
    [`${header}\n[0.1,"e","{\\"source\\":\\"rumour\\"}"]`, 'Line 2: evidence is {source, payload} with a known source'],
  ])('%j is refused with the line and the reason', async (text, message) => {
    const error: unknown = await replayRecording(text).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Fault);
    expect(error).toMatchObject({ code: 'RECORDING_INVALID', message });
  });

  test('an agent without an adapter is refused with those that there are', async () => {
    await expect(replayRecording('{"version":2,"width":80,"height":24,"title":"nobody 1"}')).rejects.toMatchObject({
      code: 'AGENT_UNKNOWN',
    });
  });

  test('the agent can be named where the title does not', async () => {
    const text = '{"version":2,"width":80,"height":24}\n[1,"x","{\\"code\\":3,\\"signal\\":0}"]';
    expect(await replayRecording(text, { agent: 'claude' })).toEqual([
      { t: 0, state: 'starting', source: 'control', reason: 'launched' },
      { t: 1, state: 'crashed', source: 'process', reason: 'process ended with code 3' },
    ]);
  });
});
