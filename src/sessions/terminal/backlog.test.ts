/** The model of a flood, and the one that goes on for another, against one that was given the same bytes in small pieces. */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { skim } from './skim.ts';
import { type CarriedTerminal, openTerminal, scrollbackLines, type TerminalModel } from './terminal.ts';

function open(cols: number, rows: number, carried?: CarriedTerminal): TerminalModel & { readonly answers: string[] } {
  const answers: string[] = [];
  const model = openTerminal({
    cols,
    rows,
    carried,
    onAnswer: (text) => answers.push(text),
    onSignal: () => undefined,
    onParsed: () => undefined,
    onHookError: (error) => {
      throw error;
    },
  });
  onTestFinished(model.close);
  return { ...model, answers };
}

/** Everything that a model knows. */
const known = (model: TerminalModel): unknown => ({ ...model.carry(), tail: model.tail(2000), screen: model.screen() });

async function inPieces(model: TerminalModel, bytes: Buffer, size = 8000): Promise<void> {
  for (let at = 0; at < bytes.length; at += size) {
    model.write(bytes.subarray(at, at + size));
    await model.settled();
  }
}

const esc = '\u001b';
const colours = [
  '',
  `${esc}[m`,
  `${esc}[0m`,
  `${esc}[31m`,
  `${esc}[1;48;5;12m`,
  `${esc}[38;2;1;2;3m`,
  `${esc}[0;7m`,
  `${esc}[4:3m`,
];
const others = [
  `${esc}[2;5r`,
  `${esc}[r`,
  `${esc}7`,
  `${esc}8`,
  `${esc}[5;5H`,
  `${esc}[2J`,
  `${esc}[c`,
  `${esc}[?1049h`,
  `${esc}[?1049l`,
  `${esc}(0`,
  '\u0008',
  '\u009b3A',
  `${esc}[?6h`,
  `${esc}[3L`,
  `${esc}[?7l`,
];

/** Runs of plain lines, between them something that may change everything. */
const floods = fc.array(
  fc.record({
    lines: fc.array(
      fc.tuple(fc.constantFrom(...colours), fc.constantFrom('x', '한글 ✅ ', 'é\t', '0123456789'.repeat(9), '\r..')),
      {
        minLength: 1,
        maxLength: 5,
      },
    ),
    end: fc.constantFrom('\r\n', '\n'),
    times: fc.integer({ min: 1, max: 3000 }),
    other: fc.constantFrom(...others),
  }),
  { minLength: 1, maxLength: 4 },
);

describe('a flood', () => {
  it('[H20] that is left out in part leaves the same model as one that was parsed whole', async () => {
    await fc.assert(
      fc.asyncProperty(floods, fc.boolean(), async (runs, questioned) => {
        const text = runs.map(
          (run) =>
            run.other +
            run.lines
              .map(([colour, word]) => `${colour}${word.repeat(3)}${run.end}`)
              .join('')
              .repeat(run.times),
        );
        const bytes = Buffer.from(text.join('') + (questioned ? `${esc}[6n` : ''));
        const [whole, flooded] = [open(40, 10), open(40, 10)];
        await inPieces(whole, bytes);
        for (let at = 0; at < bytes.length; at += 300_000) flooded.write(bytes.subarray(at, at + 300_000));
        await flooded.settled();
        expect(known(flooded)).toEqual(known(whole));
        expect(flooded.answers.join('')).toEqual(whole.answers.join(''));
      }),
      { numRuns: 25 },
    );
  }, 60_000);

  it('[H20] of text and colours is left out but for the last lines, of anything else nothing', () => {
    const kept = scrollbackLines + 10;
    const line = `${esc}[31mred${esc}[0m and plain\r\n`;
    const plain = Buffer.from(`${esc}[7m${line.repeat(20_000)}`);
    const { skipped, colours: last } = skim(plain, kept);
    expect(plain.subarray(skipped).toString()).toBe(line.repeat(kept));
    expect(last.toString()).toBe(`${esc}[0m`);
    const withoutEnd = others.map((other) => skim(Buffer.concat([Buffer.from(other), plain]), kept).skipped);
    expect(withoutEnd).toEqual(
      others.map((other) => (other === '\u0008' || other.startsWith(esc) || other === '\u009b3A' ? 0 : -1)),
    );
  });
});

const recordings = readdirSync(new URL('../../../test/recordings', import.meta.url), {
  recursive: true,
  encoding: 'utf8',
})
  .filter((name) => name.endsWith('.cast'))
  .map((name) => {
    const [header, ...rows] = readFileSync(new URL(`../../../test/recordings/${name}`, import.meta.url), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    const { width, height } = header as { width: number; height: number };
    const output = (rows as [number, string, string][]).filter((row) => row[1] === 'o').map((row) => row[2]);
    return { name, cols: width, rows: height, bytes: Buffer.from(output.join('')) };
  });

/** State that no recording has, in one stream. */
const rare = [
  `${esc}[3g${esc}[1;5H${esc}H${esc}[1;20H${esc}H`,
  `main line\r\n${esc}[2;4H${esc}[1;35m${esc}7${esc}[0;44m`,
  `${esc}[3;8r${esc}[?6h${esc}[2;3Ha\tb\tc`,
  `${esc}[?1049h${esc}[H${esc}[32malternate${esc}[4;4H${esc}7`,
  `${esc}(0lqqk${esc}(B${esc})0\u000ex\u000f`,
  `${esc}[?1049l${esc}8back`,
  `${esc}[r${esc}[?6l${esc}[10;1H${'z'.repeat(80)}`,
  `y${esc}[9;1H${'가'.repeat(40)}`,
  `!${esc}[>5u${esc}[?25l${esc}[?1006h${esc}[?2026hhidden\r\n\n\n\n\n\n\n`,
  `${esc}]0;title\u0007${esc}]7501;state=working\u0007${esc}[?2026l${esc}[?u${esc}[6n`,
].join('');

describe('a model that goes on for another', () => {
  const cases = [...recordings, { name: 'rare states', cols: 80, rows: 12, bytes: Buffer.from(rare) }];
  it.each(cases)(
    '[H19] shows the same, wherever $name was cut',
    async ({ cols, rows, bytes }) => {
      const whole = open(cols, rows);
      await inPieces(whole, bytes);
      const cuts =
        bytes.length < 2000
          ? Array.from({ length: bytes.length }, (_, at) => at)
          : Array.from({ length: 25 }, (_, index) => Math.floor(((index + 0.37) * bytes.length) / 25));
      for (const cut of cuts) {
        const before = open(cols, rows);
        await inPieces(before, bytes.subarray(0, cut));
        const carried = before.carry();
        const after = open(cols, rows, carried);
        expect(after.screen(), `at ${cut}`).toEqual(before.screen());
        await inPieces(after, bytes.subarray(carried.offset));
        expect(known(after), `cut at ${cut}`).toEqual(known(whole));
        before.close();
        after.close();
      }
    },
    30_000,
  );
});
