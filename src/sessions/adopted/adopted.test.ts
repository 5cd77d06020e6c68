/** Adopted sessions on a real tmux server of the test's own, with a small agent in its panes. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { agents } from '../../agents/index.ts';
import { systemClock } from '../../base/clock.ts';
import type { SessionId } from '../../base/ids.ts';
import { silentLog } from '../../base/log.ts';
import { homeAt } from '../../platform/home.ts';
import type { TerminalFromServer } from '../../protocol/feed.ts';
import type { SessionView } from '../../protocol/session.ts';
import { type Adopted, openAdopted } from './adopted.ts';

const paneAgent = join(import.meta.dirname, '../../../test/peers/pane-agent.ts');
const patience = { timeout: 10_000, interval: 50 };

let dir: string;
let env: NodeJS.ProcessEnv;
let open: Adopted[];

const tmux = (...args: string[]): string => execFileSync('tmux', ['-L', 'test', ...args], { env, encoding: 'utf8' });
const openOne = async (): Promise<Adopted> => {
  const adopted = await openAdopted({
    home: homeAt(join(dir, 'home')),
    agents,
    clock: systemClock,
    log: silentLog,
    env,
    tmux: undefined,
    cmux: undefined,
    onChange: () => undefined,
  });
  open.push(adopted);
  return adopted;
};

/** A window with an interactive shell in which the agent was started, as a person does it; answers the pane's id. */
function agentPane(given: Record<string, string> = {}): string {
  const pane = tmux('new-window', '-d', '-t', 'dev', '-P', '-F', '#{pane_id}', 'bash --norc --noprofile').trim();
  const settings = { PANE_AGENT_LOG: join(dir, 'prompts.ndjson'), ...given };
  const words = Object.entries(settings).map(([name, value]) => `${name}='${value}'`);
  const line = `(export ${words.join(' ')}; exec -a claude '${process.execPath}' '${paneAgent}')`;
  tmux('send-keys', '-t', pane, '-l', line);
  tmux('send-keys', '-t', pane, 'Enter');
  return pane;
}
const shows = (pane: string, text: string): Promise<void> =>
  vi.waitFor(() => expect(tmux('capture-pane', '-p', '-t', pane)).toContain(text), patience);
const readyPane = async (given?: Record<string, string>): Promise<string> => {
  const pane = agentPane(given);
  await shows(pane, '? for shortcuts');
  return pane;
};
const prompts = (): string[] =>
  existsSync(join(dir, 'prompts.ndjson'))
    ? readFileSync(join(dir, 'prompts.ndjson'), 'utf8')
        .split('\n')
        .flatMap((row) => (row === '' ? [] : [(JSON.parse(row) as { prompt: string }).prompt]))
    : [];
const stateOf = (adopted: Adopted, id: SessionId): SessionView | undefined => adopted.get(id);
const inState = (adopted: Adopted, id: SessionId, state: string): Promise<void> =>
  vi.waitFor(() => expect(stateOf(adopted, id)).toMatchObject({ state }), patience);
const adoptPane = async (adopted: Adopted, pane: string): Promise<SessionId> => {
  const { session } = await adopted.adopt({ target: `tmux:${pane}`, agent: undefined, role: undefined });
  await inState(adopted, session.id as SessionId, 'idle');
  return session.id as SessionId;
};
const input = (text: string, inputId = `i-${Math.random()}`) => ({ inputId, text, readyMs: 0 });

beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-adopted-')));
  mkdirSync(join(dir, 'home'), { mode: 0o700 });
  mkdirSync(join(dir, 'tmux'), { mode: 0o700 });
  env = {
    PATH: process.env.PATH,
    HOME: dir,
    HISTFILE: '',
    TMUX_TMPDIR: join(dir, 'tmux'),
    LANG: 'C.UTF-8',
    TERM: 'xterm-256color',
  };
  open = [];
  writeFileSync(
    join(dir, 'tmux.conf'),
    'set -g prefix C-a\nset -g history-limit 5000\nset-hook -g after-new-window "set -g @seen yes"\n',
  );
  tmux(
    '-f',
    join(dir, 'tmux.conf'),
    'new-session',
    '-d',
    '-s',
    'dev',
    '-x',
    '100',
    '-y',
    '30',
    'bash --norc --noprofile',
  );
});
afterEach(async () => {
  for (const one of open) await one.close();
  spawnSync('tmux', ['-L', 'test', 'kill-server'], { env });
  rmSync(dir, { recursive: true, force: true });
});

describe('adopting', () => {
  test('[A1] a pane is known by its processes: the agent below the shell, its folder, its own files', async () => {
    const config = join(dir, 'claude');
    const pane = await readyPane({ CLAUDE_CONFIG_DIR: config });
    const adopted = await openOne();
    const { session, already } = await adopted.adopt({ target: `tmux:${pane}`, agent: undefined, role: undefined });
    expect(already).toBe(false);
    await inState(adopted, session.id as SessionId, 'idle');
    expect(stateOf(adopted, session.id as SessionId)).toMatchObject({
      kind: 'tmux',
      agent: 'claude',
      role: 'Claude Code 1',
      place: `tmux:${join(dir, 'tmux', `tmux-${process.getuid?.()}`, 'test')}/${pane}`,
      cols: 100,
      rows: 30,
      source: 'sessionFile',
      resumeId: 'conversation-1',
    });
    const twice = await adopted.adopt({ target: `tmux:test/${pane}`, agent: 'claude', role: 'other' });
    expect([twice.already, twice.session.id]).toEqual([true, session.id]);
  });

  test('[A1] what can not be adopted is refused with the reason, and names that fit several are listed', async () => {
    const adopted = await openOne();
    const refusal = (target: string, agent?: string) =>
      adopted.adopt({ target, agent, role: undefined }).catch((error: { code?: string; message?: string }) => error);
    expect(await refusal('tmux:%99')).toMatchObject({ code: 'NOT_FOUND' });
    expect(await refusal('tmux:dev:0.0')).toMatchObject({
      code: 'WRONG_STATE',
      message: expect.stringContaining('bash') as string,
    });
    expect(await refusal('screen:1')).toMatchObject({ code: 'BAD_REQUEST' });
    expect(await refusal('tmux:%0', 'nobody')).toMatchObject({ code: 'AGENT_UNKNOWN' });
    expect(await refusal('cmux:surface:1')).toMatchObject({ code: 'TERMINAL_UNREACHABLE' });
    expect(adopted.list()).toEqual([]);
  });

  test('[A2] it is found again by the next life, unknown until looked at; its pane may have gone meanwhile', async () => {
    const [one, two] = [await readyPane(), await readyPane()];
    const first = await openOne();
    const ids = [await adoptPane(first, one), await adoptPane(first, two)];
    await first.close();
    tmux('kill-pane', '-t', two);
    const next = await openOne();
    expect(
      next
        .list()
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual([...ids].toSorted());
    await inState(next, ids[0] as SessionId, 'idle');
    await inState(next, ids[1] as SessionId, 'exited');
    const story = next.why(ids[0] as SessionId)?.changes.map(({ to, evidence }) => `${to} ${evidence.source}`);
    expect(story).toEqual(['idle screen', 'unknown control', 'idle screen']);
  });

  test('[A3] the end of the pane is told at once, and a new agent in the same place is another session', async () => {
    const adopted = await openOne();
    const pane = await readyPane();
    const id = await adoptPane(adopted, pane);
    await adopted.deliver(id, input('Leave now\n@exit 3'));
    await inState(adopted, id, 'exited');
    expect(stateOf(adopted, id)).toMatchObject({ exit: { code: null, signal: null }, source: 'process' });
    expect(stateOf(adopted, id)?.reason).toContain('can not be known');
    tmux('kill-pane', '-t', pane);
    const again = await adoptPane(adopted, await readyPane());
    expect(again).not.toBe(id);
    tmux('kill-server');
    await inState(adopted, again, 'exited');
  });
});

describe('what is known', () => {
  test('[A3] a turn, a permission and an interrupt are seen on the screen; keys answer what is open', async () => {
    const adopted = await openOne();
    const id = await adoptPane(adopted, await readyPane());
    expect(await adopted.deliver(id, input('Please ask\n@wait 700\n@ask\n@wait 30000'))).toMatchObject({
      kind: 'accepted',
      by: 'screen',
    });
    await inState(adopted, id, 'permission');
    expect(await adopted.deliver(id, input('not now'))).toMatchObject({ kind: 'refused' });
    expect((await adopted.answer(id, { decision: 'allow', permissionId: 'p-of-another' })).receipt).toMatchObject({
      kind: 'refused',
    });
    expect((await adopted.answer(id, { decision: 'allow', permissionId: undefined })).receipt).toMatchObject({
      kind: 'accepted',
    });
    await inState(adopted, id, 'working');
    expect(await adopted.interrupt(id)).toMatchObject({ kind: 'accepted' });
    await inState(adopted, id, 'idle');
    expect((await adopted.tail(id, 50)).join('\n')).toContain('● allowed');
    expect(prompts()).toHaveLength(1);
  });

  test('[A9] a viewer gets the screen as it is and as it changes; keys and sizes are the person’s', async () => {
    const adopted = await openOne();
    const id = await adoptPane(adopted, await readyPane());
    const told: TerminalFromServer[] = [];
    const terminal = await adopted.openTerminal(id, {
      onMessage: (message) => told.push(message),
      onOutput: () => undefined,
    });
    expect(told[0]).toMatchObject({ type: 'snapshot', cols: 100, rows: 30 });
    await expect(terminal?.input('x')).rejects.toMatchObject({ code: 'WRONG_STATE' });
    await expect(terminal?.resize(80, 24)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    await adopted.deliver(id, input('Say it\n@wait 600\n@say words for the viewer'));
    await vi.waitFor(() => expect(JSON.stringify(told)).toContain('words for the viewer'), patience);
    terminal?.close();
    await adopted.deliver(id, input('Say more\n@wait 600\n@say nobody looks'));
    expect(JSON.stringify(told)).not.toContain('nobody looks');
  });
});

describe('sending', () => {
  const bodies = [
    ['a leading dash', '-p --help'],
    ['several lines', 'first line\nsecond line\n\nfourth'],
    ['backslash n as two characters', 'print "a\\nb" and \\r'],
    ['quotes, dollars, tmux formats', `'x' "y" $HOME #{pane_id} %1 ; kill-server`],
    ['Hangul and emoji', '한글 입력 테스트 🙂'],
    ['the end of a paste', 'one \u001b[201~ two'],
  ] as const;

  test.each(bodies)('[A5] a body with %s arrives as it is, once', async (_, text) => {
    const adopted = await openOne();
    const id = await adoptPane(adopted, await readyPane());
    expect(await adopted.deliver(id, input(`${text}\n@wait 800`))).toMatchObject({ kind: 'accepted' });
    expect(prompts()).toEqual([`${text.replaceAll('\u001b', '')}\n@wait 800`]);
  });

  test('[A6] an Enter that was swallowed is pressed once more; text is pasted once', async () => {
    const adopted = await openOne();
    const id = await adoptPane(adopted, await readyPane({ PANE_AGENT_SWALLOW_MS: '1000' }));
    expect(await adopted.deliver(id, input('Twice entered\n@wait 1500'))).toMatchObject({ kind: 'accepted' });
    expect(prompts()).toEqual(['Twice entered\n@wait 1500']);
  });

  test('[A6] [A7] without evidence the receipt is unknown, and the same input is never typed again, by no life', async () => {
    const adopted = await openOne();
    const pane = await readyPane({ PANE_AGENT_DEAF: '1' });
    const id = await adoptPane(adopted, pane);
    expect(await adopted.deliver(id, input('Nobody hears', 'same'))).toMatchObject({ kind: 'unknown' });
    await adopted.close();
    const next = await openOne();
    await inState(next, id, 'idle');
    expect(await next.deliver(id, input('Nobody hears', 'same'))).toMatchObject({ kind: 'unknown' });
    const screen = tmux('capture-pane', '-p', '-t', pane);
    expect(screen.split('Nobody hears')).toHaveLength(2);
    expect(await next.deliver(id, input('Another'))).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('Nobody hears') as string,
    });
  });

  test('[A4] nothing is typed over a draft, in copy mode, to a shell, into a synchronized or closed pane', async () => {
    const adopted = await openOne();
    const pane = await readyPane();
    const id = await adoptPane(adopted, pane);
    const refused = async (because: string): Promise<void> => {
      const receipt = await adopted.deliver(id, input('must not arrive'));
      expect(receipt).toMatchObject({ kind: 'refused', reason: expect.stringContaining(because) as string });
    };
    tmux('send-keys', '-t', pane, '-l', 'my own words');
    await shows(pane, 'my own words');
    await refused('my own words');
    tmux('send-keys', '-t', pane, 'C-u');
    await shows(pane, 'Try "fix');
    tmux('copy-mode', '-t', pane);
    await refused('copy-mode');
    expect(await adopted.interrupt(id)).toMatchObject({ kind: 'refused' });
    tmux('send-keys', '-t', pane, '-X', 'cancel');
    tmux('set-option', '-w', '-t', pane, 'synchronize-panes', 'on');
    await refused('synchronized');
    tmux('set-option', '-w', '-t', pane, 'synchronize-panes', 'off');
    tmux('select-pane', '-d', '-t', pane);
    await refused('takes no input');
    tmux('select-pane', '-e', '-t', pane);
    tmux('send-keys', '-t', pane, 'C-z');
    await refused('in front');
    expect(stateOf(adopted, id)).toMatchObject({ state: 'unknown' });
    tmux('send-keys', '-t', pane, '-l', 'fg');
    tmux('send-keys', '-t', pane, 'Enter');
    await inState(adopted, id, 'idle');
    expect(prompts()).toEqual([]);
    expect(tmux('capture-pane', '-p', '-S', '-', '-t', pane)).not.toContain('must not arrive');
  });

  test('[A4] a text that the agent would take for a command, or for nothing, is refused; raw it is sent', async () => {
    const adopted = await openOne();
    const id = await adoptPane(adopted, await readyPane());
    for (const text of ['!rm -rf x', '/clear', ' \n\t'])
      expect(await adopted.deliver(id, input(text))).toMatchObject({ kind: 'refused' });
    expect(await adopted.deliver(id, { ...input('/compact @wait 600\n@wait 600'), raw: true })).toMatchObject({
      kind: 'accepted',
    });
    expect(prompts()).toEqual(['/compact @wait 600\n@wait 600']);
  });

  test('[A8] two prompts at once are two prompts, or one and a refusal; never one text', async () => {
    const adopted = await openOne();
    const id = await adoptPane(adopted, await readyPane());
    const receipts = await Promise.all([
      adopted.deliver(id, input('First\n@wait 600')),
      adopted.deliver(id, input('Second\n@wait 600')),
    ]);
    expect(receipts.map(({ kind }) => kind)).toEqual(['accepted', 'refused']);
    expect(prompts()).toEqual(['First\n@wait 600']);
  });
});

describe('the person’s tmux', () => {
  test('[A10] options, keys, hooks, buffers, layout, clients and scrollback are byte for byte as before', async () => {
    const adopted = await openOne();
    const pane = await readyPane();
    tmux('set-buffer', '-b', 'mine', 'a buffer of the person');
    const other = tmux('new-window', '-d', '-t', 'dev', '-P', '-F', '#{pane_id}', 'seq 1 200; exec cat').trim();
    await shows(other, '200');
    const facts = (): string[] =>
      [
        ['show-options', '-A'],
        ['show-options', '-g'],
        ['show-options', '-s'],
        ['show-options', '-gw'],
        ['show-environment', '-g'],
        ['list-keys'],
        ['show-hooks', '-g'],
        ['show-hooks'],
        ['list-buffers', '-F', '#{buffer_name} #{buffer_created} #{buffer_sample}'],
        ['list-clients'],
        ['list-windows', '-a', '-F', '#{window_id} #{window_layout} #{window_flags} #{window_active}'],
        ['list-panes', '-a', '-F', '#{pane_id} #{pane_pid} #{pane_width}x#{pane_height} #{pane_pipe} #{pane_active}'],
        ['list-sessions', '-F', '#{session_id} #{session_attached} #{session_group}'],
        ['capture-pane', '-p', '-e', '-S', '-', '-t', other],
      ].map((command) => tmux(...command));
    const before = facts();
    const id = await adoptPane(adopted, pane);
    await adopted.deliver(id, input('Do this\n@wait 500'));
    await inState(adopted, id, 'idle');
    tmux('send-keys', '-t', pane, '-l', 'a draft');
    await adopted.deliver(id, input('refused one'));
    await adopted.tail(id, 100);
    await adopted.release(id);
    expect(facts()).toEqual(before);
    expect(adopted.list()).toEqual([]);
    expect(readdirSync(join(dir, 'home', 'adopted'))).toEqual([]);
    await shows(pane, 'a draft');
  });

  test('[A11] stopping needs force and ends the agent only; released, the agent goes on', async () => {
    const adopted = await openOne();
    const [one, two] = [await readyPane(), await readyPane()];
    const [stopped, released] = [await adoptPane(adopted, one), await adoptPane(adopted, two)];
    await expect(adopted.end(stopped, { graceMs: 500, force: false })).rejects.toMatchObject({ code: 'WRONG_STATE' });
    expect(stateOf(adopted, stopped)).toMatchObject({ state: 'idle' });
    await adopted.end(stopped, { graceMs: 500, force: true });
    await inState(adopted, stopped, 'exited');
    expect(tmux('list-panes', '-a', '-F', '#{pane_id} #{pane_current_command}')).toContain(`${one} bash`);
    await adopted.release(released);
    await shows(two, '? for shortcuts');
    expect(adopted.has(released)).toBe(false);
  });
});
