/** Real commands, also such as the system does not let go. */
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { runCommand } from './command.ts';
import { findByMark } from './processes.ts';

const run = (command: string, timeoutMs: number): ReturnType<typeof runCommand> =>
  runCommand({
    command,
    cwd: tmpdir(),
    env: { PATH: process.env.PATH ?? '' },
    timeoutMs,
    outputBytesMax: 1_000_000,
    instance,
  });
const instance = `command-${process.pid}-test`;

it('tells the code and the end of the output, and leaves nothing running', async () => {
  const result = await run('setsid sleep 100 & echo done; exit 3', 5000);
  expect(result).toMatchObject({ kind: 'exited', code: 3, tail: 'done\n' });
  expect(await findByMark(instance)).toEqual([]);
});

it('ends at its time limit also if the exit of what was killed never comes', async ({ skip }) => {
  // A zombie stays its tracer's until that looks, and is no exit to us before: as good as a process that can't be killed.
  const traced = `exec python3 -c '
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.prctl(0x59616d61, ctypes.c_ulong(2**64 - 1), 0, 0, 0)
traced = os.getpid()
if os.fork() == 0:
    os.setsid()
    print("seized" if libc.ptrace(0x4206, traced, 0, 0) == 0 else "not seized", flush=True)
time.sleep(100)
'`;
  const result = await run(traced, 1500);
  skip(!('tail' in result) || !result.tail.startsWith('seized'), 'needs python3 and the right to trace');
  expect(result).toMatchObject({ kind: 'timed-out' });
  expect(await findByMark(instance)).toEqual([]);
}, 20_000);
