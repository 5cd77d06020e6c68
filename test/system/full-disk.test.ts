/** A full disk: a clear refusal, nothing half made, and everything goes on when there is space again. */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Fault } from '../../src/base/fault.ts';
import { orSay } from '../peers/or-say.ts';
import { openStage, type Stage } from './stage.ts';

const canMount = orSay(
  process.platform === 'linux' && process.getuid?.() === 0,
  'a full disk needs a small tmpfs, and mounting one needs root',
);

let stage: Stage;
beforeEach(() => {
  stage = openStage({ homeOnTmpfs: '12m' });
});
afterEach(() => stage.close());

const filler = (): string => join(stage.home.dir, 'filler');
/** Leaves less than one page. */
function fill(): void {
  const { bavail, bsize } = statfsSync(stage.home.dir);
  try {
    writeFileSync(filler(), Buffer.alloc(bavail * bsize + 8192));
  } catch {
    // That is the point: what fitted is there.
  }
}

test.runIf(canMount)(
  'a job is refused with DISK_FULL and is not there; with space again the same job is done',
  async () => {
    await stage.up();
    fill();
    const error = await stage.submit('Write something small please\n@write a.txt x').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Fault);
    expect((error as Fault).code).toBe('DISK_FULL');
    rmSync(filler());
    expect((await stage.client().call('status')).jobs.total).toBe(0);
    const job = await stage.submit('Write something small please\n@write a.txt x');
    expect(await stage.ended(job.id)).toMatchObject({ id: 'j1', state: 'done' });
  },
);

test.runIf(canMount)('a disk that fills in the middle of a turn costs neither the session nor the job', async () => {
  await stage.up();
  const job = await stage.submit('Write it slowly please\n@wait 1500\n@write a.txt x');
  await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
  fill();
  await new Promise((resume) => setTimeout(resume, 2500));
  rmSync(filler());
  // The worktree is on the full disk as well, so the agent may fail to write; that is then what is told.
  const end = await stage.ended(job.id);
  expect([['done', 'failed'].includes(end.state), end.attempts]).toEqual([true, 1]);
  if (end.outcome?.kind === 'failed')
    expect(['NO_CHANGES', 'AGENT_EXITED', 'AGENT_CRASHED', 'DISK_FULL']).toContain(end.outcome.reason);
  expect(stage.prompts().filter(({ prompt }) => prompt.includes('Write it slowly'))).toHaveLength(1);
  const again = await stage.submit('Write it once more please\n@write b.txt x');
  expect(await stage.ended(again.id)).toMatchObject({ state: 'done' });
});

test.runIf(canMount)('a home without space is told at the start, by its name', () => {
  fill();
  const launcher = join(import.meta.dirname, '../../bin/muster.mjs');
  const said = spawnSync(process.execPath, [launcher, '--home', stage.home.dir, 'up', '--wait', '--json'], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  expect([said.status, said.stderr]).toEqual([4, expect.stringContaining('DISK_FULL')]);
  expect(existsSync(stage.home.daemonFile)).toBe(false);
});
