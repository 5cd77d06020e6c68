import { expect, test } from 'vitest';
import { painter } from './style.ts';
import { tableLines } from './table.ts';
import { displayWidth, fit, pad } from './width.ts';

const plain = painter(false);
const columns = [{ title: 'ID' }, { title: 'TEXT', flexible: true }, { title: 'LAST', flexible: true }];
const rows = [
  ['j1', '테스트를 고쳐 주세요 지금', 'a long remark that will not fit'],
  ['j22', 'short', ''],
];

test('a table keeps its columns straight with wide characters and fits the width', () => {
  const lines = tableLines({ columns, rows, width: 40, paint: plain });
  expect(lines.map(displayWidth).every((width) => width <= 40)).toBe(true);
  expect(lines).toEqual(['ID   TEXT              LAST', 'j1   테스트를 고쳐 …   a long remark th…', 'j22  short']);
});

test('into a pipe nothing is cut', () => {
  const lines = tableLines({ columns, rows, width: undefined, paint: plain });
  expect(lines[1]).toBe('j1   테스트를 고쳐 주세요 지금  a long remark that will not fit');
});

test('no rows, no table', () => {
  expect(tableLines({ columns, rows: [], width: 80, paint: plain })).toEqual([]);
});

test('colour does not move the next column', () => {
  const state = { text: 'done', colour: 'green' } as const;
  const table = { columns: [{ title: 'STATE' }, { title: 'X' }], rows: [[state, 'x']], width: 80 };
  const coloured = tableLines({ ...table, paint: painter(true) });
  const uncoloured = tableLines({ ...table, paint: plain });
  expect(coloured[1]).toBe('\u001b[32mdone\u001b[39m   x');
  expect(uncoloured[1]).toBe('done   x');
});

test('width: marks take nothing, East Asian and emoji take two', () => {
  expect(['e\u0301', '한', '한글', '👍🏽', 'abc', '…'].map(displayWidth)).toEqual([1, 2, 4, 2, 3, 1]);
  expect(fit('한글한글', 5)).toBe('한글…');
  expect(fit('한글한글', 4)).toBe('한…');
  expect(pad('한', 4)).toBe('한  ');
});
