import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format, split } from '../src/index.js';

test('an amount that can be shared evenly is shared evenly', () => {
  assert.deepEqual(split(900, 3), [300, 300, 300]);
});

test('no cent is lost: the first people get what is left over', () => {
  assert.deepEqual(split(1000, 3), [334, 333, 333]);
  assert.deepEqual(split(5, 4), [2, 1, 1, 1]);
});

test('nobody to share with is an error', () => {
  assert.throws(() => split(100, 0), RangeError);
});

test('cents are written with two digits', () => {
  assert.equal(format(1234), '12.34');
  assert.equal(format(5), '0.05');
  assert.equal(format(-250), '-2.50');
});
