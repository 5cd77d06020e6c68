// Run in a checkout of the finished work: does parseAmount do what the job asked for? The agent has never seen this file.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { parseAmount } = await import(pathToFileURL(join(process.cwd(), 'src/index.js')).href);

for (const [text, cents] of [
  ['12.34', 1234],
  ['12,34', 1234],
  ['1 234.50', 123450],
  ['7', 700],
  ['-0.05', -5],
  ['19.99', 1999],
]) {
  assert.equal(parseAmount(text), cents, `parseAmount('${text}')`);
}
for (const text of ['', 'abc', '1.2.3', '12.345', '1,2,3']) {
  assert.throws(() => parseAmount(text), RangeError, `parseAmount('${text}')`);
}
console.log('parseAmount does what the job asks for');
