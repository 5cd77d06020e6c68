import { expect, test } from 'vitest';
import { jobsBySession } from './by-session.ts';

const job = (id: string, sessionId: string | null, state: 'running' | 'done' | 'queued' = 'done') => ({
  id,
  sessionId,
  state,
});

test('a session that has had several jobs works on the one that runs, else on the newest', () => {
  const jobs = [
    job('j6', null, 'queued'),
    job('j5', 's-a'),
    job('j4', 's-b'),
    job('j2', 's-b', 'running'),
    job('j1', 's-a'),
  ];
  expect(Object.fromEntries(jobsBySession(jobs))).toEqual({
    's-a': 'j5',
    's-b': 'j2',
  });
});
