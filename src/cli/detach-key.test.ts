import { expect, test } from 'vitest';
import { Fault } from '../base/fault.ts';
import { parseDetachKey } from './detach-key.ts';

test('the key is found in every form in which a terminal may send it', () => {
  const key = parseDetachKey('ctrl-]');
  expect(key.name).toBe('Ctrl-]');
  for (const typed of ['\u001d', '\u001b[93;5u', '\u001b[93;133u', '\u001b[93:125;69:1u', '\u001b[27;5;93~']) {
    expect([typed, key.indexIn(`ab${typed}c`)]).toEqual([typed, 2]);
  }
});

test('the letter alone, other modifiers and the release of the key are not it', () => {
  const key = parseDetachKey('ctrl-q');
  for (const typed of ['q', '\u001b[113;1u', '\u001b[113;6u', '\u001b[113;5:3u', '\u001b[27;6;113~', '']) {
    expect([typed, key.indexIn(typed)]).toEqual([typed, -1]);
  }
  expect(key.indexIn('\u0011')).toBe(0);
});

test('a key that can not be used is refused with what can', () => {
  for (const text of ['q', 'ctrl-', 'ctrl-ab', 'alt-x', 'ctrl-1']) {
    expect(() => parseDetachKey(text)).toThrow(Fault);
  }
});
