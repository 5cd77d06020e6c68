import { expect, test } from 'vitest';
import { aJob } from '../../../test/peers/web-world.ts';
import { summarise } from './summary.ts';

test('[M11] a job that waits for memory says why in its line, also one that was tried before', () => {
  const waiting = '90 MB of memory are free; it starts when 500 MB more are free';
  const queued = { id: 'j1', state: 'queued', phase: null, attempts: 0 } as const;
  expect([
    summarise(aJob({ ...queued, waiting })),
    summarise(aJob({ ...queued, phase: 'settled', attempts: 1, waiting })),
    summarise(aJob(queued)),
  ]).toEqual([`waits: ${waiting}`, `waits: ${waiting}`, 'not started']);
});
