/** The queue over a real ledger, with steps of the test's own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { silentLog } from '../base/log.ts';
import { type Ledger, openLedger } from '../ledger/index.ts';
import type { JobView } from '../protocol/job.ts';
import type { AttemptRun, StepResult } from './attempt.ts';
import { type Dispatcher, type DispatcherOptions, openDispatcher } from './dispatcher.ts';

let dir: string;
let ledger: Ledger;
let dispatcher: Dispatcher | undefined;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'muster-dispatcher-'));
  ledger = await openLedger({ file: join(dir, 'ledger.db'), now: Date.now });
});
afterEach(async () => {
  await dispatcher?.close('keep');
  await ledger.close();
  rmSync(dir, { recursive: true, force: true });
});

async function submit(): Promise<JobView> {
  const { id: projectId } = await ledger.registerProject({ path: dir, name: 'test' });
  const wanted = { projectId, text: 'do something', persona: 'dev', agent: 'claude', verify: null, allowEmpty: false };
  return (await ledger.submit({ ...wanted, baseCommit: 'a'.repeat(40), baseRef: 'main', submittedBy: 'test' })).job;
}

/** A step that lasts until the attempt is stopped. */
const untilStopped = ({ signal }: AttemptRun): Promise<StepResult> =>
  new Promise((_, reject) => {
    const stop = (): void => reject(new Error('stopped'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });

/** Nothing outside is touched: the repository is none, sessions end at once, nothing is kept. */
const open = async (over: object = {}): Promise<Dispatcher> => {
  dispatcher = await openDispatcher({
    ledger,
    log: silentLog,
    clock: Date.now,
    owner: 'test',
    steps: { claimed: untilStopped },
    sessions: { list: () => [], end: async () => undefined },
    workspace: { save: async () => null, removeWorktree: async () => undefined },
    places: { of: () => ({ root: dir, branch: 'muster/{job}', share: [] }), roots: [], projects: [] },
    pool: { entries: () => [], take: async () => undefined, keeps: async () => false, forget: () => undefined },
    concurrent: 4,
    admission: async () => ({ kind: 'admit' }),
    ...over,
  } as unknown as DispatcherOptions);
  return dispatcher;
};

test('[D13] a job that is cancelled between its claim and its start does not run on', async () => {
  const job = await submit();
  const claim: Ledger['claim'] = async (...given) => {
    const claimed = await ledger.claim(...given);
    // The claim is on disk, and the dispatcher has not heard of it yet.
    await dispatcher?.cancel(job.id, 'a person');
    return claimed;
  };
  const admission = async (): Promise<{ kind: 'admit' }> => {
    await new Promise(setImmediate);
    return { kind: 'admit' };
  };
  const opened = await open({ ledger: { ...ledger, claim }, admission });
  await vi.waitFor(async () => expect((await ledger.job(job.id)).outcome).toMatchObject({ kind: 'cancelled' }));
  await vi.waitFor(() => expect(opened.inUse()).toEqual([]));
});

test('[D14] a cancellation that a life before asked for is obeyed, and says who asked', async () => {
  const job = await submit();
  await ledger.claim(job.id, { owner: 'before', sessionId: 's-1', branch: 'b', worktree: dir });
  await ledger.requestCancel(job.id, 'a person');
  const never = () => Promise.reject(new Error('this step was not to run'));
  await open({ steps: { claimed: never } });
  await vi.waitFor(async () =>
    expect((await ledger.job(job.id)).outcome).toMatchObject({ kind: 'cancelled', detail: 'cancelled by a person' }),
  );
});

test('[D14] to cancel is in the ledger before an attempt is stopped, and what waits goes on waiting', async () => {
  const first = await submit();
  const stopped: boolean[] = [];
  const claimed = async (run: AttemptRun): Promise<StepResult> => {
    await untilStopped(run).catch(() => undefined);
    stopped.push((await ledger.job(run.job.id)).cancelRequested);
    throw new Error('stopped');
  };
  const opened = await open({ concurrent: 1, steps: { claimed } });
  await vi.waitFor(() => expect(opened.inUse()).toHaveLength(1));
  const second = await submit();
  await opened.close('cancel');
  expect(stopped).toEqual([true]);
  expect([(await ledger.job(first.id)).state, (await ledger.job(second.id)).state]).toEqual(['cancelled', 'queued']);
});
