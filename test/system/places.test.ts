/** Personas, trust and worktrees through the command line of a running daemon. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { PersonaDetail, PersonaList } from '../../src/protocol/persona.ts';
import type { WorktreeList, WorktreeRemoval, WorktreeView } from '../../src/protocol/worktree.ts';
import { eventually, openStage, type Stage } from './stage.ts';

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Each runs the command line a dozen times; a busy machine needs a second or two for each. */
vi.setConfig({ testTimeout: 90_000 });

const launcher = join(import.meta.dirname, '../../bin/muster.mjs');
let stage: Stage;
const muster = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Said> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [launcher, '--home', stage.home.dir, ...args],
      { cwd: stage.repository, env: { ...process.env, ...env } },
      (error, out, err) => resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    );
    child.stdin?.end();
  });
const json = async <T>(...args: string[]): Promise<T> => JSON.parse((await muster([...args, '--json'])).out) as T;
const put = (path: string, text: string): void => {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
};

beforeEach(() => {
  stage = openStage();
});
afterEach(() => stage.close());

describe('personas', () => {
  test('list, show, check and edit say the same as HTTP, and an edit is in force for the next job', async () => {
    await stage.up();
    const list = await json<PersonaList>('persona', 'list');
    expect(list).toEqual(await stage.client().call('listPersonas', { query: { project: stage.repository } }));
    expect(list.personas.map(({ name, origin }) => `${name} ${origin}`)).toEqual([
      'be built-in',
      'dev built-in',
      'fe built-in',
      'qa built-in',
    ]);

    const editor = join(stage.dir, 'editor.sh');
    writeFileSync(editor, `#!/bin/sh\nprintf '%s' "$TEXT" > "$1"\n`, { mode: 0o755 });
    const edit = (text: string, ...flags: string[]) =>
      muster(['persona', 'edit', 'dev', ...flags], { VISUAL: '', EDITOR: editor, TEXT: text });
    const file = join(stage.home.personas, 'dev.md');
    const good = '---\nextends: dev\nscope_patterns: [docs/**]\n---\nWrite for people.\n';
    expect((await edit(good)).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe(good);
    expect(JSON.parse((await edit(good, '--json')).out)).toEqual(await json<PersonaDetail>('persona', 'check', 'dev'));

    const bad = '---\npermissions: everything\n---\nText\n';
    const refused = await edit(bad);
    expect({ code: refused.code, err: refused.err }).toMatchObject({
      code: 2,
      err: expect.stringContaining('permissions: "everything"; allowed are ask, edits, all'),
    });
    expect({ kept: readFileSync(file, 'utf8'), beside: readFileSync(`${file}.rejected`, 'utf8') }).toEqual({
      kept: good,
      beside: bad,
    });

    const { persona } = await json<PersonaDetail>('persona', 'show', 'dev');
    const job = await stage.submit('Look at the persona file\n@run cp .claude/CLAUDE.md persona-copy.txt');
    const end = await stage.ended(job.id);
    expect(stage.git('show', `${end.branch}:persona-copy.txt`)).toBe(persona.text);
    const told = (await stage.events(job.id)).find(({ type }) => type === 'persona.written');
    expect(told?.data).toEqual({
      persona: 'dev',
      version: persona.version,
      path: '.claude/CLAUDE.md',
      sources: [
        { name: 'dev', origin: 'home', path: file },
        { name: 'dev', origin: 'built-in', path: null },
      ],
    });
    const { attempts } = await stage.client().call('showJob', { params: { id: job.id } });
    expect(attempts[0]?.personaVersion).toBe(persona.version);
    expect((await stage.session(String(end.sessionId))).personaVersion).toBe(persona.version);

    expect(await muster(['persona', 'check'])).toMatchObject({ code: 0 });
    writeFileSync(join(stage.dir, 'draft.md'), bad);
    expect(await muster(['persona', 'check', join(stage.dir, 'draft.md')])).toMatchObject({ code: 2 });
    put(join(stage.home.personas, 'broken.md'), bad);
    const broken = await muster(['persona', 'check']);
    expect({ code: broken.code, out: broken.out }).toMatchObject({
      code: 1,
      out: expect.stringContaining('broken.md'),
    });
  });

  test('[P1] a job with a persona of the project is refused until the project is trusted, and after each change', async () => {
    put(join(stage.repository, '.muster/personas/lead.md'), '---\npermissions: all\n---\nLead.\n');
    stage.git('add', '-A');
    stage.git('commit', '-qm', 'a persona');
    const client = await stage.up();
    const submit = () =>
      client.call('submitJob', {
        body: { text: 'Write a file\n@write a.txt x', projectPath: stage.repository, agent: 'claude', persona: 'lead' },
      });
    await expect(submit()).rejects.toMatchObject({ code: 'PERSONA_UNTRUSTED' });
    const asked = await muster(['project', 'trust']);
    expect({ code: asked.code, err: asked.err }).toMatchObject({
      code: 2,
      err: expect.stringMatching(/permissions +all[\s\S]*Trust needs a yes/),
    });
    await expect(submit()).rejects.toMatchObject({ code: 'PERSONA_UNTRUSTED' });
    mkdirSync(join(stage.repository, 'deep/down'), { recursive: true });
    expect(await muster(['project', 'trust', '--yes', 'deep/down'])).toMatchObject({ code: 0 });
    expect(await json('project', 'trust')).toMatchObject({ trust: { state: 'trusted', names: ['lead'] } });
    const { job } = await submit();
    expect(await stage.ended(job.id)).toMatchObject({ state: 'done', persona: 'lead' });
    put(join(stage.repository, '.muster/personas/lead.md'), 'Lead more.\n');
    stage.git('commit', '-qam', 'another');
    await expect(submit()).rejects.toMatchObject({ code: 'PERSONA_UNTRUSTED' });
    expect((await muster(['project', 'list'])).out).toContain('changed');
  });

  test('[P2] a job whose agent could do more than the rules say is refused at the door', async () => {
    put(
      join(stage.home.personas, 'strict.md'),
      '---\nrules:\n  deny: [{ tool: shell, command: git push * }]\n---\nText.\n',
    );
    writeFileSync(stage.home.config, readFileSync(stage.home.config, 'utf8').replace('claude:', 'codex:'));
    const client = await stage.up();
    const submit = client.call('submitJob', {
      body: { text: 'Write a file\n@write a.txt x', projectPath: stage.repository, agent: 'codex', persona: 'strict' },
    });
    await expect(submit).rejects.toMatchObject({ code: 'PERSONA_INVALID' });
  });
});

describe('worktrees', () => {
  test('[D20] what a failed job left is shown, survives its removal on a ref, and the removal is told', async () => {
    await stage.up();
    const job = await stage.submit('Fail with a file\n@write half.txt half\n@fail server_error broken');
    const end = await stage.ended(job.id);
    expect(end.state).not.toBe('done');
    const path = join(stage.home.worktrees, 'dev', job.id);
    writeFileSync(join(path, 'later.txt'), 'by a person\n');
    const list = await json<WorktreeList>('worktree', 'list');
    expect(
      list.worktrees.map(({ id, path: at, outcome, verdict }) => ({ id, at, outcome, kind: verdict.kind })),
    ).toEqual([{ id: `${job.id}.1`, at: path, outcome: end.state, kind: 'saves' }]);
    const { worktree } = await json<{ worktree: WorktreeView }>('worktree', 'show', job.id);
    expect(worktree.bytes).toBeGreaterThan(0);

    const rehearsed = await json<{ removal: WorktreeRemoval }>('worktree', 'remove', job.id, '--dry-run');
    expect(rehearsed.removal.result.kind).toBe('would-remove');
    expect(existsSync(join(path, 'later.txt'))).toBe(true);
    const { removal } = await json<{ removal: WorktreeRemoval }>('worktree', 'remove', job.id);
    expect(removal.result.kind).toBe('removed');
    const saved = removal.result.kind === 'removed' ? String(removal.result.saved) : '';
    expect(stage.git('show', `${saved}:later.txt`)).toBe('by a person');
    expect(existsSync(path)).toBe(false);
    const told = (await stage.events(job.id)).find(({ type }) => type === 'worktree.removed');
    expect(told?.data).toMatchObject({ kind: 'removed', by: 'person', why: 'asked for', ref: saved, worktree: path });
    expect(await muster(['worktree', 'show', job.id])).toMatchObject({ code: 1 });
  });

  test('root, branch and shared dependencies are as configured for the project', async () => {
    put(join(stage.repository, '.gitignore'), 'node_modules/\n');
    put(join(stage.repository, 'package-lock.json'), '{}\n');
    stage.git('add', '-A');
    stage.git('commit', '-qm', 'lock');
    put(join(stage.repository, 'node_modules/tool/index.js'), 'tool\n');
    put(join(stage.repository, 'node_modules/.package-lock.json'), '{}\n');
    const root = join(stage.dir, 'elsewhere');
    const config = readFileSync(stage.home.config, 'utf8');
    const projects = {
      [stage.repository]: { worktrees: { root, branch: 'bots/{persona}/{job}', share: ['node_modules'] } },
    };
    writeFileSync(stage.home.config, `${config}projects: ${JSON.stringify(projects)}\n`);
    await stage.up();
    const job = await stage.submit('Use the tool\n@run cp node_modules/tool/index.js out.txt');
    const end = await stage.ended(job.id);
    expect(end).toMatchObject({ state: 'done', branch: `bots/dev/${job.id}`, outcome: { files: ['out.txt'] } });
    expect(stage.git('show', `${end.branch}:out.txt`)).toBe('tool');
    const prepared = (await stage.events(job.id)).find(({ type }) => type === 'workspace.prepared');
    expect(prepared?.data).toMatchObject({
      worktree: join(root, 'dev', job.id),
      shared: [{ path: 'node_modules', kind: 'copied' }],
    });
    await eventually('the worktree is gone', async () => (existsSync(join(root, 'dev', job.id)) ? undefined : true));
  });
});
