import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openTerminal, type Screen, type SignalKind, type TerminalModel } from './terminal.ts';

interface Opened {
  readonly model: TerminalModel;
  readonly answers: string[];
  readonly signals: [SignalKind, string][];
  readonly errors: unknown[];
}

function open(cols = 40, rows = 8): Opened {
  const answers: string[] = [];
  const signals: [SignalKind, string][] = [];
  const errors: unknown[] = [];
  const model = openTerminal({
    cols,
    rows,
    onAnswer: (text) => answers.push(text),
    onSignal: (kind, text) => signals.push([kind, text]),
    onParsed: () => undefined,
    onHookError: (error) => errors.push(error),
  });
  onTestFinished(model.close);
  return { model, answers, signals, errors };
}

async function screenAfter(text: string | Uint8Array, cols?: number, rows?: number): Promise<Screen> {
  const { model } = open(cols, rows);
  model.write(Buffer.from(text));
  await model.settled();
  const screen = model.screen();
  model.close();
  return screen;
}

const filled = (screen: Screen): string[] => screen.rows.filter((row) => row !== '');

describe('the screen', () => {
  it('places wide characters, Hangul and emoji as agents count them', async () => {
    const screen = await screenAfter('한글 가각\u001b[1;11Hx\r\n👩‍💻✅👍🏽⚠️|\u001b[2;9H!');
    expect(filled(screen)).toEqual(['한글 가각 x', '👩‍💻✅👍🏽⚠️!']);
  });

  it('gives each character the columns that agents count', async () => {
    const one = ['a', '·', '─', '☀'];
    const two = ['가', '\u1100\u1161', '𠀀', '✅', '☀️', '⚠️', '🇰🇷', '1️⃣', '👩‍💻', '👍🏽'];
    const newerThanUnicode13 = ['🫠', '🫨', '🩷', '🪿', '🫱🏽', '🛝'];
    const table = Object.fromEntries([
      ...one.map((character) => [character, 1]),
      ...[...two, ...newerThanUnicode13].map((character) => [character, 2]),
    ]);
    const counted: Record<string, number> = {};
    for (const character of Object.keys(table)) counted[character] = (await screenAfter(character)).cursor.x;
    expect(counted).toEqual(table);
  });

  it('knows the alternate screen, scroll regions and the cursor', async () => {
    const screen = await screenAfter('main\u001b[?1049h\u001b[2;3r\u001b[2;1Ha\r\nb\r\nc\u001b[5;2Hz');
    expect(screen).toEqual({ rows: ['', 'b', 'c', '', ' z', '', '', ''], cursor: { x: 2, y: 4 }, alternate: true });
    expect(filled(await screenAfter('main\u001b[?1049h\u001b[2Jother\u001b[?1049l'))).toEqual(['main']);
  });

  it('gives the last lines with their history, wrapped ones as one', async () => {
    const { model } = open(10, 4);
    model.write(
      Buffer.from(`${Array.from({ length: 50 }, (_, index) => `line ${index}`).join('\r\n')}\r\n0123456789abc\r\n`),
    );
    await model.settled();
    expect(model.tail(3)).toEqual(['line 48', 'line 49', '0123456789abc']);
  });

  it('is bounded also for a cell with ten thousand combining marks', async () => {
    const { model } = open();
    model.write(Buffer.from(`a${'\u0301'.repeat(10_000)}`));
    await model.settled();
    expect(JSON.stringify(model.screen()).length).toBeLessThan(1000);
  });

  it('[H18] does nothing a billion times because eleven bytes say so, whatever the command', async () => {
    const finals = Array.from({ length: 0x7e - 0x40 + 1 }, (_, index) => String.fromCharCode(0x40 + index));
    const between = ['', ' ', '!', '"', '$', "'", '*'];
    const { model, errors } = open(100, 30);
    const begun = performance.now();
    for (const final of finals)
      for (const other of between) model.write(Buffer.from(`abc\u001b[999999999;999999999${other}${final}\u001b[m`));
    await model.settled();
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(errors).toEqual([]);
    expect(filled(await screenAfter('x\u001b[999999999b', 10, 3))).toEqual(['xxxxxxxxxx', 'xxxxxxxxxx', 'x']);
  }, 30_000);

  it('[H18] outlives anything that is printed, and answers afterwards', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 400 }),
        fc.constantFrom('', '\u001b[', '\u001b]', '\u001bP'),
        async (bytes, lead) => {
          const { model, answers, errors } = open();
          model.write(Buffer.concat([Buffer.from(lead), bytes]));
          model.write(Buffer.from('\u0018\u001bc\u001b[c'));
          await model.settled();
          expect({ last: answers.at(-1)?.endsWith('\u001b[?1;2c'), errors }).toEqual({ last: true, errors: [] });
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('answers', () => {
  const asked = async (...pieces: string[]): Promise<string[]> => {
    const { model, answers } = open();
    for (const piece of pieces) model.write(Buffer.from(piece));
    await model.settled();
    return answers;
  };

  it('[H11] each question is answered exactly once', async () => {
    const table: Record<string, string> = {
      '\u001b[c': '\u001b[?1;2c',
      '\u001b[0c': '\u001b[?1;2c',
      '\u001b[>c': '\u001b[>0;276;0c',
      '\u001b[5n': '\u001b[0n',
      'ab\u001b[6n': '\u001b[1;3R',
      '\u001b[?6n': '\u001b[?1;1R',
      '\u001b[?2026$p': '\u001b[?2026;2$y',
      '\u001b[?2004h\u001b[?2004$p': '\u001b[?2004;1$y',
      '\u001b[?9999$p': '\u001b[?9999;0$y',
      '\u001b[>q': '\u001bP>|muster(1)\u001b\\',
      '\u001b[>0q': '\u001bP>|muster(1)\u001b\\',
      '\u001b]10;?\u001b\\': '\u001b]10;rgb:d0d0/d0d0/d0d0\u001b\\',
      '\u001b]11;?\u0007': '\u001b]11;rgb:1c1c/1c1c/1c1c\u001b\\',
      '\u001b]10;?;?\u0007': '\u001b]10;rgb:d0d0/d0d0/d0d0\u001b\\\u001b]11;rgb:1c1c/1c1c/1c1c\u001b\\',
      '\u001b[?u': '\u001b[?0u',
      '\u001b[>7u\u001b[>1u\u001b[<1u\u001b[?u': '\u001b[?7u',
      '\u001b[=5u\u001b[=2;2u\u001b[=4;3u\u001b[?u': '\u001b[?3u',
      '\u001b]7501;?\u0007': '\u001b]7501;?\u001b\\',
      '\u001b]52;c;?\u0007': '',
      '\u001b[21t\u001b[18t': '',
    };
    const answered: Record<string, string> = {};
    for (const question of Object.keys(table)) answered[question] = (await asked(question)).join('');
    expect(answered).toEqual(table);
  });

  it('[H11] the status question is answered before the DA1 that follows it, also when they are cut apart', async () => {
    const question = '\u001b[>0q\u001b[?u\u001b]7501;?\u0007\u001b[c';
    const whole = (await asked(question)).join('');
    expect(whole).toBe('\u001bP>|muster(1)\u001b\\\u001b[?0u\u001b]7501;?\u001b\\\u001b[?1;2c');
    for (let cut = 1; cut < question.length; cut++) {
      expect((await asked(question.slice(0, cut), question.slice(cut))).join('')).toBe(whole);
    }
  });

  it('[H11] a flood of questions is answered within the bound', async () => {
    const answers = await asked('\u001b[c'.repeat(10_000));
    expect(answers.join('').length).toBeLessThanOrEqual(4096);
    expect(answers.length).toBeGreaterThan(0);
  });
});

describe('signals', () => {
  it('are titles, notifications, bells and status reports, as bounded text', async () => {
    const { model, signals } = open();
    model.write(
      Buffer.from('\u001b]0;a\u202e\u0001b\u0007\u001b]2;two\u001b\\\u001b]9;note\u0007\u001b]9;4;1;50\u0007\u0007'),
    );
    model.write(
      Buffer.from(
        `\u001b]777;notify;t;b\u0007\u001b]99;i=1:p=?;\u0007\u001b]99;;kitty\u0007\u001b]7501;state=working\u0007\u001b]0;${'x'.repeat(5000)}\u0007`,
      ),
    );
    await model.settled();
    expect(signals).toEqual([
      ['title', 'ab'],
      ['title', 'two'],
      ['notification', 'note'],
      ['bell', ''],
      ['notification', 'notify;t;b'],
      ['notification', ';kitty'],
      ['osc7501', 'state=working'],
      ['title', `${'x'.repeat(999)}…`],
    ]);
  });

  it('are few however many come, and the last of a kind is never lost', async () => {
    const { model, signals } = open();
    model.write(Buffer.from(`${'\u0007\u001b]7501;state=working\u0007'.repeat(20_000)}\u001b]7501;state=done\u0007`));
    await model.settled();
    expect(signals.length).toBeLessThan(500);
    await expect.poll(() => signals.at(-1), { timeout: 2000 }).toEqual(['osc7501', 'state=done']);
  });

  it('status records are replaced whole, and cleared with their children', async () => {
    const { model } = open();
    const report = (...texts: string[]): void =>
      texts.forEach((text) => model.write(Buffer.from(`\u001b]7501;${text}\u0007`)));
    report(
      'state=working:app=a:msg=eA==',
      'state=blocked:kind=permission',
      'state=working:id=sub/one',
      'state=done:id=sub',
      'state=idle:id=subway',
      'nonsense',
    );
    report('state=clear:id=sub');
    await model.settled();
    expect(model.programStatus()).toEqual({ '': 'state=blocked:kind=permission', subway: 'state=idle:id=subway' });
  });
});

describe('a snapshot', () => {
  const piece = fc.oneof(
    fc.stringMatching(/^[a-z ]{1,12}$/),
    // Not cut: characters joined from several (👩‍💻); a viewer sees the halves until the next redraw.
    fc.constantFrom('한글', '👍', '✅', 'é', '\r\n', '\r\n\r\n', '\b', '\t'),
    fc.constantFrom('\u001b[31m', '\u001b[1;48;5;20m', '\u001b[m', '\u001b[7m', '\u001b[38;2;1;2;3m'),
    fc
      .tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 30 }))
      .map(([row, col]) => `\u001b[${row};${col}H`),
    fc.constantFrom(
      '\u001b[K',
      '\u001b[2K',
      '\u001b[J',
      '\u001b[2J',
      '\u001b[A',
      '\u001b[3C',
      '\u001b[2L',
      '\u001b[P',
      '\u001bM',
    ),
    fc.constantFrom(
      '\u001b[2;5r',
      '\u001b[r',
      '\u001b[?25l',
      '\u001b[?25h',
      '\u001b[?2004h',
      '\u001b[?1006h',
      '\u001b[?7l',
      '\u001b[?7h',
    ),
    fc.constantFrom(
      '\u001b]0;title\u0007',
      '\u001b]7501;state=idle\u001b\\',
      '\u001b[?2026h',
      '\u001b[?2026l',
      '\u001bP+q1\u001b\\',
    ),
  );

  it('[H12] and what follows from its offset give the same screen, wherever the stream is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { minLength: 5, maxLength: 40 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (pieces, part) => {
          const bytes = Buffer.from(pieces.join(''));
          const cut = Math.floor(bytes.length * part);
          const { model } = open();
          model.write(bytes.subarray(0, cut));
          const snapshot = await model.snapshot();
          const viewer = open(snapshot.cols, snapshot.rows);
          viewer.model.write(Buffer.from(snapshot.data));
          viewer.model.write(bytes.subarray(snapshot.offset));
          await viewer.model.settled();
          const whole = await screenAfter(bytes);
          expect(viewer.model.screen()).toEqual(whole);
          model.close();
          viewer.model.close();
        },
      ),
      { numRuns: 300 },
    );
  });

  it('keeps the modes that decide what a viewer sends and sees', async () => {
    const { model } = open();
    model.write(
      Buffer.from('\u001b[?1049h\u001b[?25l\u001b[?2004h\u001b[?1002h\u001b[?1006h\u001b[?1h\u001b[2;4rtext'),
    );
    const { data } = await model.snapshot();
    const kept = ['?1049h', '?25l', '?2004h', '?1002h', '?1006h', '?1h', '2;4r'].filter((mode) =>
      data.includes(`\u001b[${mode}`),
    );
    expect(kept).toEqual(['?1049h', '?25l', '?2004h', '?1002h', '?1006h', '?1h', '2;4r']);
  });

  it('fits a frame whatever is on the screen', async () => {
    const { model } = open(1000, 1000);
    const row = Array.from({ length: 1000 }, (_, index) => `\u001b[38;2;${index % 256};1;2m한`).join('');
    model.write(Buffer.from(row.repeat(300)));
    const snapshot = await model.snapshot();
    expect(Buffer.byteLength(JSON.stringify(snapshot))).toBeLessThan(4 * 1024 * 1024);
  });
});
