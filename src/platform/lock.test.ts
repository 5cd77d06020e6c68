import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { acquireLock, type Lock } from './lock.ts';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-lock-'));
  path = join(folder, 'home.lock');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function acquired(): Lock {
  const lock = acquireLock(path, { pid: process.pid });
  if (lock.kind !== 'acquired') throw new Error('the lock is free');
  return lock;
}

test('one holds it, the next one is told who, and gets it after the release', () => {
  const first = acquired();
  expect(acquireLock(path, { pid: 1 })).toEqual({ kind: 'held', by: { pid: process.pid } });
  first.release();
  first.release();
  acquired().release();
});

/** The child forgets the lock object and collects its memory before it says that it holds the lock. */
test('a process holds it until it ends, also one that forgets it, and one that is killed holds nothing', async () => {
  const module = fileURLToPath(new URL('./lock.ts', import.meta.url));
  const script = `import { acquireLock } from ${JSON.stringify(module)};
    const { kind } = acquireLock(process.argv[1], { pid: process.pid });
    for (let turn = 0; turn < 3; turn += 1) { await new Promise(setImmediate); globalThis.gc(); }
    console.log(kind); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', script, path], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  try {
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    expect(line).toBe('acquired');
    expect(acquireLock(path, { pid: 1 })).toEqual({ kind: 'held', by: { pid: child.pid } });
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
  acquired().release();
});

test('a folder that is not there is a fault that names the file', () => {
  expect(() => acquireLock(join(folder, 'no', 'home.lock'), {})).toThrow(
    expect.objectContaining({ code: 'LEDGER_UNREACHABLE', subject: join(folder, 'no', 'home.lock') }),
  );
});
