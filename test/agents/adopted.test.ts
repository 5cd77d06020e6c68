/** The real agent CLIs in a real tmux, started as a person does, then adopted: found, watched, prompted, answered, released. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { agents } from '../../src/agents/index.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { SessionId } from '../../src/base/ids.ts';
import { silentLog } from '../../src/base/log.ts';
import { homeAt } from '../../src/platform/home.ts';
import { processTable, programFile } from '../../src/platform/process-tree.ts';
import type { SessionView } from '../../src/protocol/session.ts';
import { type Adopted, openAdopted } from '../../src/sessions/index.ts';
import { type ModelServer, openModelServer } from '../peers/model-server.ts';
import { eventually } from '../system/stage.ts';
import { subjects } from './subjects.ts';

/** Codex puts an app server of its own into its home and leaves it running for the next Codex. */
async function endInstalledInto(dir: string): Promise<void> {
  for (const { pid } of (await processTable()).values())
    if ((await programFile(pid))?.startsWith(join(dir, '/'))) process.kill(pid, 'SIGKILL');
}

describe.each(subjects.filter((subject) => subject.program !== undefined))('$name $version in tmux', (subject) => {
  let dir: string;
  let env: NodeJS.ProcessEnv;
  let model: ModelServer;
  let adopted: Adopted;
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-L', 'agents', ...args], { env, encoding: 'utf8' });

  beforeEach(async () => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-adopted-')));
    for (const name of ['home', 'tmux', 'agent', 'work']) mkdirSync(join(dir, name), { mode: 0o700 });
    model = await openModelServer({});
    const own = subject.home(join(dir, 'agent'), model.port, join(dir, 'work'));
    env = { PATH: process.env.PATH, HOME: dir, HISTFILE: '', TMUX_TMPDIR: join(dir, 'tmux'), LANG: 'C.UTF-8' };
    const words = Object.entries(own).map(([name, value]) => `${name}='${value}'`);
    const trust = `projects={"${join(dir, 'work')}"={trust_level="trusted"}}`;
    const options: Partial<Record<string, string[]>> = {
      claude: ['--permission-mode', 'default'],
      codex: ['--no-daemon', '-a', 'on-request', '-s', 'read-only', '-c', `'${trust}'`],
    };
    writeFileSync(
      join(dir, 'start.sh'),
      `cd '${join(dir, 'work')}'\nenv ${words.join(' ')} '${subject.program ?? ''}' ${(options[subject.name] ?? []).join(' ')}\n`,
    );
    execFileSync('git', ['init', '-q', join(dir, 'work')]);
    tmux('-f', '/dev/null', 'new-session', '-d', '-s', 'dev', '-x', '110', '-y', '36', 'bash --norc --noprofile');
    tmux('send-keys', '-t', 'dev', '-l', `. '${join(dir, 'start.sh')}'`);
    tmux('send-keys', '-t', 'dev', 'Enter');
    adopted = await openAdopted({
      home: homeAt(join(dir, 'home')),
      agents,
      clock: systemClock,
      log: silentLog,
      env,
      tmux: undefined,
      cmux: undefined,
      onChange: () => undefined,
    });
  });
  afterEach(async () => {
    await adopted.close();
    spawnSync('tmux', ['-L', 'agents', 'kill-server'], { env });
    await endInstalledInto(dir);
    await model.close();
    rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });

  test('found below a shell, prompted with a receipt, a permission answered by key, the end of the turn seen', async () => {
    const { session } = await eventually('the agent is there', () =>
      adopted.adopt({ target: 'tmux:dev', agent: undefined, role: undefined }).catch(() => undefined),
    );
    const id = session.id as SessionId;
    const where = (test: (view: SessionView) => boolean): Promise<SessionView> =>
      eventually(
        'it is as wanted',
        async () => [adopted.get(id)].find((view) => view !== undefined && test(view)),
        async () => [adopted.get(id), await adopted.tail(id, 40)],
      );
    const isReady = (view: SessionView): boolean => view.state === 'idle' || view.state === 'done';
    await where(isReady);
    expect(adopted.get(id)).toMatchObject({ kind: 'tmux', agent: subject.name, agentVersion: subject.version });

    const steps = `[{"text":"I will run a command.","shell":"echo seen > seen.txt"${subject.asking}},{"text":"A word to find."}]`;
    const receipt = await adopted.deliver(id, {
      inputId: 'one',
      text: `Do it, please. SCRIPT:${steps}`,
      readyMs: 5000,
    });
    expect(receipt, JSON.stringify(receipt)).toMatchObject({ kind: 'accepted' });
    await where((view) => view.state === 'permission');
    const { receipt: answered } = await adopted.answer(id, { decision: 'allow', permissionId: undefined });
    expect(answered, JSON.stringify(answered)).toMatchObject({ kind: 'accepted' });
    await where(isReady);
    expect((await adopted.tail(id, 100)).join('\n')).toContain('A word to find.');
    tmux('send-keys', '-t', 'dev', '-l', 'my own draft');
    await eventually('the draft stands', async () => tmux('capture-pane', '-p').includes('my own draft') || undefined);
    expect(await adopted.deliver(id, { inputId: 'two', text: 'not over it', readyMs: 0 })).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('my own draft') as string,
    });
  }, 90_000);
});
