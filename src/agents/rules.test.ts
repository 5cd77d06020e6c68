import { createHash } from 'node:crypto';
import { lstat, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PermissionRule } from '../protocol/rules.ts';
import type { AgentId } from '../protocol/session.ts';
import type { LaunchPlan } from './agent.ts';
import { agents } from './index.ts';

let dir: string;
beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'muster-rules-')));
  await mkdir(join(dir, 'tree'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const rules: readonly PermissionRule[] = [
  { decision: 'allow', tool: 'shell', command: 'npm test *' },
  { decision: 'allow', tool: 'shell', command: 'make' },
  { decision: 'ask', tool: 'edit', path: 'src/**' },
  { decision: 'deny', tool: 'shell', command: 'git push *' },
  { decision: 'deny', tool: 'read', path: '.env' },
  { decision: 'deny', tool: 'fetch', domain: 'example.org' },
  { decision: 'deny', tool: 'search' },
  { decision: 'deny', tool: 'mcp:tracker/close' },
];

const plan = (over: Partial<LaunchPlan> = {}): LaunchPlan => ({
  found: { file: '/bin/agent', args: [], version: '1.0.0' },
  dir: join(dir, 'session'),
  cwd: join(dir, 'tree'),
  env: { HOME: join(dir, 'home'), PATH: '/bin' },
  permissions: 'edits',
  rules,
  model: undefined,
  resumeId: undefined,
  extraArgs: [],
  ...over,
});

const agent = (id: AgentId) => {
  const found = agents.get(id);
  if (!found) throw new Error(`no ${id}`);
  return found;
};
const settingsOf = async (file: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(dir, 'session', file), 'utf8')) as Record<string, unknown>;

describe('rules reach the agent in its own words', () => {
  test('Claude Code', async () => {
    await agent('claude').prepare(plan());
    expect((await settingsOf('claude-settings.json')).permissions).toEqual({
      allow: ['Bash(npm test:*)', 'Bash(make)'],
      ask: [`Edit(/${dir}/tree/src/**)`],
      deny: [
        'Bash(git push:*)',
        `Read(/${dir}/tree/.env)`,
        'WebFetch(domain:example.org)',
        'WebSearch',
        'mcp__tracker__close',
      ],
    });
    expect(agent('claude').unkeptRules(rules, 'edits')).toEqual([]);
  });

  test('Claude Code: a worktree behind a link is named both ways', async () => {
    await symlink(join(dir, 'tree'), join(dir, 'link'));
    await agent('claude').prepare(plan({ cwd: join(dir, 'link'), rules: rules.slice(2, 3) }));
    expect((await settingsOf('claude-settings.json')).permissions).toEqual({
      allow: [],
      ask: [`Edit(/${dir}/link/src/**)`, `Edit(/${dir}/tree/src/**)`],
      deny: [],
    });
  });

  test('a worktree whose path would be taken for a pattern is refused, not guessed at', async () => {
    await expect(agent('claude').prepare(plan({ cwd: join(dir, 'a[1]') }))).rejects.toMatchObject({
      code: 'PERSONA_INVALID',
    });
  });

  test("Qwen Code: beside the machine's own lists, and without what it would take wider", async () => {
    const defaults = join(dir, 'defaults.json');
    await writeFile(defaults, JSON.stringify({ permissions: { deny: ['Skill'] }, theme: 'x' }));
    await agent('qwen').prepare(plan({ env: { HOME: dir, QWEN_CODE_SYSTEM_DEFAULTS_PATH: defaults } }));
    const { permissions, theme } = await settingsOf('qwen-defaults.json');
    expect({ permissions, theme }).toEqual({
      permissions: {
        allow: ['Bash(npm test:*)'],
        deny: [
          'Skill',
          'Bash(git push:*)',
          `Read(/${dir}/tree/.env)`,
          'WebFetch(domain:example.org)',
          'web_search',
          'mcp__tracker__close',
        ],
      },
      theme: 'x',
    });
    expect(agent('qwen').unkeptRules(rules, 'edits')).toEqual([
      { rule: 'allow shell "make"', reason: 'Qwen Code would allow every command that begins so', weaker: false },
      {
        rule: 'ask edit "src/**"',
        reason: 'with permissions "edits" Qwen Code does not ask about this kind of tool',
        weaker: true,
      },
    ]);
    expect(
      agent('qwen')
        .unkeptRules(rules, 'ask')
        .map((one) => one.rule),
    ).toEqual(['allow shell "make"']);
  });

  test('Codex: its web search is switched off; everything else is said to be beyond it', async () => {
    const { args } = await agent('codex').prepare(plan());
    expect(args).toContain('web_search="disabled"');
    expect((await agent('codex').prepare(plan({ rules: [] }))).args).not.toContain('web_search="disabled"');
    expect(
      agent('codex')
        .unkeptRules(rules, 'ask')
        .map(({ rule, weaker }) => `${rule} ${weaker}`),
    ).toEqual([
      'allow shell "npm test *" false',
      'allow shell "make" false',
      'ask edit "src/**" true',
      'deny shell "git push *" true',
      'deny read ".env" true',
      'deny fetch "example.org" true',
      'deny mcp:tracker/close true',
    ]);
  });

  test('opencode: the last pattern that fits wins, so deny stands last', async () => {
    const { env } = await agent('opencode').prepare(plan());
    const setting = JSON.parse(env.OPENCODE_PERMISSION ?? '') as Record<string, unknown>;
    expect(JSON.stringify(setting)).toBe(
      JSON.stringify({
        bash: {
          '*': 'ask',
          'npm test': 'allow',
          'npm test *': 'allow',
          make: 'allow',
          'git push': 'deny',
          'git push *': 'deny',
        },
        edit: { '*': 'allow', 'src/**': 'ask' },
        read: { '.env': 'deny' },
        websearch: 'deny',
      }),
    );
    expect(
      agent('opencode')
        .unkeptRules(rules, 'ask')
        .map((one) => one.rule),
    ).toEqual(['deny fetch "example.org"', 'deny mcp:tracker/close']);
  });

  test.each(['gemini', 'pi'] as const)('%s: what it can not be told is told to the person', (id) => {
    expect(agent(id).unkeptRules(rules, 'ask')).toHaveLength(rules.length);
  });
});

/** Every file under a folder with mode, time of change and content. */
async function fingerprint(at: string): Promise<Record<string, string>> {
  const entries = await readdir(at, { recursive: true });
  return Object.fromEntries(
    await Promise.all(
      entries.toSorted().map(async (name) => {
        const path = join(at, name);
        const { mode, mtimeMs, ino } = await lstat(path);
        const content = (await lstat(path)).isFile()
          ? createHash('sha256')
              .update(await readFile(path))
              .digest('hex')
          : '';
        return [name, `${mode.toString(8)} ${mtimeMs} ${ino} ${content}`];
      }),
    ),
  );
}

/** Where each agent keeps what its user has set: for the user, and in the repository. */
const ownSettings = [
  '.claude.json',
  '.claude/settings.json',
  '.claude/CLAUDE.md',
  '.codex/config.toml',
  '.codex/AGENTS.md',
  '.codex/rules/default.rules',
  '.qwen/settings.json',
  '.qwen/QWEN.md',
  '.gemini/settings.json',
  '.gemini/GEMINI.md',
  '.config/opencode/opencode.json',
  '.config/opencode/AGENTS.md',
  '.pi/agent/settings.json',
  '.pi/agent/AGENTS.md',
];

test.each([...agents.values()].map(({ id }) => id))(
  "%s: preparing leaves the user's and the repository's own settings byte for byte as they were",
  async (id) => {
    for (const root of ['home', 'tree']) {
      for (const path of ownSettings) {
        await mkdir(dirname(join(dir, root, path)), { recursive: true });
        await writeFile(join(dir, root, path), `{"mine": "${root} ${path}"}\n`);
      }
    }
    const before = await Promise.all(['home', 'tree'].map((root) => fingerprint(join(dir, root))));
    for (const permissions of ['ask', 'edits', 'all'] as const) {
      for (const resumeId of [undefined, 'conversation']) await agent(id).prepare(plan({ permissions, resumeId }));
    }
    expect(await Promise.all(['home', 'tree'].map((root) => fingerprint(join(dir, root))))).toEqual(before);
    expect((await readdir(dir)).filter((name) => !['home', 'tree', 'session'].includes(name))).toEqual([]);
  },
);
