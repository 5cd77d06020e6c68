import { describe, expect, test } from 'vitest';
import type { Outcome } from '../protocol/job.ts';
import { eventTypes } from '../protocol/job.ts';
import { claimBy, newJob, outcomes, projectOfTests, useLedgerFile } from './fixtures/ledger.ts';
import { explainJob, type Ledger } from './index.ts';

const { open } = useLedgerFile();

/** The clock of the tests begins at 2027-01-15T08:00:00Z and goes on by 1 ms at each step. */
const at = (ms: number): string => `2027-01-15T08:00:00.${String(ms).padStart(3, '0')}Z`;

async function claimed(ledger: Ledger): Promise<void> {
  await ledger.submit(newJob(await projectOfTests(ledger)));
  await ledger.claim('j1', claimBy('a'));
}

const phases = ['claimed', 'prepared', 'started', 'delivering', 'delivered'] as const;
async function delivered(ledger: Ledger): Promise<void> {
  await claimed(ledger);
  for (const [index, from] of phases.slice(0, -1).entries()) {
    await ledger.advance({
      attemptId: 'j1.1',
      from,
      to: phases[index + 1] ?? 'ended',
      event: { type: 'attempt.resumed' },
    });
  }
}

const conclusion = async (ledger: Ledger): Promise<string> => (await ledger.why('j1')).conclusion;

describe('[L19] the concluding sentence', () => {
  test('of a job that waits, and of one that waits again', async () => {
    const ledger = await open();
    await ledger.submit(newJob(await projectOfTests(ledger)));
    expect(await conclusion(ledger)).toBe(`Job j1 waits to be started since ${at(3)}.`);
    await ledger.requestCancel('j1', 'somebody');
    await ledger.retry('j1');
    expect(await conclusion(ledger)).toBe(`Job j1 waits to be started since ${at(5)}.`);
    await ledger.claim('j1', claimBy('a'));
    await ledger.settle({ attemptId: 'j1.1', outcome: outcomes.failed });
    await ledger.retry('j1');
    expect(await conclusion(ledger)).toBe(`Job j1 waits to be started since ${at(8)}, for attempt 2.`);
  });

  test('of a job that runs says what is true in its phase', async () => {
    const ledger = await open();
    await claimed(ledger);
    expect(await conclusion(ledger)).toBe(
      `Job j1 has been running since ${at(4)}, attempt 1: its worktree is being made.`,
    );
  });

  test('of a job whose session waits for a person says for what', async () => {
    const ledger = await open();
    await delivered(ledger);
    const permission = { id: 'p1', tool: 'Bash', summary: 'npm publish' };
    await ledger.record({
      type: 'session.changed',
      sessionId: 's-a',
      data: { from: 'working', to: 'permission', source: 'hook', reason: 'hook PermissionRequest', permission },
    });
    await ledger.requestCancel('j1', 'somebody');
    expect(await conclusion(ledger)).toBe(
      `Job j1 has been running since ${at(4)}, attempt 1: the session waits for permission: Bash npm publish. Its cancellation has been asked for.`,
    );
    await ledger.record({
      type: 'session.changed',
      sessionId: 's-a',
      data: { from: 'permission', to: 'working', source: 'hook', reason: 'hook PostToolUse', permission: null },
    });
    expect(await conclusion(ledger)).toContain('attempt 1: the agent works on it.');
  });

  const verification = { command: 'npm test', commit: 'c'.repeat(40), exitCode: 0, durationMs: 900, tail: '' };
  const ends: readonly (readonly [Outcome, string])[] = [
    [
      { ...outcomes.done, verification },
      'Job j1 is done in its first attempt: branch muster/j1 points to commit cccccccccccc, and `npm test` passed on it in a clean checkout.',
    ],
    [
      outcomes.done,
      'Job j1 is done in its first attempt: branch muster/j1 points to commit cccccccccccc, and no verify command was set, so nothing but the agent says that it is right.',
    ],
    [
      { ...outcomes.done, commit: null },
      'Job j1 is done in its first attempt: nothing had to change, and that was allowed.',
    ],
    [
      { ...outcomes.failed, commit: 'd'.repeat(40) },
      'Job j1 failed in its first attempt (VERIFY_FAILED): npm test ended with code 1. What had been changed is kept as commit dddddddddddd.',
    ],
    [outcomes.unknown, 'How job j1 ended is unknown (PROMPT_UNCONFIRMED). What was tried: waited 30 s for the hook.'],
    [outcomes.cancelled, 'Job j1 was cancelled: cancelled by a person.'],
  ];
  test.each(ends)('of a job that ended %j', async (outcome, sentence) => {
    const ledger = await open();
    await claimed(ledger);
    await ledger.settle({ attemptId: 'j1.1', outcome });
    expect(await conclusion(ledger)).toBe(sentence);
  });
});

test('[L19] the steps tell what happened, when, and by what evidence', async () => {
  const ledger = await open();
  await claimed(ledger);
  await ledger.record({
    type: 'session.changed',
    sessionId: 's-a',
    data: { from: 'idle', to: 'working', source: 'osc7501', reason: '7501 working', permission: null },
  });
  await ledger.settle({ attemptId: 'j1.1', outcome: outcomes.failed });
  expect((await ledger.why('j1')).steps.map(({ what, evidence }) => [what, evidence])).toEqual([
    ['submitted by test for claude', 'base bbbbbbbbbbbb, verify: npm test'],
    ['attempt j1.1 claimed the job', 'branch muster/j1.1, session s-a'],
    ['the session went from idle to working', 'by osc7501, 7501 working'],
    ['attempt j1.1 ended: failed', 'VERIFY_FAILED'],
    ['the job failed', 'VERIFY_FAILED, npm test ended with code 1'],
  ]);
});

test('[L19] events of every type, with data of any shape, are told in harmless lines', async () => {
  const ledger = await open();
  await claimed(ledger);
  const job = await ledger.job('j1');
  const shapes: Record<string, unknown>[] = [
    {},
    { reason: 7, exit: null, outcome: 'x', permission: [], files: 'many' },
    { reason: '\u001b[2J\u202e\nnext line', to: '\u0007'.repeat(10_000) },
  ];
  const events = [...eventTypes, 'from.the-future'].flatMap((type, index) =>
    shapes.map((data) => ({ seq: index, at: index, type, jobId: 'j1', attemptId: 'j1.1', sessionId: 's-a', data })),
  );
  const { steps } = explainJob(job, await ledger.attempts('j1'), events);
  expect(steps).toHaveLength(events.length);
  for (const step of steps) {
    expect(step.what).toMatch(/^[\x20-\x7e…]{3,300}$/);
    expect(step.evidence).toMatch(/^[\x20-\x7e…]{0,300}$/);
  }
});

test('[L19] a very long story keeps its beginning and its end', async () => {
  const ledger = await open();
  await claimed(ledger);
  const change = { type: 'session.changed', sessionId: 's-a', data: { from: 'idle', to: 'working' } } as const;
  await Promise.all(Array.from({ length: 1010 }, () => ledger.record(change)));
  await ledger.settle({ attemptId: 'j1.1', outcome: outcomes.done });
  const { steps } = await ledger.why('j1');
  expect([steps.length, steps[0]?.what, steps.at(-1)?.what]).toEqual([
    401,
    'submitted by test for claude',
    'the job is done',
  ]);
});
