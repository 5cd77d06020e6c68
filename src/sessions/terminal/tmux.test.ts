/**
 * Our screen beside tmux's own, after the same bytes, in a private server. Left out is where tmux 3.3 itself differs from ECMA-48 and
 * xterm: a cursor moved back from behind a full row, half a wide character overwritten, REP of a wide one, CHT, HPR, VPR, and emoji newer
 * than its tables; line drawing, which `capture-pane` shows as letters.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { orSay } from '../../../test/peers/or-say.ts';
import { openTerminal } from './terminal.ts';

const esc = '\u001b';
const rows = (count: number, text: string): string =>
  Array.from({ length: count }, (_, index) => `${text} ${index}`).join('\r\n');
const streams: Readonly<Record<string, string>> = {
  Hangul: `한글 가각 뷁\r\n안녕하세요 세계\r\nabc한d\r\n${'가'.repeat(60)}\r\nend`,
  'conjoining jamo and combining marks': '\u1112\u1161\u11ab x \u1100\u1161 y\r\ne\u0301a\u0308 n\u0303|\r\n',
  emoji: '✅ ok 🚀 go 👍 z 🎉|\r\n❌ no ⏳ wait\r\n',
  'emoji of several parts': '👩‍💻|👍🏽|🇰🇷|⚠️|1️⃣|☀️|\r\n',
  'the alternate screen': `main one\r\nmain two\r\n${esc}[?1049h${esc}[2J${esc}[3;5Halt text${esc}[10;1H한글`,
  'the way back from it': `main one\r\n${esc}[?1049h${esc}[2J${esc}[3;5Halt text${esc}[?1049lback`,
  'a scroll region': `${rows(20, 'row')}${esc}[5;10r${esc}[10;1Hx\r\ny\r\nz\r\n${esc}[5;1H${esc}M${esc}Mtop${esc}[r${esc}[15;1Hafter`,
  'origin mode': `${esc}[5;10r${esc}[?6h${esc}[1;1Hfirst${esc}[99;1Hlast${esc}[?6l${esc}[r${esc}[20;3Hout`,
  'insertions and deletions': `abcdefghij\r\n1234567890\r\nzzzz${esc}[1;3H${esc}[2@XX${esc}[2;3H${esc}[3P${esc}[3;1H${esc}[Lnew${esc}[4;1H${esc}[M`,
  erasing: `${'line of text here\r\n'.repeat(10)}${esc}[3;5H${esc}[K${esc}[5;5H${esc}[1K${esc}[7;5H${esc}[2K${esc}[9;3H${esc}[J`,
  'tab stops': `a\tb\tc\r\n${esc}[3g${esc}[1;5H${esc}H${esc}[2;1Hx\ty\r\n`,
  'a saved cursor': `${esc}[3;3H${esc}7${esc}[10;10Hmoved${esc}8here${esc}[s${esc}[1;1Hz${esc}[uq`,
  'a synchronized update': `before${esc}[?2026h${esc}[2;1Hinside${esc}[?2026lafter`,
  'scrolling up and down': `${rows(24, 'r')}${esc}[3S${esc}[5;1Hmid${esc}[2T`,
  'strings of every kind': `${esc}]0;title${esc}\\text${esc}]8;;http://x${esc}\\link${esc}]8;;${esc}\\ ${esc}P1$r0m${esc}\\tail${esc}_apc${esc}\\x${esc}^pm${esc}\\y`,
  'line controls': `10%\r100%\r\nspin |\b/\b-\r\na${esc}Eb${esc}Dc${esc}Md\x0be\x0cf`,
};
const recordingsDir = new URL('../../../test/recordings/', import.meta.url);
const recordings = readdirSync(recordingsDir, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.cast'))
  .map((name) => {
    const [header, ...events] = readFileSync(new URL(name, recordingsDir), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    const { width, height } = header as { width: number; height: number };
    const output = (events as [number, string, string][]).filter((event) => event[1] === 'o').map((event) => event[2]);
    return { name, cols: width, rows: height, text: output.join('') };
  });
const cases = [
  ...recordings,
  ...Object.entries(streams).flatMap(([name, text]) => [
    { name: `${name} at 80x24`, cols: 80, rows: 24, text },
    { name: `${name} at 110x36`, cols: 110, rows: 36, text },
  ]),
];

const hasTmux = spawnSync('tmux', ['-V']).status === 0;
describe.runIf(orSay(hasTmux, 'tmux is not installed: our screen is not compared with its'))('beside tmux', () => {
  const server = `muster-test-${process.pid}`;
  let dir = '';
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-L', server, ...args], { encoding: 'utf8', env: { ...process.env, LANG: 'C.UTF-8' } });

  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'muster-tmux-'));
    tmux('-f', '/dev/null', 'new-session', '-d', 'sleep 1000');
    tmux('set', '-g', 'status', 'off');
  });
  afterAll(() => {
    tmux('kill-server');
    rmSync(dir, { recursive: true });
  });

  it.each(cases)('[H24] the screen is the same: $name', async ({ cols, rows: height, text }) => {
    const file = join(dir, 'stream');
    writeFileSync(file, text);
    const script = `stty raw -echo; cat ${file}; printf '\\033]0;all of it\\007'; touch ${file}.sent; sleep 1000`;
    tmux('new-session', '-d', '-s', 'case', '-x', String(cols), '-y', String(height), script);
    const shown = (format: string): string => tmux('display', '-p', '-t', 'case', format).trim();
    // The title comes last, so the rest has been drawn.
    await vi.waitFor(() => expect([existsSync(`${file}.sent`), shown('#{pane_title}')]).toEqual([true, 'all of it']), {
      timeout: 5000,
      interval: 10,
    });
    const theirs = tmux('capture-pane', '-p', '-t', 'case').replace(/\n$/, '').split('\n');
    const [x, y, alternate] = shown('#{cursor_x} #{cursor_y} #{alternate_on}').split(' ').map(Number);
    tmux('kill-session', '-t', 'case');
    rmSync(`${file}.sent`);
    const nothing = (): void => undefined;
    const hooks = { onAnswer: nothing, onSignal: nothing, onParsed: nothing, onHookError: nothing };
    const model = openTerminal({ cols, rows: height, ...hooks });
    model.write(Buffer.from(text));
    await model.settled();
    const ours = model.screen();
    model.close();
    const trimmed = (lines: readonly string[]): string[] => lines.map((line) => line.trimEnd());
    expect({ ...ours, rows: trimmed(ours.rows) }).toEqual({
      rows: trimmed([...theirs, ...Array.from({ length: height - theirs.length }, () => '')]),
      cursor: { x, y },
      alternate: alternate === 1,
    });
  });
});
