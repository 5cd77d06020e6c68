import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type HookScripts, writeHookScripts } from './spool.ts';

let dir: string;
let scripts: HookScripts;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster hook's "));
  scripts = await writeHookScripts(dir);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly printed: string;
}

/** As an agent runs a hook: through a shell, the payload on standard input. */
function run(command: string, payload: string): { ended: Promise<Ended>; kill: () => void } {
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['pipe', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, printed })));
  // A hook that ends without reading breaks the pipe; agents bear it too.
  child.stdin.on('error', () => undefined);
  child.stdin.end(payload);
  return { ended, kill: () => child.kill('SIGKILL') };
}

const spooled = async (): Promise<unknown[]> => {
  const names = (await readdir(scripts.spool)).toSorted();
  return Promise.all(
    names.map(async (name) => JSON.parse(await readFile(join(scripts.spool, name), 'utf8')) as unknown),
  );
};

const waitingAsk = async (): Promise<string> =>
  vi.waitFor(
    async () => {
      const [name] = await readdir(join(dir, 'asking'));
      expect(await readdir(scripts.spool)).toHaveLength(1);
      return name ?? '';
    },
    { timeout: 5000, interval: 20 },
  );

test('a hook is kept whole, in order, and prints nothing', async () => {
  const payloads = ['{"n":1}', JSON.stringify({ n: 2, text: "it's $HOME `x` \\ ü".repeat(5000) }), '{"n":3}'];
  for (const payload of payloads) {
    expect(await run(scripts.tell, payload).ended).toEqual({ code: 0, printed: '' });
  }
  expect(await spooled()).toEqual(payloads.map((payload) => JSON.parse(payload) as unknown));
  expect((await readdir(dir)).filter((name) => name.startsWith('.part'))).toEqual([]);
});

test('a hook whose session is gone ends well and forbids nothing', async () => {
  await rm(dir, { recursive: true });
  expect(await run(scripts.tell, '{}').ended).toEqual({ code: 0, printed: '' });
});

test('a question is told with its name, and the answer file of that name is printed', async () => {
  const ask = run(scripts.ask, '{"tool_name":"Bash"}');
  const name = await waitingAsk();
  await writeFile(join(dir, 'answers', name), '{"decision":"allow"}');
  expect(await ask.ended).toEqual({ code: 0, printed: '{"decision":"allow"}' });
  expect(await spooled()).toEqual([{ musterAsk: name, hook: { tool_name: 'Bash' } }]);
  expect(await readdir(join(dir, 'answers'))).toEqual([]);
});

test('a question ends without a decision when the turn is over', async () => {
  const ask = run(scripts.ask, '{}');
  await waitingAsk();
  await run(scripts.close, '{"hook_event_name":"Stop"}').ended;
  expect(await ask.ended).toEqual({ code: 0, printed: '' });
});

test('a question ends when the agent that asked is gone', async () => {
  // The agent: a shell that starts the hook and is then killed.
  const agent = run(`{ ${scripts.ask}; } <&0 & wait`, '{}');
  const name = await waitingAsk();
  agent.kill();
  const pid = Number(name.split('-').at(-1));
  await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), { timeout: 5000, interval: 50 });
});
