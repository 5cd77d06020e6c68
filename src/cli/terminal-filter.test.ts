import fc from 'fast-check';
import { expect, test } from 'vitest';
import { terminalFilter } from './terminal-filter.ts';

const pass = (text: string): string => terminalFilter().pass(text);
const esc = '\u001b';

test('text, colours, cursor movement and synchronized updates pass unchanged', () => {
  for (const text of [
    'plain 한글 👍\r\n\tx\b',
    `${esc}[1;38;5;208mred${esc}[0m`,
    `${esc}[38:2::1:2:3m`,
    `${esc}[2J${esc}[H${esc}[10;20H${esc}[3A${esc}[K${esc}[?25l${esc}[?25h`,
    `${esc}[?2026h.${esc}[?2026l${esc}[?2004h${esc}[?1004h${esc}[?1000;1006h`.replace('?1000;1006h', '?1000h'),
    `${esc}[>1u${esc}[<u${esc}[=5;1u${esc}[>4;2m${esc}[u${esc}[s`,
    `${esc}7${esc}8${esc}(B${esc}=${esc}>${esc}M`,
    `${esc}[2;20r${esc}[4 q${esc}[!p`,
    `${esc}]8;;https://example.org/a\u0007link${esc}]8;;\u0007`,
  ]) {
    expect(pass(text)).toBe(text);
  }
});

test('no query reaches the terminal, since it would answer it a second time', () => {
  for (const query of [
    `${esc}[c`,
    `${esc}[>c`,
    `${esc}[=c`,
    `${esc}Z`,
    `${esc}[5n`,
    `${esc}[6n`,
    `${esc}[?6n`,
    `${esc}[>q`,
    `${esc}[>0q`,
    `${esc}[?u`,
    `${esc}[?4m`,
    `${esc}[?2026$p`,
    `${esc}[14t`,
    `${esc}[18t`,
    `${esc}]10;?\u0007`,
    `${esc}]11;?${esc}\\`,
    `${esc}]4;1;?\u0007`,
    `${esc}]7501;?\u0007`,
    `${esc}P+q544e${esc}\\`,
    `${esc}P$qm${esc}\\`,
    '\u0005',
  ]) {
    expect(JSON.stringify(pass(`a${query}b`))).toBe(JSON.stringify('ab'));
  }
});

test('nothing reaches the machine: clipboard, notifications, printing, window operations, 8-bit controls', () => {
  for (const action of [
    `${esc}]52;c;cm0gLXJm\u0007`,
    `${esc}]9;hello\u0007`,
    `${esc}]777;notify;a;b${esc}\\`,
    `${esc}]1337;File=name=x:AAAA\u0007`,
    `${esc}_Ga=T;AAAA${esc}\\`,
    `${esc}[5i`,
    `${esc}[8;10;10t`,
    `${esc}]8;;file:///etc/passwd\u0007`,
    `${esc}k title${esc}\\`,
    `${esc}^x${esc}\\`,
  ]) {
    expect(JSON.stringify(pass(`a${action}b`))).toBe(JSON.stringify('ab'));
  }
  expect(pass('a\u009b31mb')).toBe('a31mb');
  expect(pass('a\u007fb')).toBe('ab');
});

test('a title passes without its control characters', () => {
  expect(pass(`${esc}]0;work\u202eing\u0007`)).toBe(`${esc}]2;working\u0007`);
  expect(pass(`${esc}]2;two${esc}\\x`)).toBe(`${esc}]2;two\u0007x`);
});

test('the alternate screen is ours: entering clears, leaving is told', () => {
  const filter = terminalFilter();
  expect(filter.pass(`a${esc}[?1049h`)).toBe(`a${esc}[2J${esc}[H`);
  expect(filter.leftAlternate()).toBe(false);
  expect(filter.pass(`${esc}[?25h${esc}[?1049l`)).toBe(`${esc}[?25h${esc}[2J${esc}[H`);
  expect(filter.leftAlternate()).toBe(true);
});

test('leaving an alternate screen that was never entered is no news', () => {
  const filter = terminalFilter();
  filter.pass(`${esc}[?1049l`);
  expect(filter.leftAlternate()).toBe(false);
});

test('a full reset becomes one that keeps us on our screen', () => {
  expect(pass(`${esc}c`)).toBe(`${esc}[!p${esc}[2J${esc}[H`);
});

test('an endless sequence is dropped and what follows it is shown', () => {
  expect(pass(`${esc}]0;${'x'.repeat(10_000)}\u0007after`)).toBe('after');
  expect(pass(`${esc}P${'x'.repeat(10_000)}${esc}\\after`)).toBe('after');
});

test('where the pieces are cut makes no difference', () => {
  const part = fc.constantFrom(
    'text',
    '한',
    `${esc}[31m`,
    `${esc}[?1049h`,
    `${esc}[?1049l`,
    `${esc}]0;t\u0007`,
    `${esc}]52;c;AA${esc}\\`,
    `${esc}[6n`,
    `${esc}P1$r${esc}\\`,
    `${esc}(B`,
    `${esc}`,
    '\u0018',
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 20 }), fc.array(fc.nat(100), { maxLength: 8 }), (parts, cuts) => {
      const text = parts.join('');
      const whole = terminalFilter();
      const cut = terminalFilter();
      const at = [0, ...cuts.map((cutAt) => cutAt % (text.length + 1)).toSorted((a, b) => a - b), text.length];
      const pieces = at.slice(1).map((end, index) => text.slice(at[index], end));
      expect(pieces.map(cut.pass).join('')).toBe(whole.pass(text));
      expect(cut.leftAlternate()).toBe(whole.leftAlternate());
    }),
  );
});
