/** The loop that carries an attempt, over a real ledger. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { type Attempt, type Ledger, openLedger } from '../ledger/index.ts';
import type { JobView } from '../protocol/job.ts';
import { type AttemptRun, runAttempt, type StepResult, type Steps } from './attempt.ts';

let dir: string;
let ledger: Ledger;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'muster-attempt-'));
  ledger = await openLedger({ file: join(dir, 'ledger.db'), now: Date.now });
});
afterEach(async () => {
  await ledger.close();
  rmSync(dir, { recursive: true, force: true });
});

async function claimed(): Promise<{ job: JobView; attempt: Attempt }> {
  const project = await ledger.registerProject({ path: dir, name: 'test' });
  const { job } = await ledger.submit({
    projectId: project.id,
    text: 'do something',
    persona: 'dev',
    agent: 'claude',
    verify: null,
    allowEmpty: false,
    baseCommit: 'a'.repeat(40),
    baseRef: 'main',
    submittedBy: 'test',
    idempotencyKey: null,
  });
  const attempt = await ledger.claim(job.id, {
    owner: 'test',
    sessionId: 's-1',
    branch: 'b',
    worktree: join(dir, 'w'),
  });
  if (!attempt) throw new Error('not claimed');
  return { job, attempt };
}

/** Parts that the path under test does not reach; reaching one fails the test. */
const unreached = new Proxy(
  {},
  { get: (_, name) => () => Promise.reject(new Error(`${String(name)} was not to be called`)) },
);
const runOf = (parts: { job: JobView; attempt: Attempt }, signal = new AbortController().signal): AttemptRun =>
  ({ ledger, sessions: unreached, workspace: unreached, log: silentLog, signal, ...parts }) as unknown as AttemptRun;

const never = (): Promise<StepResult> => Promise.reject(new Error('this step was not to run'));
const stepsWith = (some: Partial<Steps>): Steps => ({
  claimed: never,
  prepared: never,
  started: never,
  delivering: never,
  delivered: never,
  ended: never,
  captured: never,
  verified: never,
  landed: never,
  ...some,
});
const prepared: StepResult = { kind: 'advance', to: 'prepared', event: { type: 'workspace.prepared', data: {} } };

test('[D4] an attempt that was settled by another life stops, and changes nothing', async () => {
  const parts = await claimed();
  const late = stepsWith({
    claimed: async () => {
      await ledger.settle({
        attemptId: parts.attempt.id,
        outcome: { kind: 'cancelled', detail: 'by another life', commit: null },
      });
      await ledger.retry(parts.job.id);
      await ledger.claim(parts.job.id, { owner: 'other', sessionId: 's-2', branch: 'b2', worktree: join(dir, 'w2') });
      return prepared;
    },
  });
  expect(await runAttempt(runOf(parts), late)).toBe('stale');
  expect((await ledger.attempts(parts.job.id)).map(({ id, phase }) => [id, phase])).toEqual([
    ['j1.1', 'settled'],
    ['j1.2', 'claimed'],
  ]);
});

test('[D5] a life that goes away leaves the attempt at the phase it came to', async () => {
  const parts = await claimed();
  const away = new AbortController();
  const steps = stepsWith({
    claimed: async () => prepared,
    prepared: (run) =>
      new Promise((_, reject) => {
        run.signal.addEventListener('abort', () => reject(run.signal.reason as Error));
        away.abort({ kind: 'detach' });
      }),
  });
  expect(await runAttempt(runOf(parts, away.signal), steps)).toBe('detached');
  expect((await ledger.attempts(parts.job.id)).map(({ phase }) => phase)).toEqual(['prepared']);
  expect((await ledger.job(parts.job.id)).state).toBe('running');
});
