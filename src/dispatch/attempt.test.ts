/** The loop that carries an attempt, over a real ledger and, where a branch lands, a real repository. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { type Ledger, type OpenAttempt, openLedger } from '../ledger/index.ts';
import { runGitThrough } from '../platform/git.ts';
import { type GitRequest, runGit } from '../platform/run-git.ts';
import { landBranch } from '../platform/worktree-work.ts';
import { type AttemptRun, runAttempt, type StepResult, type Steps } from './attempt.ts';
import { attemptSteps } from './steps.ts';
import { openWorkspace, type Workspace } from './workspace.ts';

let dir: string;
let repository: string;
let ledger: Ledger;
beforeEach(async () => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-attempt-')));
  repository = join(dir, 'repository');
  ledger = await openLedger({ file: join(dir, 'ledger.db'), now: Date.now });
});
afterEach(async () => {
  runGitThrough({ run: runGit });
  await ledger.close();
  rmSync(dir, { recursive: true, force: true });
});

const git = (...args: string[]): string => execFileSync('git', args, { cwd: repository, encoding: 'utf8' }).trim();

async function claimed(baseCommit = 'a'.repeat(40)): Promise<OpenAttempt> {
  const project = await ledger.registerProject({ path: repository, name: 'test' });
  const { job } = await ledger.submit({
    projectId: project.id,
    text: 'do something',
    persona: 'dev',
    agent: 'claude',
    verify: null,
    allowEmpty: false,
    baseCommit,
    baseRef: 'main',
    submittedBy: 'test',
    idempotencyKey: null,
  });
  const open = await ledger.claim(job.id, {
    owner: 'test',
    sessionId: 's-1',
    branch: 'b',
    worktree: join(dir, 'j1'),
  });
  if (!open) throw new Error('not claimed');
  return open;
}

/** A repository; its first commit. */
function makeRepository(): string {
  mkdirSync(repository);
  git('init', '-q', '-b', 'main');
  git('config', 'user.name', 'Test');
  git('config', 'user.email', 'test@localhost');
  git('commit', '-q', '--allow-empty', '-m', 'base');
  return git('rev-parse', 'HEAD');
}

/** An attempt whose work is verified, in a repository whose branch `b` stands where the caller puts it. */
async function verified(): Promise<OpenAttempt & { readonly base: string; readonly work: string }> {
  const base = makeRepository();
  git('commit', '-q', '--allow-empty', '-m', 'work');
  const work = git('rev-parse', 'HEAD');
  const open = await claimed(base);
  const { job, attempt } = open;
  const event = { type: 'work.captured', data: {} } as const;
  const path = ['claimed', 'prepared', 'started', 'delivering', 'delivered', 'ended', 'captured', 'verified'] as const;
  for (const [at, to] of path.slice(1).entries())
    await ledger.advance({
      attemptId: attempt.id,
      from: path[at] ?? 'claimed',
      to,
      event,
      ...(to === 'captured' ? { facts: { commit: work } } : {}),
    });
  const [now] = await ledger.attempts(job.id);
  if (!now) throw new Error('no attempt');
  return { ...open, attempt: now, base, work };
}

/** Parts that the path under test does not reach; reaching one fails the test. */
const unreached = new Proxy(
  {},
  { get: (_, name) => () => Promise.reject(new Error(`${String(name)} was not to be called`)) },
);
interface Stop {
  readonly cancel: AbortController;
  readonly detach: AbortController;
}
const stopOf = (): Stop => ({ cancel: new AbortController(), detach: new AbortController() });
const runOf = (parts: OpenAttempt, { cancel, detach } = stopOf(), over: Record<string, unknown> = {}): AttemptRun =>
  ({
    ledger,
    sessions: unreached,
    workspace: unreached,
    pool: unreached,
    log: silentLog,
    cancel: cancel.signal,
    detach: detach.signal,
    signal: AbortSignal.any([cancel.signal, detach.signal]),
    ...parts,
    ...over,
  }) as unknown as AttemptRun;

/** No pool; the session ends and leaves nothing, unless the test says otherwise. */
const ending = (over: Record<string, unknown> = {}): Record<string, unknown> => ({
  pool: { keeps: async () => false, forget: () => undefined },
  sessions: { end: async () => undefined },
  workspace: { save: async () => null, removeWorktree: async () => undefined },
  ...over,
});

const outcomeOf = async (jobId: string): Promise<unknown> => (await ledger.job(jobId)).outcome;
const typesOf = async (jobId: string): Promise<string[]> => (await ledger.events({ jobId })).map(({ type }) => type);

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
  const away = stopOf();
  const steps = stepsWith({
    claimed: async () => prepared,
    prepared: (run) =>
      new Promise((_, reject) => {
        run.signal.addEventListener('abort', () => reject(run.signal.reason as Error));
        away.detach.abort();
      }),
  });
  expect(await runAttempt(runOf(parts, away), steps)).toBe('detached');
  expect((await ledger.attempts(parts.job.id)).map(({ phase }) => phase)).toEqual(['prepared']);
  expect((await ledger.job(parts.job.id)).state).toBe('running');
});

test('[D12] a session that can not be ended holds the outcome back: only the end is tried again, and it is told once', async () => {
  const parts = await claimed();
  let [steps, ends] = [0, 0];
  const end = async (): Promise<void> => {
    ends += 1;
    if (ends < 3) throw new Fault('HOST_DOWN', 'the host stands');
  };
  const failing = stepsWith({
    claimed: async () => {
      steps += 1;
      return {
        kind: 'settle',
        outcome: { kind: 'failed', reason: 'VERIFY_FAILED', detail: 'no', commit: null, verification: null },
      };
    },
  });
  expect(await runAttempt(runOf(parts, stopOf(), ending({ sessions: { end } })), failing)).toBe('settled');
  expect({ steps, ends }).toEqual({ steps: 1, ends: 3 });
  expect((await ledger.events({ jobId: 'j1' })).slice(2).map(({ type, data }) => [type, data])).toEqual([
    ['attempt.delayed', { what: 'ending its session', reason: 'the host stands' }],
    ['attempt.settled', { fence: 1, kind: 'failed', reason: 'VERIFY_FAILED' }],
    ['job.failed', expect.anything()],
  ]);
}, 20_000);

test('[D14] a cancelled attempt that can not end its session is left to the next life when the control plane goes', async () => {
  const parts = await claimed();
  const stop = stopOf();
  stop.cancel.abort('a person');
  const end = () => Promise.reject(new Fault('HOST_DOWN', 'the host stands'));
  const left = runAttempt(runOf(parts, stop, ending({ sessions: { end } })), stepsWith({}));
  await vi.waitFor(async () => expect(await typesOf('j1')).toContain('attempt.delayed'));
  expect((await ledger.why('j1')).conclusion).toContain('ending its session fails and is tried again: the host stands');
  stop.detach.abort();
  expect(await left).toBe('detached');
  expect((await ledger.job('j1')).state).toBe('running');
});

const steps = attemptSteps({
  limits: { startMs: 1, setupMs: 1, turnMs: 1, verifyMs: 1 },
  checkouts: '/nowhere',
  environment: {},
  startSession: never as never,
});
const story = async () => ({ files: [], verification: null, message: '' });
const lateFault = () => Promise.reject(new Fault('TIMED_OUT', 'git took too long'));

test('[D13] a branch that a life moved before it was killed is landed, although cancelling was asked for', async () => {
  const parts = await verified();
  git('branch', 'b', parts.work);
  const stop = stopOf();
  stop.cancel.abort('a person');
  const workspace = {
    land: async () => ({ kind: 'landed', already: true }),
    story,
    removeWorktree: async () => undefined,
  };
  expect(await runAttempt(runOf(parts, stop, ending({ workspace })), steps)).toBe('settled');
  expect(await outcomeOf('j1')).toMatchObject({ kind: 'done', branch: 'b', commit: parts.work });
});

test('[D13] a branch that was not moved yet stays where it is when the job is cancelled', async () => {
  const parts = await verified();
  git('branch', 'b', parts.base);
  const stop = stopOf();
  stop.cancel.abort('a person');
  expect(await runAttempt(runOf(parts, stop, ending()), steps)).toBe('settled');
  expect(await outcomeOf('j1')).toMatchObject({ kind: 'cancelled', detail: 'cancelled by a person' });
  expect(git('rev-parse', 'b')).toBe(parts.base);
});

test('[D10] after a move that took too long the branch says how the job ended', async () => {
  const parts = await verified();
  git('branch', 'b', parts.work);
  const workspace = { land: lateFault, story, removeWorktree: async () => undefined, save: async () => null };
  expect(await runAttempt(runOf(parts, stopOf(), ending({ workspace })), steps)).toBe('settled');
  expect(await outcomeOf('j1')).toMatchObject({ kind: 'done', commit: parts.work });
  expect((await ledger.events({ jobId: 'j1' })).find(({ type }) => type === 'branch.landed')?.data).toMatchObject({
    warning: 'git took too long',
  });
});

test('[D4] a persona that is written and can not be told at the moment fails no attempt: the ledger is asked again', async () => {
  const parts = await claimed(makeRepository());
  const other = new DatabaseSync(join(dir, 'ledger.db'));
  other.exec(`create trigger refuse before insert on event when new.type = 'persona.written'
    begin select raise(abort, 'not at the moment'); end`);
  ledger.onEvent(({ type }) => {
    if (type === 'attempt.delayed') other.exec('drop trigger refuse');
  });
  const persona = { name: 'dev', path: 'PERSONA.md', text: 'You work.', version: 'v1', sources: [], unread: null };
  const workspace = openWorkspace({
    ledger,
    log: silentLog,
    placePersona: async () => persona,
    personaPath: () => persona.path,
    places: { of: () => ({ root: dir, branch: 'b', share: [] }), roots: [], projects: [] },
  });
  const over = { kind: 'cancelled', detail: 'far enough', commit: null } as const;
  const until = { ...steps, prepared: async () => ({ kind: 'settle', outcome: over }) as const };
  expect(await runAttempt(runOf(parts, stopOf(), ending({ workspace })), until)).toBe('settled');
  other.close();
  expect((await ledger.events({ jobId: 'j1' })).slice(2, 5).map(({ type, data }) => [type, data])).toEqual([
    ['attempt.delayed', { what: 'writing what it did', reason: expect.stringContaining('not at the moment') }],
    ['persona.written', { persona: 'dev', version: 'v1', path: 'PERSONA.md', sources: [] }],
    ['workspace.prepared', expect.objectContaining({ persona: { kind: 'file', path: 'PERSONA.md', version: 'v1' } })],
  ]);
  expect(await outcomeOf('j1')).toMatchObject(over);
});

/** An attempt whose prompt is about to be typed. */
async function delivering(): Promise<OpenAttempt> {
  const open = await claimed();
  const { job, attempt } = open;
  const event = { type: 'prompt.typing', data: {} } as const;
  const path = ['claimed', 'prepared', 'started', 'delivering'] as const;
  for (const [at, to] of path.slice(1).entries())
    await ledger.advance({ attemptId: attempt.id, from: path[at] ?? 'claimed', to, event, facts: { prompt: 'do it' } });
  const [now] = await ledger.attempts(job.id);
  if (!now) throw new Error('no attempt');
  return { ...open, attempt: now };
}

const failed = { kind: 'failed', detail: 'it broke off', commit: null, verification: null };
const unknown = { kind: 'unknown', reason: 'PROMPT_UNCONFIRMED', tried: 'typing the prompt; then: it broke off' };
test.each([
  { code: 'HOST_DOWN', typed: false, outcome: { ...failed, reason: 'HOST_LOST' } },
  { code: 'TIMED_OUT', typed: false, outcome: { ...failed, reason: 'HOST_LOST' } },
  { code: 'DISK_FULL', typed: false, outcome: { ...failed, reason: 'DISK_FULL' } },
  { code: 'HOST_DOWN', typed: true, outcome: unknown },
  { code: 'DISK_FULL', typed: true, outcome: unknown },
] as const)('[D6] $code makes it $outcome.kind where that something was typed is $typed', async (given) => {
  const sessions = {
    deliver: () => Promise.reject(new Fault(given.code, 'it broke off')),
    mayBeTyped: () => given.typed,
    end: async () => undefined,
  };
  await runAttempt(runOf(await delivering(), stopOf(), ending({ sessions })), steps);
  expect(await outcomeOf('j1')).toMatchObject(given.outcome);
});

/** As the workspace lands it. A git that moves a ref while `stops` says so is told as stopped, and goes on when it is let. */
function landing(stops: (count: number) => boolean): { land: Workspace['land']; letGoOn: () => Promise<unknown> } {
  const stopped: GitRequest[] = [];
  let count = 0;
  runGitThrough({
    run: async (request) => {
      if (!request.args.includes('update-ref') || !stops(++count)) return runGit(request);
      stopped.push(request);
      return { kind: 'stopped', reason: 'took too long' };
    },
  });
  const land: Workspace['land'] = ({ attempt }, commit) =>
    landBranch({ repository, worktree: attempt.worktree, branch: attempt.branch, commit, expectedOld: null });
  return { land, letGoOn: () => Promise.all(stopped.map((request) => runGit(request))) };
}

test('[D10] a branch whose move was stopped is moved again, because that git may go on', async () => {
  const parts = await verified();
  const { land, letGoOn } = landing((count) => count === 1);
  const workspace = { land, story, removeWorktree: async () => undefined, save: async () => null };
  expect(await runAttempt(runOf(parts, stopOf(), ending({ workspace })), steps)).toBe('settled');
  await letGoOn();
  expect(await outcomeOf('j1')).toMatchObject({ kind: 'done', commit: parts.work });
  expect(git('rev-parse', 'b')).toBe(parts.work);
});

test('[D10] a branch whose move was stopped twice makes it unknown: it may land yet', async () => {
  const parts = await verified();
  const { land, letGoOn } = landing(() => true);
  const workspace = { land, save: async () => null };
  expect(await runAttempt(runOf(parts, stopOf(), ending({ workspace })), steps)).toBe('settled');
  expect(await outcomeOf('j1')).toMatchObject({
    kind: 'unknown',
    reason: 'WORKSPACE_FAILED',
    tried: expect.stringMatching(
      /^moving branch b to \w+; then: .*took too long; and again; then: .*took too long; and a git that was stopped may move it yet$/,
    ),
    commit: parts.work,
  });
  await letGoOn();
  expect(git('rev-parse', 'b')).toBe(parts.work);
});

test('[D10] a move that git refuses is a failure of the workspace, not a defect', async () => {
  const parts = await verified();
  git('branch', 'b', parts.base);
  const refused = () => Promise.reject(new Fault('GIT_FAILED', 'the ref is locked'));
  const workspace = { land: refused, save: async () => null };
  await runAttempt(runOf(parts, stopOf(), ending({ workspace })), steps);
  expect(await outcomeOf('j1')).toMatchObject({
    kind: 'failed',
    reason: 'WORKSPACE_FAILED',
    detail: 'the ref is locked',
  });
});

test('[D10] a branch that can not be read after a move that broke off makes it unknown', async () => {
  const parts = await verified();
  rmSync(repository, { recursive: true });
  const workspace = { land: lateFault, save: async () => null };
  await runAttempt(runOf(parts, stopOf(), ending({ workspace })), steps);
  expect(await outcomeOf('j1')).toMatchObject({
    kind: 'unknown',
    reason: 'WORKSPACE_FAILED',
    tried: expect.stringMatching(
      /^moving branch b to .*; then: git took too long; and again; then: git took too long; and where it stands can't be read: /,
    ),
    commit: parts.work,
  });
});

test('[D13] a branch that can not be read when the job is cancelled makes it unknown, and nobody says that it was moved', async () => {
  const parts = await verified();
  rmSync(repository, { recursive: true });
  const stop = stopOf();
  stop.cancel.abort('a person');
  await runAttempt(runOf(parts, stop, ending()), steps);
  expect(await outcomeOf('j1')).toMatchObject({
    kind: 'unknown',
    reason: 'WORKSPACE_FAILED',
    tried: expect.stringMatching(
      /^looking whether branch b was moved to \w+ before a person cancelled; it can't be read: /,
    ),
    commit: parts.work,
  });
});

test('[D10] what runs out of time has the reason of its phase', async () => {
  const parts = await claimed();
  await runAttempt(runOf(parts, stopOf(), ending()), stepsWith({ claimed: lateFault }));
  expect(await outcomeOf('j1')).toMatchObject({ kind: 'failed', reason: 'WORKSPACE_FAILED' });
});

test('[D10] a job whose branch has landed does not fail of what goes wrong afterwards', async () => {
  const parts = await verified();
  git('branch', 'b', parts.work);
  let asked = 0;
  const workspace = {
    land: async () => ({ kind: 'landed', already: true }),
    story: async () => {
      asked += 1;
      if (asked === 1) throw new Fault('LEDGER_UNREACHABLE', 'can not be read');
      return story();
    },
    removeWorktree: async () => undefined,
  };
  await runAttempt(runOf(parts, stopOf(), ending({ workspace })), steps);
  expect(await outcomeOf('j1')).toMatchObject({ kind: 'done', commit: parts.work });
}, 20_000);
