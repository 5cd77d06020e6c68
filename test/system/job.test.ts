/** A job from the door to its outcome, by the real daemon and host, real git, and a scripted agent on a real PTY. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fault } from '../../src/base/fault.ts';
import { delay } from '../../src/base/wait.ts';
import { findMarked } from '../../src/platform/processes.ts';
import type { JobView } from '../../src/protocol/job.ts';
import { eventually, openStage, type Stage, type StageOptions } from './stage.ts';

/** One for all tests, whose jobs do not meet: starting a daemon takes longer than most of them. */
let stage: Stage;
beforeAll(async () => {
  stage = openStage();
  await stage.up();
});
afterAll(() => stage.close());

/** A stage of its own, for claims about a whole home or another kind of agent. */
async function withStage(options: StageOptions, claim: (own: Stage) => Promise<void>): Promise<void> {
  const own = openStage(options);
  try {
    await own.up();
    await claim(own);
  } finally {
    await own.close();
  }
}

const promptsWith = (text: string): number => stage.prompts().filter(({ prompt }) => prompt.includes(text)).length;

const faultOf = async (promise: Promise<unknown>): Promise<{ code: string; subject: string | undefined }> => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Fault)) throw new Error(`no fault: ${String(error)}`);
  return { code: error.code, subject: error.subject };
};

const sessionOf = (job: JobView): string => {
  if (job.sessionId === null) throw new Error(`${job.id} has no session`);
  return job.sessionId;
};

describe('a job that can be done', () => {
  test('[D3] [D8] [D10] ends done with a commit on its own branch that passed in a clean checkout', async () => {
    const job = await stage.submit(
      'Write the greeting file please\n@write greeting.txt hello\n@run echo more >> greeting.txt',
      { verify: 'grep -q hello greeting.txt && test ! -e .claude' },
    );
    const end = await stage.ended(job.id);
    expect(end).toMatchObject({
      state: 'done',
      phase: 'settled',
      attempts: 1,
      outcome: { kind: 'done', files: ['greeting.txt'], verification: { exitCode: 0 } },
    });
    expect(stage.git('show', `${end.branch}:greeting.txt`)).toBe('hello\nmore');
    expect(stage.git('ls-tree', '-r', '--name-only', String(end.branch))).toBe('README.md\ngreeting.txt');
    const told = (await stage.events(job.id)).map((event) => event.type);
    expect(told.filter((type) => !type.startsWith('session.c') && type !== 'worktree.removed')).toEqual([
      'job.submitted',
      'job.claimed',
      'persona.written',
      'workspace.prepared',
      'session.started',
      'prompt.typing',
      'prompt.accepted',
      'turn.ended',
      'work.captured',
      'verification.started',
      'verification.passed',
      'branch.landed',
      'session.ended',
      'attempt.settled',
      'job.done',
    ]);
  });

  test('[D12] nothing of the attempt runs any more when it has its outcome, orphans included', async () => {
    const job = await stage.submit('Leave something running behind\n@orphan\n@write a.txt x');
    const end = await stage.ended(job.id);
    const session = await stage.session(sessionOf(end));
    expect(session.state).toBe('exited');
    expect((await findMarked()).filter(({ command }) => command.includes('sleep 600'))).toEqual([]);
  });

  test("[D11] the persona's file is there for the agent, ignored by its git, and not in the commit", async () => {
    const job = await stage.submit(
      'Look at the persona file\n@run cp .claude/CLAUDE.md persona-copy.txt\n@run git status --porcelain > status.txt',
    );
    const end = await stage.ended(job.id);
    expect(stage.git('show', `${end.branch}:persona-copy.txt`)).toContain('careful software developer');
    expect(stage.git('show', `${end.branch}:status.txt`)).toBe(
      '?? persona-copy.txt\n?? status.txt'.split('\n').slice(0, 2).join('\n'),
    );
    expect(stage.git('ls-tree', '-r', '--name-only', String(end.branch))).not.toContain('CLAUDE.md');
  });

  test("keeps the agent's own commits", async () => {
    const job = await stage.submit(
      'Commit by yourself please\n@write a.txt one\n@commit the agent did it\n@write b.txt two',
    );
    const end = await stage.ended(job.id);
    expect(stage.git('log', '--format=%s', `main..${end.branch}`).split('\n')).toEqual([
      'Commit by yourself please',
      'the agent did it',
    ]);
    expect(stage.git('status', '--porcelain')).toBe('');
  });

  test('[D7] a marker that comes early ends nothing', async () => {
    const job = await stage.submit('Say it too early please\n@say [MUSTER:DONE]\n@wait 800\n@write late.txt x');
    expect(await stage.ended(job.id)).toMatchObject({ state: 'done', outcome: { files: ['late.txt'] } });
  });

  test('[D15] jobs run side by side up to the limit, the rest in their order', async () => {
    const jobs: JobView[] = [];
    for (const name of ['a', 'b', 'c', 'd', 'e'])
      jobs.push(await stage.submit(`Write the file ${name} please\n@wait 300\n@write ${name}.txt x`));
    const ends = await Promise.all(jobs.map((job) => stage.ended(job.id)));
    expect(ends.map((job) => job.state)).toEqual(['done', 'done', 'done', 'done', 'done']);
    const claims = (await stage.events()).filter((event) => event.type === 'job.claimed').map((event) => event.jobId);
    expect(claims.filter((id) => jobs.some((job) => job.id === id))).toEqual(jobs.map((job) => job.id));
    expect(promptsWith('Write the file ')).toBe(5);
  });
});

describe('a job that can not be done', () => {
  test('[D10] a verify command that fails makes it failed, with the output, and leaves the branch where it was', async () => {
    const job = await stage.submit('Write the wrong thing please\n@write a.txt wrong', {
      verify: 'echo checking; grep right a.txt',
    });
    const end = await stage.ended(job.id);
    expect(end).toMatchObject({
      state: 'failed',
      outcome: { kind: 'failed', reason: 'VERIFY_FAILED', verification: { exitCode: 1, tail: 'checking\n' } },
    });
    expect(stage.git('rev-parse', String(end.branch))).toBe(end.baseCommit);
    expect(stage.git('show', `${end.outcome?.commit}:a.txt`)).toBe('wrong');
  });

  test('a turn without a change is NO_CHANGES, or done where that was allowed', async () => {
    const idle = await stage.submit('Do nothing at all please\n@say thinking');
    expect(await stage.ended(idle.id)).toMatchObject({ state: 'failed', outcome: { reason: 'NO_CHANGES' } });
    const allowed = await stage.submit('Only look at it please\n@say looked', { allowEmpty: true });
    expect(await stage.ended(allowed.id)).toMatchObject({
      state: 'done',
      outcome: { kind: 'done', commit: null, files: [] },
    });
  });

  test('an agent that kills itself in a turn is AGENT_CRASHED, and what it wrote is kept', async () => {
    const job = await stage.submit('Write and then crash please\n@write half.txt half\n@crash');
    const end = await stage.ended(job.id);
    expect(end).toMatchObject({ state: 'failed', outcome: { reason: 'AGENT_CRASHED' } });
    expect(stage.git('show', `${end.outcome?.commit}:half.txt`)).toBe('half');
    expect((await stage.session(sessionOf(end))).state).toBe('crashed');
  });

  test('an agent that leaves in a turn is AGENT_EXITED', async () => {
    const job = await stage.submit('Leave in the middle please\n@exit 0');
    expect(await stage.ended(job.id)).toMatchObject({ state: 'failed', outcome: { reason: 'AGENT_EXITED' } });
  });

  test('a turn that ends with an error has the reason of the error', async () => {
    const limit = await stage.submit('Run into the limit please\n@fail rate_limit API Error: 429 too many requests');
    expect(await stage.ended(limit.id)).toMatchObject({ state: 'failed', outcome: { reason: 'USAGE_LIMIT' } });
    const login = await stage.submit('Lose the login please\n@fail authentication_failed Please run /login');
    expect(await stage.ended(login.id)).toMatchObject({ state: 'failed', outcome: { reason: 'AUTHENTICATION_LOST' } });
  });

  test('[D6] a prompt that nobody can prove received is unknown, and was typed once', async () => {
    await withStage({ agentEnv: { SCRIPTED_AGENT_DEAF: '1' } }, async (own) => {
      const job = await own.submit('This will never be heard\n@write a.txt x');
      const end = await own.ended(job.id);
      expect(end).toMatchObject({ state: 'unknown', outcome: { kind: 'unknown', reason: 'PROMPT_UNCONFIRMED' } });
      const recording = readFileSync(join(own.home.sessions, sessionOf(end), 'session.cast'), 'utf8');
      const typed = recording.split('\n').filter((line) => line.includes('"i"') && line.includes('never be heard'));
      expect(typed).toHaveLength(1);
    });
  });

  test('[D9] a branch that somebody moved meanwhile is left alone', async () => {
    const job = await stage.submit('Take a while please\n@write a.txt x', { verify: 'sleep 2' });
    const checking = await stage.jobWhere(job.id, (one) => one.phase === 'captured');
    const other = stage.git('commit-tree', `${job.baseCommit}^{tree}`, '-p', job.baseCommit, '-m', 'somebody else');
    stage.git('update-ref', `refs/heads/${checking.branch}`, other);
    const end = await stage.ended(job.id);
    expect(end).toMatchObject({ state: 'failed', outcome: { reason: 'BRANCH_MOVED' } });
    expect(stage.git('rev-parse', String(end.branch))).toBe(other);
    expect(stage.git('show', `${end.outcome?.commit}:a.txt`)).toBe('x');
  });
});

describe('a person', () => {
  test('[I5] [I6] allows a permission, and it goes on', async () => {
    const job = await stage.submit('Ask before you write please\n@ask echo allowed > a.txt');
    const asking = await stage.jobWhere(job.id, (one) => one.sessionId !== null);
    const session = await stage.sessionWhere(
      sessionOf(asking),
      (one) => one.state === 'permission' && one.permission?.tool === 'Bash',
    );
    expect(session.permission?.summary).toBe('echo allowed > a.txt');
    const late = await stage
      .client()
      .call('answerSession', { params: { id: session.id }, body: { decision: 'allow', permissionId: 'another' } });
    expect(late.receipt.kind).toBe('refused');
    const answered = await stage.client().call('answerSession', {
      params: { id: session.id },
      body: { decision: 'allow', ...(session.permission ? { permissionId: session.permission.id } : {}) },
    });
    expect(answered.receipt.kind).toBe('accepted');
    expect(await stage.ended(job.id)).toMatchObject({ state: 'done', outcome: { files: ['a.txt'] } });
  });

  test('denies a permission, and the tool does not run', async () => {
    const job = await stage.submit('Ask before you write please\n@ask echo denied > a.txt', { allowEmpty: true });
    const asking = await stage.jobWhere(job.id, (one) => one.sessionId !== null);
    const session = await stage.sessionWhere(sessionOf(asking), (one) => one.state === 'permission');
    const answered = await stage
      .client()
      .call('answerSession', { params: { id: session.id }, body: { decision: 'deny' } });
    expect(answered.receipt.kind).toBe('accepted');
    expect(await stage.ended(job.id)).toMatchObject({ state: 'done', outcome: { commit: null } });
  });

  test('[I5] says yes and no at once: one counts, and what happened is what that one said', async () => {
    const job = await stage.submit('Ask before you write please\n@ask echo allowed > a.txt', { allowEmpty: true });
    const asking = await stage.jobWhere(job.id, (one) => one.sessionId !== null);
    const session = await stage.sessionWhere(sessionOf(asking), (one) => one.state === 'permission');
    const say = async (decision: 'allow' | 'deny') =>
      (await stage.client().call('answerSession', { params: { id: session.id }, body: { decision } })).receipt;
    const [yes, no] = await Promise.all([say('allow'), say('deny')]);
    expect([yes.kind, no.kind].toSorted()).toEqual(['accepted', 'refused']);
    expect(await stage.ended(job.id)).toMatchObject({
      outcome: { kind: 'done', files: yes.kind === 'accepted' ? ['a.txt'] : [] },
    });
  });

  test('[I5] answers an agent that dies of it: unknown, not accepted', async () => {
    const job = await stage.submit('Ask before you write please\n@ask echo allowed > a.txt');
    const asking = await stage.jobWhere(job.id, (one) => one.sessionId !== null);
    const session = await stage.sessionWhere(sessionOf(asking), (one) => one.permission?.tool === 'Bash');
    // With the hook that asks: nobody takes the answer before the end.
    process.kill(-Number(session.pid), 'SIGSTOP');
    const answer = stage.client().call('answerSession', { params: { id: session.id }, body: { decision: 'allow' } });
    await delay(500);
    process.kill(-Number(session.pid), 'SIGKILL');
    expect((await answer).receipt).toMatchObject({ kind: 'unknown', tried: expect.stringContaining('said allow') });
    expect(await stage.ended(job.id)).toMatchObject({ state: 'failed', outcome: { reason: 'AGENT_CRASHED' } });
  });

  test('[I5] says yes, and the host goes before anything shows: unknown, not accepted', async () => {
    const job = await stage.submit('Ask before you write please\n@ask echo allowed > a.txt');
    const asking = await stage.jobWhere(job.id, (one) => one.sessionId !== null);
    const session = await stage.sessionWhere(sessionOf(asking), (one) => one.permission?.tool === 'Bash');
    const { host } = await stage.client().call('status');
    // The hook that asks is of its group: it does not read the answer.
    process.kill(-Number(session.pid), 'SIGSTOP');
    const answer = stage.client().call('answerSession', { params: { id: session.id }, body: { decision: 'allow' } });
    await delay(300);
    process.kill(Number(host.pid), 'SIGKILL');
    expect((await answer).receipt).toMatchObject({ kind: 'unknown', tried: expect.stringContaining('said allow') });
    await stage.ended(job.id);
  });

  test('[I1] can not type into a turn or a permission, and is told why', async () => {
    const job = await stage.submit('Ask and wait please\n@ask true\n@write a.txt x');
    const asking = await stage.jobWhere(job.id, (one) => one.sessionId !== null);
    const session = await stage.sessionWhere(sessionOf(asking), (one) => one.state === 'permission');
    const sent = await stage
      .client()
      .call('sendSession', { params: { id: session.id }, body: { text: 'hello there' } });
    expect(sent.receipt).toMatchObject({ kind: 'refused' });
    await stage.client().call('answerSession', { params: { id: session.id }, body: { decision: 'allow' } });
    await stage.ended(job.id);
    expect([promptsWith('Ask and wait please'), promptsWith('hello there')]).toEqual([1, 0]);
  });

  test('interrupts a turn, and the job fails as interrupted', async () => {
    const job = await stage.submit('Take very long please\n@write a.txt x\n@wait 20000');
    const running = await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    const { receipt } = await stage.client().call('interruptSession', { params: { id: sessionOf(running) } });
    expect(receipt.kind).toBe('accepted');
    expect(await stage.ended(job.id)).toMatchObject({ state: 'failed', outcome: { reason: 'TURN_INTERRUPTED' } });
  });

  test('[D13] cancels in the middle of a turn; the work so far is kept, and a retry starts anew', async () => {
    const job = await stage.submit('Take long please\n@write a.txt x\n@wait 3000');
    await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    await eventually('the file is there', async () =>
      existsSync(join(stage.home.worktrees, 'dev', job.id, 'a.txt')) ? true : undefined,
    );
    await stage.client().call('cancelJob', { params: { id: job.id } });
    const end = await stage.ended(job.id);
    expect(end).toMatchObject({ state: 'cancelled', outcome: { kind: 'cancelled' } });
    expect(stage.git('show', `${end.outcome?.commit}:a.txt`)).toBe('x');
    await stage.client().call('retryJob', { params: { id: job.id } });
    expect(await stage.ended(job.id)).toMatchObject({ state: 'done', attempts: 2 });
    expect(promptsWith('Take long please')).toBe(2);
  });
});

describe('the door', () => {
  test('[D1] refuses what can not be done, and leaves no trace', () =>
    withStage({}, async (own) => {
      const call = own.client().call;
      const body = { text: 'Write something useful please', projectPath: own.repository, agent: 'claude' };
      const submit = (change: object): Promise<unknown> => call('submitJob', { body: { ...body, ...change } });
      expect(await faultOf(submit({ text: 'fix' }))).toEqual({ code: 'WORK_TEXT_TOO_SHORT', subject: 'text' });
      expect(await faultOf(submit({ text: `Do it ${'x'.repeat(30_000)}` }))).toEqual({
        code: 'WORK_TEXT_TOO_LONG',
        subject: 'text',
      });
      expect(await faultOf(submit({ text: 'Paste this \u001b[201~ into it' }))).toEqual({
        code: 'WORK_TEXT_UNSAFE',
        subject: 'text',
      });
      expect(await faultOf(submit({ agent: 'nobody' }))).toEqual({ code: 'AGENT_UNKNOWN', subject: 'agent' });
      expect(await faultOf(submit({ persona: 'nobody' }))).toEqual({ code: 'PERSONA_UNKNOWN', subject: 'persona' });
      expect(await faultOf(submit({ projectPath: own.dir }))).toEqual({
        code: 'PROJECT_NOT_A_REPOSITORY',
        subject: 'project',
      });
      expect(await faultOf(submit({ projectPath: join(own.dir, 'nowhere') }))).toEqual({
        code: 'PROJECT_NOT_A_REPOSITORY',
        subject: 'project',
      });
      writeFileSync(join(own.repository, 'dirty.txt'), 'x');
      expect(await faultOf(submit({}))).toEqual({ code: 'PROJECT_DIRTY', subject: 'project' });
      expect((await call('status')).jobs.total).toBe(0);
      expect((await own.events()).map((event) => event.type)).toEqual(['host.connected', 'daemon.started']);
      expect(own.git('branch', '--list', 'muster/*')).toBe('');
    }));

  test('[D2] the base is fixed at the door, whatever happens to the repository later', async () => {
    writeFileSync(join(stage.repository, 'dirty.txt'), 'x');
    const job = await stage.submit('Look at what is there please\n@wait 300\n@run ls > listing.txt', {
      allowDirty: true,
    });
    stage.git('add', '-A');
    stage.git('commit', '-qm', 'later');
    const end = await stage.ended(job.id);
    expect(stage.git('show', `${end.branch}:listing.txt`)).toBe('README.md\nlisting.txt');
  });
});
