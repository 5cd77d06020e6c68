import { describe, expect, test } from 'vitest';
import type { LedgerEvent } from '../protocol/job.ts';
import { claimBy, newJob, outcomes, projectOfTests, useLedgerFile } from './fixtures/ledger.ts';
import { eventBytesMax, type Ledger } from './index.ts';

const { open } = useLedgerFile();

/** A ledger with one job and one attempt at it. */
async function withAttempt(ledger: Ledger) {
  const project = await projectOfTests(ledger);
  const { job } = await ledger.submit(newJob(project));
  const attempt = (await ledger.claim(job.id, claimBy('first')))?.attempt;
  if (!attempt) throw new Error('a queued job can be claimed');
  return { project, job, attempt };
}

const prepared = {
  from: 'claimed',
  to: 'prepared',
  event: { type: 'workspace.prepared', data: { worktree: '/w' } },
} as const;
const types = async (ledger: Ledger): Promise<string[]> => (await ledger.events()).map((event) => event.type);

describe('jobs', () => {
  test('what is submitted is queued as it was wanted', async () => {
    const ledger = await open();
    const { job, already } = await ledger.submit(newJob(await projectOfTests(ledger)));
    expect({ job, already }).toEqual({
      already: false,
      job: {
        id: 'j1',
        state: 'queued',
        text: 'Fix the failing test',
        project: 'sum',
        projectPath: '/projects/sum',
        persona: 'engineer',
        agent: 'claude',
        verify: 'npm test',
        allowEmpty: false,
        baseCommit: 'b'.repeat(40),
        baseRef: 'main',
        submittedAt: 1_800_000_000_003,
        submittedBy: 'test',
        endedAt: null,
        cancelRequested: false,
        waiting: null,
        attempts: 0,
        phase: null,
        sessionId: null,
        branch: null,
        outcome: null,
      },
    });
    expect(await ledger.job('j1')).toEqual(job);
  });

  test('a project is known by its path and registered once', async () => {
    const ledger = await open();
    const first = await ledger.registerProject({ path: '/projects/sum', name: 'sum' });
    expect(await ledger.registerProject({ path: '/projects/sum', name: 'another name' })).toEqual(first);
    expect((await ledger.registerProject({ path: '/projects/two', name: 'sum' })).id).toBe('p2');
    expect(await types(ledger)).toEqual(['project.registered', 'project.registered']);
  });

  test('[L8] the same key with the same content gives the job that is there', async () => {
    const ledger = await open();
    const wanted = newJob(await projectOfTests(ledger), { idempotencyKey: 'k1' });
    const { job } = await ledger.submit(wanted);
    expect(await ledger.submit({ ...wanted, baseCommit: 'f'.repeat(40), submittedBy: 'someone else' })).toEqual({
      job,
      already: true,
    });
    expect(await types(ledger)).toEqual(['project.registered', 'job.submitted']);
  });

  test('[L8] the same key with other content is refused and names the job', async () => {
    const ledger = await open();
    const wanted = newJob(await projectOfTests(ledger), { idempotencyKey: 'k1' });
    await ledger.submit(wanted);
    await expect(ledger.submit({ ...wanted, text: 'Something else' })).rejects.toMatchObject({
      code: 'WRONG_STATE',
      subject: 'j1',
    });
    expect(await ledger.totals()).toMatchObject({ total: 1 });
  });

  test.each(['j9', 'j0', 'x', 'j1; drop table job', '', 'p1'])('no job has the id "%s"', async (id) => {
    const ledger = await open();
    await expect(ledger.job(id)).rejects.toMatchObject({ code: 'NOT_FOUND', subject: id });
    await expect(ledger.requestCancel(id, 'somebody')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(ledger.retry(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('[L10] a queued job is cancelled at once, and again is no error', async () => {
    const ledger = await open();
    await ledger.submit(newJob(await projectOfTests(ledger)));
    const cancelled = await ledger.requestCancel('j1', 'somebody');
    expect(cancelled).toMatchObject({
      state: 'cancelled',
      endedAt: expect.any(Number),
      outcome: { kind: 'cancelled', detail: 'cancelled by somebody before it was started', commit: null },
    });
    expect(await ledger.requestCancel('j1', 'somebody')).toEqual(cancelled);
    expect(await ledger.claim('j1', claimBy('late'))).toBeUndefined();
    expect(await types(ledger)).toEqual(['project.registered', 'job.submitted', 'job.cancelled']);
  });

  test('[L10] a running job is marked once, and its owner settles it', async () => {
    const ledger = await open();
    const { attempt } = await withAttempt(ledger);
    expect(await ledger.requestCancel('j1', 'somebody')).toMatchObject({ state: 'running', cancelRequested: true });
    await ledger.requestCancel('j1', 'somebody');
    await ledger.settle({ attemptId: attempt.id, outcome: outcomes.cancelled });
    expect(await types(ledger)).toEqual([
      'project.registered',
      'job.submitted',
      'job.claimed',
      'job.cancel-requested',
      'attempt.settled',
      'job.cancelled',
    ]);
  });

  test('[L10] who asked to cancel a running job is there for the next life, also after an earlier cancellation', async () => {
    const ledger = await open();
    const { attempt } = await withAttempt(ledger);
    await ledger.requestCancel('j1', 'somebody');
    await ledger.settle({ attemptId: attempt.id, outcome: outcomes.cancelled });
    await ledger.retry('j1');
    await ledger.claim('j1', claimBy('second'));
    const asked = async () => (await ledger.openAttempts()).map(({ cancelledBy }) => cancelledBy);
    expect(await asked()).toEqual([null]);
    await ledger.requestCancel('j1', 'another');
    await ledger.requestCancel('j1', 'a third');
    expect(await asked()).toEqual(['another']);
  });

  test('[L10] a job that has ended can not be cancelled', async () => {
    const ledger = await open();
    const { attempt } = await withAttempt(ledger);
    await ledger.settle({ attemptId: attempt.id, outcome: outcomes.done });
    await expect(ledger.requestCancel('j1', 'somebody')).rejects.toMatchObject({ code: 'WRONG_STATE', subject: 'j1' });
  });

  test('[L9] a job that failed is queued again with its attempts, and the next attempt has the next number', async () => {
    const ledger = await open();
    const { attempt } = await withAttempt(ledger);
    await ledger.requestCancel('j1', 'somebody');
    await ledger.settle({ attemptId: attempt.id, outcome: outcomes.failed });
    expect(await ledger.retry('j1')).toMatchObject({
      state: 'queued',
      attempts: 1,
      outcome: null,
      endedAt: null,
      cancelRequested: false,
      waiting: null,
    });
    expect(await ledger.claim('j1', claimBy('second'))).toMatchObject({
      job: { id: 'j1', state: 'running', attempts: 2, phase: 'claimed', sessionId: 's-second' },
      attempt: {
        id: 'j1.2',
        fence: 2,
        sessionId: 's-second',
        branch: 'muster/j1.2',
        worktree: '/worktrees/j1.2',
      },
    });
    expect((await ledger.attempts('j1')).map(({ id, phase, outcome }) => ({ id, phase, outcome }))).toEqual([
      { id: 'j1.1', phase: 'settled', outcome: outcomes.failed },
      { id: 'j1.2', phase: 'claimed', outcome: null },
    ]);
  });

  test('[L9] only a job that ended without success can be retried', async () => {
    const ledger = await open();
    const { attempt } = await withAttempt(ledger);
    await expect(ledger.retry('j1')).rejects.toMatchObject({ code: 'WRONG_STATE', subject: 'j1' });
    await ledger.settle({ attemptId: attempt.id, outcome: outcomes.done });
    await expect(ledger.retry('j1')).rejects.toMatchObject({ code: 'WRONG_STATE', subject: 'j1' });
  });

  test('jobs come newest first, page by page, and by state', async () => {
    const ledger = await open();
    const project = await projectOfTests(ledger);
    for (let count = 0; count < 5; count += 1) await ledger.submit(newJob(project));
    await ledger.requestCancel('j4', 'somebody');
    const ids = (page: Awaited<ReturnType<Ledger['jobs']>>) => [page.jobs.map((job) => job.id), page.next];
    expect(ids(await ledger.jobs({ limit: 2 }))).toEqual([['j5', 'j4'], 'j4']);
    expect(ids(await ledger.jobs({ limit: 2, before: 'j4' }))).toEqual([['j3', 'j2'], 'j2']);
    expect(ids(await ledger.jobs({ limit: 2, before: 'j2' }))).toEqual([['j1'], null]);
    expect(ids(await ledger.jobs({ state: 'cancelled' }))).toEqual([['j4'], null]);
    await expect(ledger.jobs({ before: 'nonsense' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('attempts', () => {
  test('[L12] of 20 claimers of one job one gets an attempt', async () => {
    const ledger = await open();
    await ledger.submit(newJob(await projectOfTests(ledger)));
    const claimed = await Promise.all(
      Array.from({ length: 20 }, (_, index) => ledger.claim('j1', claimBy(String(index)))),
    );
    expect(
      claimed
        .filter((one) => one !== undefined)
        .map(({ attempt: { id, fence, owner, phase } }) => ({ id, fence, owner, phase })),
    ).toEqual([{ id: 'j1.1', fence: 1, owner: '0', phase: 'claimed' }]);
  });

  test('an attempt goes forward with its facts, and the job shows its phase', async () => {
    const ledger = await open();
    const { attempt } = await withAttempt(ledger);
    expect(await ledger.advance({ attemptId: attempt.id, ...prepared })).toBe('advanced');
    await ledger.advance({
      attemptId: attempt.id,
      from: 'prepared',
      to: 'started',
      event: { type: 'session.started' },
    });
    await ledger.advance({
      attemptId: attempt.id,
      from: 'started',
      to: 'delivering',
      facts: { prompt: 'Do it.' },
      event: { type: 'prompt.typing' },
    });
    expect(await ledger.attempts('j1')).toMatchObject([{ phase: 'delivering', prompt: 'Do it.', commit: null }]);
    expect(await ledger.job('j1')).toMatchObject({
      state: 'running',
      phase: 'delivering',
      sessionId: 's-first',
      branch: 'muster/j1.1',
    });
    expect((await ledger.events({ after: 4 }))[0]).toEqual({
      seq: 5,
      at: expect.any(Number),
      type: 'session.started',
      jobId: 'j1',
      attemptId: 'j1.1',
      sessionId: 's-first',
      data: {},
    });
  });

  test('[L13] a report from another phase than it names is stale and leaves no event', async () => {
    const ledger = await open();
    const { attempt } = await withAttempt(ledger);
    await ledger.advance({ attemptId: attempt.id, ...prepared });
    const before = await ledger.lastSeq();
    expect(await ledger.advance({ attemptId: attempt.id, ...prepared })).toBe('stale');
    expect(await ledger.lastSeq()).toBe(before);
  });

  test('[L7] a transition that is not in the table is a defect, and nothing is written', async () => {
    const ledger = await open();
    const { attempt } = await withAttempt(ledger);
    const jump = { attemptId: attempt.id, from: 'claimed', to: 'landed', event: { type: 'branch.landed' } } as const;
    await expect(ledger.advance(jump)).rejects.toThrow('an attempt may go from claimed to landed');
    await expect(ledger.advance({ ...jump, to: 'settled' })).rejects.toThrow(
      'an attempt may go from claimed to settled',
    );
    expect(await ledger.attempts('j1')).toMatchObject([{ phase: 'claimed' }]);
  });

  test('[L9] a job ends exactly once: the first outcome stays', async () => {
    const ledger = await open();
    const { attempt } = await withAttempt(ledger);
    const said = await Promise.all(
      [outcomes.done, outcomes.failed, outcomes.unknown].map((outcome) =>
        ledger.settle({ attemptId: attempt.id, outcome }),
      ),
    );
    expect(said).toEqual(['settled', 'stale', 'stale']);
    expect(await ledger.job('j1')).toMatchObject({ state: 'done', outcome: outcomes.done });
    expect((await types(ledger)).filter((type) => /^job\.(done|failed|unknown|cancelled)$/.test(type))).toEqual([
      'job.done',
    ]);
  });

  test.each(Object.values(outcomes))(
    'an attempt that ends $kind moves the job there in the same step',
    async (outcome) => {
      const ledger = await open();
      const { attempt } = await withAttempt(ledger);
      await ledger.settle({
        attemptId: attempt.id,
        outcome,
        event: { type: 'turn.ended', data: { reason: 'hook Stop' } },
      });
      const [job] = (await ledger.jobs()).jobs;
      expect(job).toMatchObject({ state: outcome.kind, outcome, phase: 'settled' });
      expect((await ledger.events({ after: 3 })).map((event) => [event.type, event.at])).toEqual([
        ['turn.ended', job?.endedAt],
        ['attempt.settled', job?.endedAt],
        [`job.${outcome.kind}`, job?.endedAt],
      ]);
    },
  );

  test('[L13] late reports of attempt 1 never touch attempt 2', async () => {
    const ledger = await open();
    const { attempt } = await withAttempt(ledger);
    await ledger.settle({ attemptId: attempt.id, outcome: outcomes.failed });
    await ledger.retry('j1');
    const queued = await ledger.job('j1');
    expect(await ledger.settle({ attemptId: attempt.id, outcome: outcomes.done })).toBe('stale');
    expect(await ledger.job('j1')).toEqual(queued);
    await ledger.claim('j1', claimBy('second'));
    const second = await ledger.openAttempts();
    expect(await ledger.advance({ attemptId: attempt.id, ...prepared })).toBe('stale');
    expect(await ledger.settle({ attemptId: attempt.id, outcome: outcomes.done })).toBe('stale');
    expect(await ledger.openAttempts()).toEqual(second);
  });

  test('an attempt that does not exist is stale', async () => {
    const ledger = await open();
    expect(await ledger.settle({ attemptId: 'j7.1', outcome: outcomes.done })).toBe('stale');
  });

  test('open attempts are those without an outcome, with their jobs', async () => {
    const ledger = await open();
    const { project, attempt } = await withAttempt(ledger);
    for (const id of ['j2', 'j3']) {
      await ledger.submit(newJob(project));
      await ledger.claim(id, claimBy(id));
    }
    await ledger.settle({ attemptId: 'j2.1', outcome: outcomes.done });
    expect(await ledger.openAttempts()).toEqual([
      { job: await ledger.job('j1'), attempt, cancelledBy: null },
      { job: await ledger.job('j3'), attempt: (await ledger.attempts('j3'))[0], cancelledBy: null },
    ]);
  });
});

describe('events', () => {
  test('[L17] a listener hears every event once, in order, although others throw, and not after it left', async () => {
    const errors: unknown[] = [];
    const ledger = await open({ onListenerError: (error) => errors.push(error) });
    const heard: LedgerEvent[] = [];
    ledger.onEvent(() => {
      throw new Error('a listener that is broken');
    });
    const leave = ledger.onEvent((event) => heard.push(event));
    await Promise.all(
      Array.from({ length: 50 }, (_, index) => ledger.record({ type: 'daemon.started', data: { index } })),
    );
    leave();
    await ledger.record({ type: 'daemon.stopped' });
    expect(heard).toEqual((await ledger.events()).slice(0, 50));
    expect(errors).toHaveLength(51);
  });

  test('[L17] a listener finds on disk what it hears', async () => {
    const ledger = await open();
    const seen: Promise<unknown>[] = [];
    ledger.onEvent((event) =>
      seen.push(ledger.events({ after: event.seq - 1, limit: 1 }).then(([found]) => expect(found).toEqual(event))),
    );
    await withAttempt(ledger);
    await Promise.all(seen);
    expect(seen).toHaveLength(3);
  });

  test('[L16] a step that fails uses up no number', async () => {
    const ledger = await open();
    await projectOfTests(ledger);
    await expect(ledger.record({ type: 'job.done', jobId: 'j99' })).rejects.toThrow('FOREIGN KEY');
    expect((await ledger.record({ type: 'daemon.stopped' })).seq).toBe(2);
  });

  test('[L18] data that is too large is clipped and says so', async () => {
    const ledger = await open();
    const event = await ledger.record({
      type: 'turn.ended',
      data: { message: '한'.repeat(100_000), reason: 'hook Stop' },
    });
    expect(event.data).toEqual({ message: `${'한'.repeat(15_999)}…`, reason: 'hook Stop', clipped: true });
    const wide = await ledger.record({
      type: 'work.captured',
      data: { files: Array.from({ length: 50_000 }, (_, index) => `file-${index}`) },
    });
    expect(wide.data).toEqual({ clipped: true, keys: ['files'] });
    expect(Buffer.byteLength(JSON.stringify(event.data))).toBeLessThanOrEqual(eventBytesMax);
  });

  test('events come in order, after a number, of one job, at most so many', async () => {
    const ledger = await open();
    const { project } = await withAttempt(ledger);
    await ledger.submit(newJob(project));
    const seqs = async (page: Parameters<Ledger['events']>[0]): Promise<number[]> =>
      (await ledger.events(page)).map((event) => event.seq);
    expect(await seqs({})).toEqual([1, 2, 3, 4]);
    expect(await seqs({ after: 1, limit: 2 })).toEqual([2, 3]);
    expect(await seqs({ jobId: 'j1' })).toEqual([2, 3]);
    expect(await seqs({ after: 4 })).toEqual([]);
    expect(await ledger.lastSeq()).toBe(4);
  });

  test('[L20] what a session did is told of the attempt that has it', async () => {
    const ledger = await open();
    await withAttempt(ledger);
    expect(
      await ledger.record({ type: 'session.changed', sessionId: 's-first', data: { from: 'idle', to: 'working' } }),
    ).toMatchObject({ jobId: 'j1', attemptId: 'j1.1', sessionId: 's-first' });
    expect(await ledger.record({ type: 'session.changed', sessionId: 's-adopted' })).toMatchObject({
      jobId: null,
      attemptId: null,
      sessionId: 's-adopted',
    });
  });
});

test('[L20] a pooled session does its later work in the story of its later job, also where the earlier job had more attempts', async () => {
  const ledger = await open();
  const { project } = await withAttempt(ledger);
  await ledger.settle({ attemptId: 'j1.1', outcome: outcomes.failed });
  await ledger.retry('j1');
  await ledger.claim('j1', { ...claimBy('b'), sessionId: 's-pooled' });
  await ledger.settle({ attemptId: 'j1.2', outcome: outcomes.done });
  const between = await ledger.record({ type: 'session.changed', sessionId: 's-pooled' });
  await ledger.submit(newJob(project));
  await ledger.claim('j2', { ...claimBy('c'), sessionId: 's-pooled' });
  const during = await ledger.record({ type: 'session.changed', sessionId: 's-pooled' });
  await ledger.settle({ attemptId: 'j2.1', outcome: outcomes.done });
  const after = await ledger.record({ type: 'session.changed', sessionId: 's-pooled' });
  expect([between, during, after].map(({ attemptId }) => attemptId)).toEqual(['j1.2', 'j2.1', 'j2.1']);
});

test('a ledger that is closed finishes what was asked and refuses what comes after', async () => {
  const ledger = await open();
  const asked = ledger.record({ type: 'daemon.stopped' });
  await ledger.close();
  expect(await asked).toMatchObject({ seq: 1 });
  await expect(ledger.record({ type: 'daemon.started' })).rejects.toMatchObject({ code: 'WRONG_STATE' });
  await ledger.close();
});
