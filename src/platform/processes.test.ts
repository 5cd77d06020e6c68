import { spawn } from 'node:child_process';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { randomToken } from '../base/ids.ts';
import { findByMark, identify, isAlive, type ProcessIdentity, signalProcess, sweep } from './processes.ts';

const newMark = (): string => `test-${randomToken(16)}`;

/** A process with this mark, running `script`; killed at the end of the test if it still lives. */
function start(script: string, mark: string): ProcessIdentity {
  const child = spawn('bash', ['-c', script], {
    env: { PATH: process.env.PATH, MUSTER_INSTANCE: mark },
    stdio: 'ignore',
  });
  const identity = identify(child.pid ?? -1);
  if (identity === undefined) throw new Error('it did not start');
  onTestFinished(() => void signalProcess(identity, 'SIGKILL'));
  return identity;
}

const marked = (mark: string, count: number): Promise<void> =>
  vi.waitFor(async () => expect(await findByMark(mark)).toHaveLength(count), { timeout: 5000, interval: 20 });

describe('an identity', () => {
  it('is alive while the process lives, and dead afterwards', async () => {
    const one = start('sleep 100', newMark());
    expect(isAlive(one)).toBe(true);
    signalProcess(one, 'SIGKILL');
    await vi.waitFor(() => expect(isAlive(one)).toBe(false));
  });

  it('of another start or another boot with the same pid is dead', () => {
    const us = identify(process.pid);
    if (us === undefined) throw new Error('we live');
    expect([isAlive(us), isAlive({ ...us, startTicks: '1' }), isAlive({ ...us, bootId: 'other' })]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('of a zombie is dead', async () => {
    // The middle process never reaps its child.
    const mark = newMark();
    start('sleep 0.2 & exec sleep 100', mark);
    await marked(mark, 2);
    const child = (await findByMark(mark)).find((one) => one.command === 'sleep 0.2');
    if (child === undefined) throw new Error('the child was not found');
    await vi.waitFor(() => expect(isAlive(child)).toBe(false), { timeout: 3000 });
    expect(() => process.kill(child.pid, 0)).not.toThrow();
  });
});

describe('a sweep', () => {
  it('[H5] ends everything that carries the mark, also behind setsid, double forks and ignored signals, and only that', async () => {
    const [mark, other] = [newMark(), newMark()];
    start(
      'trap "" TERM HUP INT; (setsid sleep 100 &); (nohup sleep 100 & ) ; ( (sleep 100 & ) & ); sleep 100; true',
      mark,
    );
    const stranger = start('sleep 100', other);
    await marked(mark, 5);
    const begun = performance.now();
    expect(await sweep(mark)).toEqual({ ended: 5, survivors: [] });
    expect(performance.now() - begun).toBeLessThan(2000);
    expect({ left: await findByMark(mark), stranger: isAlive(stranger) }).toEqual({ left: [], stranger: true });
  });

  it('leaves those alone that end by themselves within the grace', async () => {
    const mark = newMark();
    start('sleep 0.2', mark);
    expect(await sweep(mark, { graceMs: 3000 })).toEqual({ ended: 0, survivors: [] });
  });

  it('does not take a mark for another that begins with it', async () => {
    const mark = newMark();
    const longer = start('exec sleep 100', `${mark}x`);
    expect(await sweep(mark)).toEqual({ ended: 0, survivors: [] });
    expect(isAlive(longer)).toBe(true);
  });
});
