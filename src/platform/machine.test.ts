import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { diskSpace, memory, parsePressure, parseVmStat, residentBytes, sessionMemory } from './machine.ts';

test('memory: what is available is a part of the whole', () => {
  const { availableBytes, totalBytes } = memory();
  expect(availableBytes).toBeGreaterThan(0);
  expect(availableBytes).toBeLessThanOrEqual(totalBytes);
});

test('disk: a path that does not exist yet is answered for its nearest parent', async () => {
  const space = await diskSpace(join(tmpdir(), 'not', 'made', 'yet'));
  expect(space.path).toBe(tmpdir());
  expect(space.freeBytes).toBeLessThanOrEqual(space.totalBytes);
});

test('resident memory: of ourselves it is plausible, of a process that is gone it is undefined', async () => {
  const own = await residentBytes(process.pid);
  expect(own).toBeGreaterThan(10 * 1024 * 1024);
  expect(own).toBeLessThan(memory().totalBytes);
  expect(await residentBytes(2 ** 22 + 1)).toBeUndefined();
});

test('pressure: the some/avg10 number, or nothing', () => {
  expect(
    parsePressure('some avg10=1.25 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0 avg300=0 total=0\n'),
  ).toBe(1.25);
  expect(parsePressure('')).toBeUndefined();
});

test('macOS: free, inactive and speculative pages can be had', () => {
  const told = [
    'Mach Virtual Memory Statistics: (page size of 16384 bytes)',
    'Pages free:                               10000.',
    'Pages active:                            300000.',
    'Pages inactive:                          200000.',
    'Pages speculative:                         1000.',
  ];
  expect(parseVmStat(told.join('\n'))).toBe(211_000 * 16_384);
  expect(parseVmStat('something else')).toBeUndefined();
});

test('what sessions can have is never more than the machine has', async () => {
  const found = await sessionMemory(['self']);
  expect(found.totalBytes).toBeLessThanOrEqual(memory().totalBytes);
  expect(found.availableBytes).toBeLessThanOrEqual(found.totalBytes);
});
