import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, expect, test } from 'vitest';
import { residentBytes } from './machine.ts';
import { openMemoryScan, sumsOfPs } from './process-memory.ts';
import { instanceVariable, sweep } from './processes.ts';

const megabyte = 1024 * 1024;
let children: ChildProcess[] = [];
afterEach(async () => {
  const ends = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
  for (const child of children) child.kill('SIGKILL');
  await Promise.all(ends);
  children = [];
});

/** Holds so much memory and says when it does; `then` runs in it afterwards. */
async function eater(mark: string, megabytes: number, then = ''): Promise<ChildProcess> {
  const script = `globalThis.eaten = Buffer.alloc(${megabytes} * 1048576, 1); ${then}; console.log('full'); setInterval(() => 0, 1e6)`;
  const child = spawn(process.execPath, ['-e', script], {
    env: { ...process.env, [instanceVariable]: mark },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return child;
}

test("[M9] a session's memory is that of everything with its mark, children behind setsid too, and of nothing else", async () => {
  const mark = `memory-${process.pid}`;
  const child = `require('node:child_process').spawn(process.execPath, ['-e', 'globalThis.e = Buffer.alloc(50 * 1048576, 1); setInterval(() => 0, 1e6)'], { detached: true, stdio: 'ignore' })`;
  const scan = openMemoryScan();
  expect((await scan.look()).get(mark)).toBeUndefined();
  const first = await eater(mark, 100, `${child}; globalThis.kid = 1`);
  await eater(`${mark}-other`, 10);
  const at = async (): Promise<number> => ((await scan.look()).get(mark) ?? 0) / megabyte;
  // A process that was not marked when it was first seen is asked again a few looks later.
  await expect.poll(at, { timeout: 10_000, interval: 100 }).toBeGreaterThan(150);
  expect(await at()).toBeLessThan(400);
  const { stopped } = await endAll(mark, first);
  expect(stopped).toBe(true);
  await expect.poll(async () => (await scan.look()).get(mark)).toBeUndefined();
  expect((await scan.look()).get(`${mark}-other`)).toBeGreaterThan(10 * megabyte);
});

async function endAll(mark: string, first: ChildProcess): Promise<{ stopped: boolean }> {
  const ended = new Promise((resolve) => first.once('exit', resolve));
  const swept = await sweep(mark);
  await ended;
  children = children.filter((child) => child !== first);
  return { stopped: swept.ended === 2 && swept.survivors.length === 0 };
}

test('[M9] memory that several share is counted once in all', async ({ skip }) => {
  if (process.platform !== 'linux') {
    return skip('only Linux tells how much of a page is shared');
  }
  const mark = `shared-${process.pid}`;
  for (let count = 0; count < 4; count += 1) await eater(mark, 1);
  const sum = ((await openMemoryScan().look()).get(mark) ?? 0) / megabyte;
  const one = await residentBytes(children[0]?.pid ?? 0);
  // Node's own pages are shared by all of them, the sum of the resident sizes counts them four times.
  expect(sum).toBeLessThan((4 * (one ?? 0)) / megabyte);
});

test('ps rows of macOS are summed by mark', () => {
  const rows = [
    ' 2048 node claude HOME=/Users/x MUSTER_INSTANCE=one LANG=C',
    '  512 rg foo MUSTER_INSTANCE=one',
    ' 4096 node MUSTER_INSTANCE=two',
    '  128 Finder HOME=/Users/x',
  ];
  expect(sumsOfPs(rows.join('\n'))).toEqual(
    new Map([
      ['one', 2560 * 1024],
      ['two', 4096 * 1024],
    ]),
  );
});
