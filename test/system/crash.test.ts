/** What dies, and what must come of it: the daemon at any moment, the host, the agent. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { delay } from '../../src/base/wait.ts';
import { findMarked } from '../../src/platform/processes.ts';
import { eventually, openStage, type Stage } from './stage.ts';

let stage: Stage;
beforeEach(async () => {
  stage = openStage();
  await stage.up();
});
afterEach(() => stage.close());

/** A small generator (mulberry32), so that a moment that once failed can be named. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const seed = Number(process.env.MUSTER_TEST_SEED ?? Date.now() % 100_000);

describe('the daemon is killed', () => {
  test('[D5] [C3] in the middle of a turn: the session goes on, is unknown until it tells, and the job ends once', async () => {
    const job = await stage.submit('Write it slowly please\n@wait 1500\n@write a.txt x');
    const running = await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    const before = await stage.session(String(running.sessionId));
    await stage.kill();
    await stage.up();
    const after = await stage.session(String(running.sessionId));
    expect(after.pid).toBe(before.pid);
    expect(await stage.ended(job.id)).toMatchObject({ state: 'done', attempts: 1 });
    expect(stage.prompts()).toHaveLength(1);
    const changes = (await stage.events())
      .filter((event) => event.type === 'session.changed')
      .map((event) => event.data.to);
    expect(
      (await stage.client().call('whySession', { params: { id: before.id } })).changes.map((change) => change.to),
    ).toContain('unknown');
    expect(changes.filter((state) => state === 'exited')).toHaveLength(1);
  });

  test('[D5] while the agent finishes: what its hooks said meanwhile is heard', async () => {
    const job = await stage.submit('Write it soon please\n@wait 300\n@write a.txt x');
    await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    await stage.kill();
    await delay(1000);
    await stage.up();
    expect(await stage.ended(job.id)).toMatchObject({
      state: 'done',
      attempts: 1,
      outcome: { message: 'All done.\n[MUSTER:DONE]' },
    });
    expect(stage.prompts()).toHaveLength(1);
  });

  test(`[D3] [D5] [I3] at random moments: three jobs end once each, no prompt is typed twice (seed ${seed})`, async () => {
    const next = random(seed);
    const jobs = [];
    for (const name of ['a', 'b', 'c'])
      jobs.push(
        await stage.submit(`Write the file ${name} please\n@wait 400\n@write ${name}.txt x`, {
          verify: `sleep 0.3; test -e ${name}.txt`,
        }),
      );
    for (let kills = 0; kills < 10; kills += 1) {
      await delay(Math.floor(next() * 700));
      await stage.kill();
      await stage.up();
    }
    const ends = await Promise.all(jobs.map((job) => stage.ended(job.id)));
    expect(
      ends.map((job) => [
        job.id,
        job.state,
        job.attempts,
        job.outcome?.kind === 'done' ? job.outcome.files : job.outcome,
      ]),
    ).toEqual([
      ['j1', 'done', 1, ['a.txt']],
      ['j2', 'done', 1, ['b.txt']],
      ['j3', 'done', 1, ['c.txt']],
    ]);
    expect(
      stage
        .prompts()
        .map(({ prompt }) => String(/file (\w)/.exec(prompt)?.[1]))
        .toSorted((a, b) => a.localeCompare(b)),
    ).toEqual(['a', 'b', 'c']);
    const ended = (await stage.events())
      .filter((event) => ['job.done', 'job.failed', 'job.unknown', 'job.cancelled'].includes(event.type))
      .map((event) => event.jobId);
    expect(ended.map(String).toSorted((a, b) => a.localeCompare(b))).toEqual(['j1', 'j2', 'j3']);
    await eventually('the worktrees of done jobs are gone', async () =>
      stage.git('worktree', 'list').split('\n').length === 1 ? true : undefined,
    );
  }, 120_000);
});

describe('the daemon is told to stop', () => {
  test('[D14] with its sessions: the running job is cancelled with its work kept, and nothing runs any more', async () => {
    const job = await stage.submit('Write and wait please\n@write half.txt half\n@wait 60000');
    const running = await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    await eventually(
      'the file is there',
      async () => existsSync(join(stage.home.worktrees, 'dev', job.id, 'half.txt')) || undefined,
    );
    await stage.client().call('stopDaemon', { body: { sessions: 'end' } });
    await eventually('all is gone', async () =>
      existsSync(stage.home.hostFile) || existsSync(stage.home.daemonFile) ? undefined : true,
    );
    expect((await findMarked()).filter(({ command }) => command.includes(stage.dir))).toEqual([]);
    await stage.up();
    const end = await stage.job(job.id);
    expect(end).toMatchObject({ state: 'cancelled', attempts: 1, outcome: { kind: 'cancelled' } });
    expect((await stage.session(String(running.sessionId))).state).toBe('exited');
    expect(stage.git('show', `${end.outcome?.commit}:half.txt`)).toBe('half');
  });
});

describe('the daemon is told to stop, and killed before it has', () => {
  test('[D14] the next one goes on with the stop: the job is cancelled, and its agent is told nothing more', async () => {
    const job = await stage.submit('Write and wait please\n@write half.txt half\n@wait 60000');
    await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    await eventually(
      'the file is there',
      async () => existsSync(join(stage.home.worktrees, 'dev', job.id, 'half.txt')) || undefined,
    );
    const { pid } = (await stage.client().call('status')).host;
    // A host that stands can end no session, so that the daemon is still at it when it is killed.
    process.kill(Number(pid), 'SIGSTOP');
    await stage.client().call('stopDaemon', { body: { sessions: 'end' } });
    const file = new DatabaseSync(stage.home.ledger, { readOnly: true });
    await eventually('the ledger holds the cancellation', async () =>
      file.prepare(`select 1 from event where type = 'job.cancel-requested'`).get() === undefined ? undefined : true,
    );
    file.close();
    await stage.kill();
    process.kill(Number(pid), 'SIGCONT');
    await stage.up();
    const end = await stage.ended(job.id);
    expect(end).toMatchObject({ state: 'cancelled', attempts: 1, outcome: { kind: 'cancelled' } });
    expect(stage.git('show', `${end.outcome?.commit}:half.txt`)).toBe('half');
    expect(stage.prompts()).toHaveLength(1);
  });
});

describe('the daemon is killed, and `muster down` ends what it has left', () => {
  test('[D14] [C9] the next one cancels the job with its work kept, and starts no agent for it', async () => {
    const job = await stage.submit('Write and wait please\n@write half.txt half\n@wait 60000');
    const running = await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    const before = await stage.session(String(running.sessionId));
    await eventually('half of it is done', async () => existsSync(join(before.cwd, 'half.txt')) || undefined);
    await stage.kill();
    const launcher = join(import.meta.dirname, '../../bin/muster.mjs');
    const down = [launcher, 'down', '--json', '--home', stage.home.dir];
    const told = execFileSync(process.execPath, down, { encoding: 'utf8' });
    expect(JSON.parse(told)).toMatchObject({ ended: [{ role: 'host' }], leftOpen: [job.id] });
    await stage.up();
    const end = await stage.ended(job.id);
    expect(end).toMatchObject({ state: 'cancelled', attempts: 1, outcome: { kind: 'cancelled' } });
    expect(stage.git('show', `${end.outcome?.commit}:half.txt`)).toBe('half');
    const after = await stage.session(before.id);
    expect([after.pid, after.resumes, after.state]).toEqual([before.pid, undefined, 'exited']);
    expect((await stage.events()).map(({ type }) => type)).not.toContain('session.resumed');
  });
});

describe('the host is killed', () => {
  const hostPid = async (): Promise<number> => Number((await stage.client().call('status')).host.pid);
  const killHost = async (): Promise<void> => void process.kill(await hostPid(), 'SIGKILL');
  const types = async (jobId: string): Promise<string[]> => {
    const sessionId = (await stage.job(jobId)).sessionId;
    return (await stage.events()).filter((event) => event.sessionId === sessionId).map((event) => event.type);
  };

  test('[C9] [D16] in a turn: the agent goes on with its conversation in a new process, once, and the job ends by its turn', async () => {
    const job = await stage.submit('Take very long please\n@orphan\n@write half.txt half\n@wait 60000');
    const running = await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    const before = await stage.session(String(running.sessionId));
    await eventually('half of it is done', async () => existsSync(join(before.cwd, 'half.txt')) || undefined);
    await killHost();
    expect(await stage.ended(job.id)).toMatchObject({ state: 'done', attempts: 1, outcome: { files: ['half.txt'] } });
    const prompts = stage.prompts();
    expect(prompts.map(({ prompt }) => prompt.split('\n')[0])).toEqual([
      'Task:',
      'The connection was cut. Go on with the task where you were.',
    ]);
    expect(prompts[1]).toMatchObject({ conversation: before.resumeId, remembered: 1 });
    expect(prompts[1]?.pid).not.toBe(before.pid);
    expect(await stage.session(before.id)).toMatchObject({ resumes: 1, resumeId: before.resumeId });
    const told = await types(job.id);
    expect(told.filter((type) => type === 'session.resumed')).toHaveLength(1);
    expect(told.filter((type) => type === 'prompt.accepted')).toHaveLength(2);
    expect((await findMarked()).filter(({ command }) => command.includes('sleep 600'))).toEqual([]);
  });

  test('[C4] [C9] a second time in the same session: it is crashed at once, the job failed, and a new host takes the next', async () => {
    const job = await stage.submit('Take very long please\n@wait 60000');
    const running = await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    await killHost();
    await stage.sessionWhere(String(running.sessionId), (one) => one.resumes === 1 && one.pid !== null);
    await eventually('a host is there', async () => ((await hostPid()) > 0 ? true : undefined));
    await killHost();
    const session = await stage.sessionWhere(String(running.sessionId), (one) => one.exit !== null);
    expect(session.state).toBe('crashed');
    expect(await stage.ended(job.id)).toMatchObject({ state: 'failed', outcome: { reason: 'HOST_LOST' } });
    expect((await findMarked()).filter(({ command }) => command.includes(stage.dir))).toEqual([]);
    const second = await stage.submit('Write it all the same please\n@write b.txt x');
    expect(await stage.ended(second.id)).toMatchObject({ state: 'done' });
  });

  test('[C10] [D16] together with the daemon, and the daemon again while it goes on: nothing is typed twice', async () => {
    const job = await stage.submit('Take very long please\n@write half.txt half\n@wait 60000');
    await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    const pid = await hostPid();
    await stage.kill();
    process.kill(pid, 'SIGKILL');
    for (const ms of [0, 300, 700]) {
      await stage.up();
      await delay(ms);
      await stage.kill();
    }
    await stage.up();
    expect(await stage.ended(job.id)).toMatchObject({ state: 'done', attempts: 1 });
    expect(stage.prompts()).toHaveLength(2);
    expect((await types(job.id)).filter((type) => type === 'session.resumed').length).toBeLessThanOrEqual(1);
  });

  test('[C9] before anything was said: there is no conversation to go on with, and the job fails', async () => {
    const slow = openStage({ agentEnv: { SCRIPTED_AGENT_START_MS: '20000' } });
    try {
      await slow.up();
      const job = await slow.submit('Never begun please\n@write a.txt x');
      const running = await slow.jobWhere(job.id, (one) => one.phase === 'started');
      await slow.sessionWhere(String(running.sessionId), (one) => one.pid !== null);
      process.kill(Number((await slow.client().call('status')).host.pid), 'SIGKILL');
      expect(await slow.ended(job.id)).toMatchObject({ state: 'failed', outcome: { reason: 'HOST_LOST' } });
      expect(slow.prompts()).toEqual([]);
    } finally {
      await slow.close();
    }
  });
});

describe('the agent is killed', () => {
  test('with -9 in a turn: it is crashed within a second, and its tools do not live on', async () => {
    const job = await stage.submit('Take very long please\n@orphan\n@wait 60000');
    const running = await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    const session = await stage.session(String(running.sessionId));
    process.kill(Number(session.pid), 'SIGKILL');
    const killedAt = Date.now();
    const dead = await stage.sessionWhere(session.id, (one) => one.state === 'crashed');
    expect(dead.exit).toMatchObject({ signal: 'SIGKILL' });
    expect(Date.now() - killedAt).toBeLessThan(5000);
    expect(await stage.ended(job.id)).toMatchObject({ outcome: { reason: 'AGENT_CRASHED' } });
    await eventually('the orphan is gone', async () =>
      (await findMarked()).filter(({ command }) => command.includes('sleep 600')).length === 0 ? true : undefined,
    );
  });
});
