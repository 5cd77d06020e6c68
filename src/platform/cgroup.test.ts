import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openMemoryGroup } from '../../test/peers/memory-group.ts';
import { groupMemory, openSessionGroup, placesOf } from './cgroup.ts';
import { sessionMemory } from './machine.ts';
import { findMarked, identify, instanceVariable, isAlive } from './processes.ts';

const megabyte = 1024 * 1024;
const sleeper = () => spawn('sleep', ['600'], { stdio: 'ignore' });

test('[M10] a limit that the kernel sets around a process counts for what is free', async ({ skip }) => {
  const opened = openMemoryGroup(64 * megabyte);
  if (opened.kind === 'none') {
    return skip(`no control group with a limit can be made here (${opened.reason})`);
  }
  const { group } = opened;
  const join = ['-c', 'echo $$ > "$0/cgroup.procs" && exec sleep 600', group.path];
  const child = spawn('/bin/sh', join, { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    await expect.poll(() => readFileSync(`/proc/${child.pid}/comm`, 'utf8')).toBe('sleep\n');
    const found = groupMemory(child.pid ?? 0);
    expect(found?.limitBytes).toBe(64 * megabyte);
    expect(found?.availableBytes).toBeLessThanOrEqual(64 * megabyte);
    expect(await sessionMemory([child.pid ?? 0, 'self'])).toEqual({
      availableBytes: found?.availableBytes,
      totalBytes: 64 * megabyte,
    });
  } finally {
    child.kill('SIGKILL');
    await ended;
    await expect.poll(() => !existsSync(group.path) || tries(group.remove)).toBe(true);
  }
});

function tries(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false; // EBUSY: the process is still on its way out
  }
}

test('of a process that is gone, or on a system without control groups, there is nothing to tell', () => {
  expect(groupMemory(2 ** 22 + 1)).toBeUndefined();
  expect(placesOf(2 ** 22 + 1)).toEqual([]);
});

describe('a group for one session', () => {
  const name = `test-${process.pid}`;

  test('its kill ends what hides from everything else: another session, no mark, no terminal', async ({ skip }) => {
    const dir = mkdtempSync(join(tmpdir(), 'muster-group-'));
    const pidFile = join(dir, 'pid');
    const hide = `setsid env -u ${instanceVariable} sh -c 'echo $$ > "${pidFile}"; exec sleep 601' & exec sleep 600`;
    const gate = spawn('/bin/sh', ['-c', `read go; ${hide}`], { stdio: ['pipe', 'ignore', 'ignore'] });
    const ended = new Promise((resolve) => gate.once('exit', resolve));
    const opened = openSessionGroup({ name, pid: gate.pid ?? 0, memoryBytesMax: undefined });
    if (opened.kind === 'none') {
      gate.kill('SIGKILL');
      await ended;
      return skip(`${opened.reason}`);
    }
    gate.stdin?.end('go\n');
    await expect.poll(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8') !== '').toBe(true);
    const hidden = identify(Number(readFileSync(pidFile, 'utf8')));
    expect(hidden && isAlive(hidden)).toBe(true);
    expect((await findMarked()).some(({ pid }) => pid === hidden?.pid)).toBe(false);
    expect(opened.group.kill()).toBe(true);
    await ended;
    await expect.poll(() => hidden && isAlive(hidden)).toBe(false);
    expect([await opened.group.remove(), existsSync(opened.group.path)]).toEqual([true, false]);
    rmSync(dir, { recursive: true });
  });

  test('where none can be made it says why', () => {
    const child = sleeper();
    const pid = child.pid ?? 0;
    const first = openSessionGroup({ name, pid, memoryBytesMax: undefined });
    const second = openSessionGroup({ name, pid, memoryBytesMax: undefined });
    expect(second).toMatchObject({ kind: 'none', reason: expect.stringMatching(/control group/) });
    child.kill('SIGKILL');
    return first.kind === 'opened' ? first.group.remove() : undefined;
  });
});
