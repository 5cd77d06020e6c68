import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jobStates, type LedgerEvent } from '../protocol/job.ts';
import { claimBy, newJob, outcomes, projectOfTests, useLedgerFile } from './fixtures/ledger.ts';
import type { Ledger } from './index.ts';
import { attemptTransitions } from './states.ts';

const { open, file } = useLedgerFile();

const job = fc.integer({ min: 1, max: 4 }).map((number) => `j${number}`);
const attempt = fc.tuple(job, fc.integer({ min: 1, max: 3 })).map(([id, fence]) => `${id}.${fence}`);
const outcome = fc.constantFrom(...Object.values(outcomes));
const openPhase = fc.constantFrom(
  'claimed',
  'prepared',
  'started',
  'delivering',
  'delivered',
  'ended',
  'captured',
  'verified',
);

type Operation = readonly [name: string, run: (ledger: Ledger) => Promise<unknown>];

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc
    .constantFrom(undefined, 'k1', 'k2')
    .map(
      (key): Operation => [
        `submit ${key}`,
        async (ledger) => ledger.submit(newJob(await projectOfTests(ledger), { idempotencyKey: key })),
      ],
    ),
  job.map((id): Operation => [`claim ${id}`, (ledger) => ledger.claim(id, claimBy('one'))]),
  fc
    .tuple(attempt, outcome)
    .map(
      ([id, end]): Operation => [
        `settle ${id} ${end.kind}`,
        (ledger) => ledger.settle({ attemptId: id, outcome: end }),
      ],
    ),
  fc.tuple(attempt, openPhase).map(
    ([id, from]): Operation => [
      `advance ${id} from ${from}`,
      (ledger) =>
        ledger.advance({
          attemptId: id,
          from,
          to: attemptTransitions[from][0] ?? 'settled',
          event: { type: 'attempt.resumed' },
        }),
    ],
  ),
  job.map((id): Operation => [`cancel ${id}`, (ledger) => ledger.requestCancel(id, 'somebody')]),
  job.map((id): Operation => [`retry ${id}`, (ledger) => ledger.retry(id)]),
  fc.constant<Operation>(['record', (ledger) => ledger.record({ type: 'daemon.started' })]),
);

/** What an operation may end with besides its value: the refusals of its contract. Anything else fails the test. */
const refusals = ['WRONG_STATE', 'NOT_FOUND'];

async function perform(ledger: Ledger, [name, run]: Operation): Promise<void> {
  try {
    await run(ledger);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (!refusals.includes(String(code))) throw new Error(`${name} failed`, { cause: error });
  }
}

const ends = ['job.done', 'job.failed', 'job.unknown', 'job.cancelled'];

/** Each job's events, replayed, must give the state that the ledger shows: every end follows one begin, and nothing ends twice. */
function replay(events: readonly LedgerEvent[]): string {
  let state = 'none';
  for (const { type } of events) {
    if (type === 'job.submitted' && state === 'none') state = 'queued';
    else if (type === 'job.claimed' && state === 'queued') state = 'running';
    else if (type === 'job.retried' && ['failed', 'unknown', 'cancelled'].includes(state)) state = 'queued';
    else if (ends.includes(type) && (state === 'running' || (state === 'queued' && type === 'job.cancelled')))
      state = type.slice('job.'.length);
    else if (type.startsWith('job.') && type !== 'job.cancel-requested') throw new Error(`${type} while ${state}`);
  }
  return state;
}

async function expectInvariants(ledger: Ledger, heard: readonly LedgerEvent[]): Promise<void> {
  const events = await ledger.events({ limit: 1000 });
  expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
  expect(heard).toEqual(events);
  const { jobs } = await ledger.jobs({ limit: 1000 });
  const totals = await ledger.totals();
  expect(totals).toEqual({
    total: jobs.length,
    ...Object.fromEntries(jobStates.map((state) => [state, jobs.filter((one) => one.state === state).length])),
  });
  for (const one of jobs) {
    expect([one.id, replay(events.filter((event) => event.jobId === one.id))]).toEqual([one.id, one.state]);
    const attempts = await ledger.attempts(one.id);
    expect(attempts.map((each) => each.fence)).toEqual(attempts.map((_, index) => index + 1));
    expect(attempts.filter((each) => each.outcome === null)).toHaveLength(one.state === 'running' ? 1 : 0);
    const settled = events
      .filter((event) => event.jobId === one.id && event.type === 'attempt.settled')
      .map((event) => event.attemptId);
    expect(settled).toEqual(attempts.filter((each) => each.outcome !== null).map((each) => each.id));
  }
}

/** 60 sequences of up to 60 operations, some at the same time, take two seconds; the seed of a failure is printed. */
test('[L9] [L11] [L15] [L16] [L17] whatever is done in whatever order, jobs end once, totals add up and events have no gap', async () => {
  let round = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(operation, { minLength: 1, maxLength: 4 }), { maxLength: 20 }),
      async (batches) => {
        round += 1;
        const ledger = await open({ file: `${file()}-${round}` });
        const heard: LedgerEvent[] = [];
        ledger.onEvent((event) => heard.push(event));
        for (const batch of batches) await Promise.all(batch.map((one) => perform(ledger, one)));
        await expectInvariants(ledger, heard);
        await ledger.close();
      },
    ),
    { numRuns: 60 },
  );
});
