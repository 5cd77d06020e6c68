import { expect, test } from 'vitest';
import { diskFinding, gitFinding, memoryFinding, nodeFinding } from './machine.ts';

const megabyte = 1024 * 1024;
const verdicts = (findings: readonly { readonly verdict: string; readonly found: string }[]) =>
  findings.map(({ verdict }) => verdict);

test('node: 24 is enough, 20 is not', () => {
  expect(verdicts([nodeFinding('24.0.0'), nodeFinding('25.1.0'), nodeFinding('20.20.2')])).toEqual([
    'ok',
    'ok',
    'fail',
  ]);
});

test('git: compared by number, not by text; a version that is not understood is unknown', () => {
  const outputs = [
    'git version 2.39.5',
    'git version 2.9.1',
    'git version 3.0.0 (Apple Git-200)',
    'git version 2.36.0.windows.1',
    'git version 2.35.8',
    'hello',
  ];
  expect(outputs.map(gitFinding).map(({ verdict, found }) => [verdict, found])).toEqual([
    ['ok', '2.39.5'],
    ['fail', '2.9.1'],
    ['ok', '3.0.0'],
    ['ok', '2.36.0.windows.1'],
    ['fail', '2.35.8'],
    ['unknown', 'a version that is not understood: hello'],
  ]);
});

test('disk and memory: enough, little, too little', () => {
  const disk = (free: number) => diskFinding({ path: '/', freeBytes: free * megabyte, totalBytes: 9999 * megabyte });
  expect(verdicts([disk(5000), disk(1000), disk(100)])).toEqual(['ok', 'warn', 'fail']);
  const memory = (available: number, pressure?: number) =>
    memoryFinding({ availableBytes: available * megabyte, totalBytes: 9999 * megabyte }, pressure);
  expect(verdicts([memory(5000, 0), memory(5000, 50), memory(5000), memory(500, 0), memory(100, 0)])).toEqual([
    'ok',
    'warn',
    'ok',
    'warn',
    'fail',
  ]);
});
