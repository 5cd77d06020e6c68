/** The faces of adoption: the real command line, the real daemon, a real tmux server of the test's own. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Answer } from '../../src/cli/client.ts';
import { openCmuxPeer, peerSurface } from '../peers/cmux.ts';
import { eventually } from './stage.ts';

const checkout = join(import.meta.dirname, '../..');
let dir: string;
let env: NodeJS.ProcessEnv;

const tmux = (...args: string[]): string => execFileSync('tmux', ['-L', 'work', ...args], { env, encoding: 'utf8' });
const muster = (...args: string[]): { code: number | null; out: string; err: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(checkout, 'bin/muster.mjs'), ...args], {
    env,
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: status, out: stdout, err: stderr };
};
const json = <T>(...args: string[]): T => {
  const { out, err } = muster(...args, '--json');
  if (out === '') throw new Error(`muster ${args.join(' ')}: ${err}`);
  return JSON.parse(out) as T;
};

beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-adopt-')));
  mkdirSync(join(dir, 'home'), { mode: 0o700 });
  mkdirSync(join(dir, 'tmux'), { mode: 0o700 });
  const peer = openCmuxPeer(dir, [peerSurface(1)]);
  env = {
    PATH: `${dir}:${process.env.PATH ?? ''}`,
    HOME: dir,
    LANG: 'C.UTF-8',
    HISTFILE: '',
    MUSTER_HOME: join(dir, 'home'),
    TMUX_TMPDIR: join(dir, 'tmux'),
    ...peer.env,
  };
});
afterEach(() => {
  muster('down');
  spawnSync('tmux', ['-L', 'work', 'kill-server'], { env });
  rmSync(dir, { recursive: true, force: true });
});

test('adopt, list, tree, send, tail, why, stop and release through the command line, over a restart of the daemon', async () => {
  const agent = `exec -a claude '${process.execPath}' '${join(checkout, 'test/peers/pane-agent.ts')}'`;
  tmux(
    '-f',
    '/dev/null',
    'new-session',
    '-d',
    '-s',
    'dev',
    '-x',
    '90',
    '-y',
    '28',
    `bash --norc -c "(PANE_AGENT_LOG=${dir}/log ${agent}); exec bash --norc"`,
  );
  expect(muster('up', '--wait').code).toBe(0);
  await eventually(
    'the agent is at its prompt',
    async () => tmux('capture-pane', '-p').includes('? for shortcuts') || undefined,
  );

  const { session } = json<Answer<'adoptSession'>>('session', 'adopt', 'tmux:work/dev', '--role', 'Reviewer');
  expect(session).toMatchObject({ kind: 'tmux', agent: 'claude', role: 'Reviewer', cols: 90, rows: 28 });
  expect(json<Answer<'adoptSession'>>('session', 'adopt', 'cmux:surface:1').session).toMatchObject({
    kind: 'cmux',
    role: 'Claude Code 1',
  });
  expect(muster('session', 'adopt', 'tmux:nowhere').code).toBe(1);

  const state = async (wanted: string): Promise<unknown> =>
    eventually(`${session.id} is ${wanted}`, async () =>
      json<Answer<'showSession'>>('session', 'show', session.id).session.state === wanted ? true : undefined,
    );
  await state('idle');
  const tree = muster('session', 'tree').out;
  expect(tree).toContain('session dev');
  expect(tree).toMatch(/%0 = Reviewer {2}idle/);
  expect(tree).toMatch(/surface:1 = Claude Code 1/);
  expect(muster('status').out).toContain(`${session.id} (tmux)`);

  expect(muster('session', 'send', session.id, 'Look at it\n@wait 700\n@say a word to find').out).toContain('accepted');
  await state('idle');
  expect(muster('session', 'tail', session.id).out).toContain('a word to find');
  expect(readFileSync(join(dir, 'log'), 'utf8').trim().split('\n')).toHaveLength(1);

  expect(muster('down', '--keep-sessions').code).toBe(0);
  expect(muster('up', '--wait').code).toBe(0);
  await state('idle');
  expect(muster('why', session.id).out).toContain('unknown');

  const refused = muster('session', 'stop', session.id);
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('started by a person') as string]);
  expect(muster('session', 'stop', session.id, '--force', '--grace', '500').out).toContain('exited');
  expect(tmux('list-panes', '-F', '#{pane_current_command}').trim()).toBe('bash');
  expect(muster('session', 'release', session.id).code).toBe(0);
  expect(existsSync(join(dir, 'home', 'adopted', session.id))).toBe(false);
  const types = json<Answer<'listEvents'>>('events').events.flatMap(({ type, sessionId }) =>
    sessionId === session.id ? [type] : [],
  );
  expect([types[0], types.at(-1), types.includes('session.ended')]).toEqual([
    expect.stringMatching(/adopted|changed/),
    'session.released',
    true,
  ]);
}, 120_000);
