import { expect, test } from 'vitest';
import { onlyTyped } from './inert.ts';

const typed = [
  'a',
  '\r',
  '\u001b',
  '\u001b[A',
  '\u001bOP',
  '\u001b[1;5D',
  '\u001b[3~',
  '\u001b[Z',
  '\u0003',
  'ü',
  '\u001b[200~two\nlines\u001b[201~',
  '\u001bb',
  '\u001b]',
  '\u001bP',
];
const reported = [
  '\u001b[?1;2c',
  '\u001b[>0;276;0c',
  '\u001b[0n',
  '\u001b[12;40R',
  '\u001b[?2026;2$y',
  '\u001b[I',
  '\u001b[O',
  '\u001b]11;rgb:0000/0000/0000\u001b\\',
  '\u001bP>|xterm\u001b\\',
  '\u001b[<35;10;4M',
  '\u001b[M !!',
  '\u001b[?997;1n',
];

test('keys and pastes are typed text', () => {
  expect(typed.filter((input) => !onlyTyped(input))).toEqual([]);
});

test('answers of a terminal, focus and mouse reports are never sent', () => {
  expect(reported.filter(onlyTyped)).toEqual([]);
});
