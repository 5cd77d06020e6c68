import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { agents } from '../../agents/index.ts';
import { Fault } from '../../base/fault.ts';
import { homeAt } from '../../platform/home.ts';
import { openPersonas, type Personas } from './personas.ts';

let dir: string;
let personas: Personas;
let project: string;
beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'muster-personas-')));
  personas = openPersonas({ home: homeAt(join(dir, 'home')), agents, clock: () => 1000 });
  project = join(dir, 'project');
  await mkdir(project);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
const inHome = (name: string, text: string): Promise<void> => put(join(dir, 'home', 'personas', `${name}.md`), text);
const inProject = (name: string, text: string): Promise<void> =>
  put(join(project, '.muster', 'personas', `${name}.md`), text);
const trust = async (): Promise<void> => {
  await personas.trust(project, (await personas.project(project)).trust.hash);
};
async function faultOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!(error instanceof Fault)) throw new Error(`no fault: ${String(error)}`);
  return { code: error.code, message: error.message.replaceAll(dir, '') };
}

describe('what a file says', () => {
  test('every key is read, and the whole persona is what comes out', async () => {
    await inHome(
      'careful',
      `---
description: Careful with what is there
agent: claude
model: opus
permissions: edits
rules:
  allow:
    - { tool: shell, command: "npm test *" }
  ask:
    - { tool: edit, path: "src/**" }
  deny:
    - { tool: shell, command: git push }
    - tool: mcp:tracker
unkept_rules: tell
scope_patterns: ["src/**", "test/**"]
tools: [shell, read, edit, agent]
skills: [release-notes]
limits: { tool_calls: 200, age_minutes: 90 }
---
You are careful.
`,
    );
    const { version, ...rest } = await personas.resolve(undefined, 'careful');
    expect(rest).toEqual({
      name: 'careful',
      description: 'Careful with what is there',
      agent: 'claude',
      model: 'opus',
      permissions: 'edits',
      rules: [
        { decision: 'allow', tool: 'shell', command: 'npm test *' },
        { decision: 'ask', tool: 'edit', path: 'src/**' },
        { decision: 'deny', tool: 'shell', command: 'git push' },
        { decision: 'deny', tool: 'mcp:tracker' },
        { decision: 'deny', tool: 'fetch' },
        { decision: 'deny', tool: 'search' },
      ],
      unkeptRules: 'tell',
      scopePatterns: ['src/**', 'test/**'],
      tools: ['shell', 'read', 'edit', 'agent'],
      skills: ['release-notes'],
      limits: { toolCalls: 200, ageMinutes: 90 },
      text: 'You are careful.\n\nChange only files that match one of these patterns; if the task can not be done within them, say so and stop:\n\n- src/**\n- test/**\n\nUse these skills where they fit: release-notes.',
      sources: [{ name: 'careful', origin: 'home', path: join(dir, 'home/personas/careful.md') }],
    });
    expect(version).toMatch(/^[0-9a-f]{16}$/);
  });

  test.each([
    [
      'agnet: claude',
      'agnet: there is no such key; allowed are extends, description, agent, model, permissions, rules, unkept_rules, scope_patterns, tools, skills, limits',
    ],
    ['agent: cloude', 'agent: "cloude"; allowed are claude, codex, qwen, gemini, opencode, pi'],
    ['permissions: root', 'permissions: "root"; allowed are ask, edits, all'],
    ['model: 5', 'model: 5; invalid input: expected string, received number'],
    ['extends: ../x', 'extends: "../x"; a-z, 0-9 and - are allowed, at most 40'],
    ['rules: { forbid: [] }', 'rules.forbid: there is no such key; allowed are allow, ask, deny'],
    [
      'rules: { deny: [{ tool: bash }] }',
      'rules.deny.0.tool: "bash"; allowed are shell, read, edit, fetch, search, agent, mcp:SERVER and mcp:SERVER/TOOL',
    ],
    [
      'rules: { deny: [{ tool: shell, cmd: x }] }',
      'rules.deny.0.cmd: there is no such key; allowed are tool, command, path, domain',
    ],
    [
      'rules: { deny: [{ command: x }] }',
      'rules.deny.0.tool: is missing; invalid input: expected string, received undefined',
    ],
    [
      'rules: { deny: [{ tool: read, command: x }] }',
      'rules.deny.0.command: "x" is given for tool "read", for which only path is allowed',
    ],
    [
      'rules: { deny: [{ tool: search, path: x }] }',
      'rules.deny.0.path: "x" is given for tool "search", for which no detail is allowed',
    ],
    [
      'rules: { allow: [{ tool: shell, command: "git * push" }] }',
      'rules.allow.0.command: "git * push"; allowed is a whole command, or its beginning with " *" at the end; no other * and no brackets',
    ],
    [
      'rules: { allow: [{ tool: edit, path: "../x" }] }',
      'rules.allow.0.path: "../x"; allowed is a path from the root of the repository, with *, ** and ?, without .., brackets and a / at its ends',
    ],
    [
      'rules: { allow: [{ tool: fetch, domain: "https://x" }] }',
      'rules.allow.0.domain: "https://x"; allowed is a domain in small letters, like example.org',
    ],
    ['limits: { tool_calls: 0 }', 'limits.tool_calls: 0; too small: expected number to be >=1'],
    ['tools: []', 'tools: []; too small: expected array to have >=1 items'],
    ['agent: claude\nagent: codex', 'frontmatter: is not YAML: Map keys must be unique at line 2, column 1:'],
    ['- a list', 'frontmatter: ["a list"]; invalid input: expected object, received array'],
  ])('an error names file, key, value and what is allowed: %s', async (yaml, message) => {
    await inHome('bad', `---\n${yaml}\n---\nText\n`);
    expect(await faultOf(personas.resolve(undefined, 'bad'))).toEqual({
      code: 'PERSONA_INVALID',
      message: `persona: /home/personas/bad.md: ${message}`,
    });
  });

  test.each([
    ['---\nagent: claude\nText\n', 'frontmatter: begins with --- and has no closing line ---'],
    [
      '---\nagent: claude\n---\n',
      'text: is empty; say below the frontmatter who the agent is, or extend another persona',
    ],
    ['Text \u001b[31m', 'text: holds control or direction-changing characters'],
    ['x'.repeat(70_000), 'the file has 70000 bytes; at most 65536 are allowed'],
  ])('a file that can not be used is refused with the reason: %#', async (text, message) => {
    await inHome('bad', text);
    expect((await faultOf(personas.resolve(undefined, 'bad'))).message).toBe(
      `persona: /home/personas/bad.md: ${message}`,
    );
  });

  test('several problems are told together', async () => {
    await inHome('bad', '---\nagent: x\npermissions: y\n---\nText\n');
    expect((await faultOf(personas.resolve(undefined, 'bad'))).message).toMatch(/agent: "x".*; permissions: "y"/);
  });
});

describe('extending', () => {
  test('single values win, lists replace, limits one by one, rules are added or replaced, texts follow each other', async () => {
    await inHome(
      'base',
      '---\nmodel: a\npermissions: edits\nscope_patterns: [a]\nlimits: { tool_calls: 5, age_minutes: 6 }\nrules:\n  deny: [{ tool: shell, command: git push }, { tool: search }]\n---\nBase.\n',
    );
    await inHome(
      'child',
      '---\nextends: base\nmodel: b\nscope_patterns: [b]\nlimits: { tool_calls: 7 }\nrules:\n  allow: [{ tool: shell, command: git push }]\n---\nChild.\n',
    );
    const child = await personas.resolve(undefined, 'child');
    expect({ ...child, version: '', sources: child.sources.map(({ name }) => name) }).toEqual({
      name: 'child',
      version: '',
      description: null,
      agent: null,
      model: 'b',
      permissions: 'edits',
      rules: [
        { decision: 'deny', tool: 'search' },
        { decision: 'allow', tool: 'shell', command: 'git push' },
      ],
      unkeptRules: 'refuse',
      scopePatterns: ['b'],
      tools: null,
      skills: [],
      limits: { toolCalls: 7, ageMinutes: 6 },
      text: 'Base.\n\nChild.\n\nChange only files that match one of these patterns; if the task can not be done within them, say so and stop:\n\n- b',
      sources: ['child', 'base'],
    });
  });

  test('the built-in personas resolve, and one of the home that extends its own name stands on the built-in one', async () => {
    for (const name of ['dev', 'fe', 'be', 'qa'])
      expect((await personas.resolve(undefined, name)).sources.at(-1)).toEqual({
        name: 'dev',
        origin: 'built-in',
        path: null,
      });
    await inHome('dev', '---\nextends: dev\n---\nAnd be brief.\n');
    const dev = await personas.resolve(undefined, 'dev');
    expect({ origins: dev.sources.map(({ origin }) => origin), end: dev.text.endsWith('\n\nAnd be brief.') }).toEqual({
      origins: ['home', 'built-in'],
      end: true,
    });
    expect((await personas.resolve(undefined, 'fe')).sources.map(({ origin }) => origin)).toEqual([
      'built-in',
      'built-in',
    ]);
  });

  test('a circle is refused and shown', async () => {
    await inHome('a', '---\nextends: b\n---\n');
    await inHome('b', '---\nextends: c\n---\n');
    await inHome('c', '---\nextends: a\n---\n');
    expect((await faultOf(personas.resolve(undefined, 'a'))).message).toBe(
      'persona: /home/personas/a.md: extends: goes in a circle: a → b → c → a',
    );
  });

  test('one that is not there is named with those that are', async () => {
    await inHome('a', '---\nextends: nobody\n---\n');
    expect((await faultOf(personas.resolve(undefined, 'a'))).message).toBe(
      'persona: /home/personas/a.md: extends: "nobody" is not there; allowed are be, dev, fe, qa',
    );
  });

  test('a line of descent has an end', async () => {
    await inHome('p0', 'Root.');
    for (let number = 1; number < 10; number += 1) await inHome(`p${number}`, `---\nextends: p${number - 1}\n---\n`);
    expect((await faultOf(personas.resolve(undefined, 'p9'))).message).toMatch(/longer than 8 personas/);
    expect((await personas.resolve(undefined, 'p7')).text).toBe('Root.');
  });
});

describe('versions', () => {
  test('the same content has the same version; a change anywhere below changes it', async () => {
    await inHome('base', 'Base.');
    await inHome('child', '---\nextends: base\n---\nChild.');
    const first = await personas.resolve(undefined, 'child');
    expect(await personas.resolve(undefined, 'child')).toEqual(first);
    await inHome('base', '---\nlimits: { tool_calls: 5 }\n---\nBase.');
    expect((await personas.resolve(undefined, 'child')).version).not.toBe(first.version);
  });
});

describe('a project', () => {
  test('[P1] brings nothing before it is trusted, and asks again when its folder changes', async () => {
    await inProject('deploy', '---\npermissions: all\n---\nDeploy.');
    expect(await faultOf(personas.resolve(project, 'deploy'))).toEqual({
      code: 'PERSONA_UNTRUSTED',
      message: 'persona: there is a "deploy" in /project/.muster/personas, which you have not trusted',
    });
    await trust();
    expect((await personas.resolve(project, 'deploy')).permissions).toBe('all');
    await inProject('other', 'Other.');
    expect(await faultOf(personas.resolve(project, 'deploy'))).toEqual({
      code: 'PERSONA_UNTRUSTED',
      message: 'persona: "deploy" belongs to /project/.muster/personas, which has changed since you trusted it',
    });
    await rm(join(project, '.muster/personas/other.md'));
    expect((await personas.resolve(project, 'deploy')).permissions).toBe('all');
    await personas.distrust(project);
    expect((await faultOf(personas.resolve(project, 'deploy'))).code).toBe('PERSONA_UNTRUSTED');
  });

  test('[P1] one that was trusted and is gone does not quietly become another of its name', async () => {
    await inProject('fe', '---\nextends: fe\npermissions: ask\n---\n');
    await trust();
    await rm(join(project, '.muster'), { recursive: true });
    expect((await faultOf(personas.resolve(project, 'fe'))).code).toBe('PERSONA_UNTRUSTED');
    expect((await personas.resolve(project, 'be')).name).toBe('be');
  });

  test('[P1] trust holds for the place that was looked at only', async () => {
    await inProject('deploy', 'Deploy.');
    await trust();
    await put(join(dir, 'copy/.muster/personas/deploy.md'), 'Deploy.');
    expect((await faultOf(personas.resolve(join(dir, 'copy'), 'deploy'))).code).toBe('PERSONA_UNTRUSTED');
  });

  test('[P1] what changes between the look and the yes is not trusted', async () => {
    await inProject('deploy', 'Deploy.');
    const { trust: seen } = await personas.project(project);
    await inProject('deploy', '---\npermissions: all\n---\nDeploy.');
    expect((await faultOf(personas.trust(project, seen.hash))).code).toBe('WRONG_STATE');
    expect((await personas.project(project)).trust.state).toBe('untrusted');
  });

  test("the home's persona wins, unless the project's was made to stand on it", async () => {
    await inHome('fe', 'Mine.');
    await inProject('fe', 'Theirs.');
    await trust();
    expect((await personas.resolve(project, 'fe')).text).toBe('Mine.');
    await inProject('fe', '---\nextends: fe\n---\nTheirs.');
    await trust();
    const both = await personas.resolve(project, 'fe');
    expect({ text: both.text, origins: both.sources.map(({ origin }) => origin) }).toEqual({
      text: 'Mine.\n\nTheirs.',
      origins: ['project', 'home'],
    });
    expect((await personas.resolve(undefined, 'fe')).text).toBe('Mine.');
  });

  test("a project can't slip anything under a persona of the home", async () => {
    await inHome('mine', '---\nextends: dev\n---\nMine.');
    await inProject('dev', '---\nextends: dev\npermissions: all\n---\n');
    await trust();
    expect((await personas.resolve(project, 'mine')).permissions).toBeNull();
    expect((await personas.resolve(project, 'dev')).permissions).toBe('all');
  });

  test('links are not followed, neither of a file nor of the folder', async () => {
    await put(join(dir, 'secret.md'), 'A secret.');
    await inProject('plain', 'Plain.');
    await symlink(join(dir, 'secret.md'), join(project, '.muster/personas/secret.md'));
    expect((await personas.project(project)).trust.names).toEqual(['plain']);
    await mkdir(join(dir, 'other/.muster'), { recursive: true });
    await symlink(join(project, '.muster/personas'), join(dir, 'other/.muster/personas'));
    expect((await personas.project(join(dir, 'other'))).trust.state).toBe('none');
  });

  test('the list says where each comes from, what hides it, and what is wrong with it', async () => {
    await inHome('dev', 'Mine.');
    await inHome('bad', '---\nagent: x\n---\nText');
    await inProject('dev', 'Theirs.');
    await inProject('own', 'Own.');
    const lines = async () =>
      (await personas.list(project)).personas.map(
        ({ name, origin, hiddenBy, problem }) =>
          `${name} ${origin} ${hiddenBy?.replace(dir, '') ?? '-'} ${problem?.code ?? '-'}`,
      );
    expect(await lines()).toEqual([
      'bad home - PERSONA_INVALID',
      'be built-in - -',
      'dev project /home/personas/dev.md -',
      'dev home - -',
      'dev built-in /home/personas/dev.md -',
      'fe built-in - -',
      'own project - PERSONA_UNTRUSTED',
      'qa built-in - -',
    ]);
    await trust();
    expect((await lines())[6]).toBe('own project - -');
    expect((await personas.trusted()).map(({ path, state }) => [path, state])).toEqual([[project, 'trusted']]);
  });
});

describe('checking and writing', () => {
  test('a draft is checked as if it stood there, with what each agent could not keep', async () => {
    const detail = await personas.check(undefined, {
      name: 'draft',
      text: '---\nextends: qa\nagent: codex\nrules:\n  deny: [{ tool: shell, command: git push }]\n---\n',
    });
    expect(detail.agents).toEqual([
      {
        agent: 'codex',
        unkept: [
          {
            rule: 'deny shell "git push"',
            reason: 'Codex has no rules for a single session but its sandbox, which `permissions` chooses',
            weaker: true,
          },
        ],
      },
    ]);
    expect((await faultOf(personas.check(undefined, { name: 'A b', text: 'x' }))).code).toBe('PERSONA_INVALID');
  });

  test('what is written is whole and what was meant; one that changed meanwhile is not overwritten', async () => {
    const path = join(dir, 'home/personas/new.md');
    await personas.write({ name: 'new', text: 'One.\n', base: null });
    expect(await readFile(path, 'utf8')).toBe('One.\n');
    expect((await faultOf(personas.write({ name: 'new', text: 'Two.\n', base: null }))).code).toBe('WRONG_STATE');
    expect((await faultOf(personas.write({ name: 'new', text: '---\nagent: x\n---\n', base: 'One.\n' }))).code).toBe(
      'PERSONA_INVALID',
    );
    expect(await readFile(path, 'utf8')).toBe('One.\n');
    await personas.write({ name: 'new', text: 'Two.\n', base: 'One.\n' });
    expect(await readFile(path, 'utf8')).toBe('Two.\n');
  });

  test('a change that would close a circle through another persona is refused', async () => {
    await inHome('a', 'A.');
    await inHome('b', '---\nextends: a\n---\n');
    expect((await faultOf(personas.write({ name: 'a', text: '---\nextends: b\n---\n', base: 'A.' }))).message).toMatch(
      /goes in a circle/,
    );
  });
});

test('an unknown name is answered with those that there are; a wrong one with what is allowed', async () => {
  expect(await faultOf(personas.resolve(undefined, 'nobody'))).toEqual({
    code: 'PERSONA_UNKNOWN',
    message: 'persona: there is no "nobody"; there is be, dev, fe, qa',
  });
  expect((await faultOf(personas.resolve(undefined, '../dev'))).code).toBe('PERSONA_UNKNOWN');
});
