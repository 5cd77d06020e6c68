import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { evidenceSchema, evidenceSources } from '../protocol/state.ts';
import type { LaunchPlan } from './agent.ts';
import { agentEnvironment, agents, findAgent } from './index.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-agents-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const plan = (extra: Partial<LaunchPlan> = {}): LaunchPlan => ({
  found: { file: '/bin/agent', args: ['--first'], version: '1.0.0' },
  dir: join(dir, 'session'),
  cwd: join(dir, 'work "tree"'),
  env: { HOME: join(dir, 'home'), PATH: '/bin' },
  permissions: 'ask',
  model: 'some-model',
  resumeId: undefined,
  extraArgs: ['--last'],
  ...extra,
});

describe.each([...agents.values()].map((agent) => [agent.id, agent] as const))('%s', (_, agent) => {
  test('prepares a start without writing anything but in its own folder', async () => {
    const launch = await agent.prepare(plan());
    expect(await readdir(dir)).toEqual((await readdir(dir)).filter((name) => name === 'session'));
    expect({ file: launch.file, first: launch.args[0], last: launch.args.at(-1) }).toEqual({
      file: '/bin/agent',
      first: '--first',
      last: '--last',
    });
  });

  test('names the conversation that is to go on', async () => {
    const launch = await agent.prepare(plan({ resumeId: 'conversation-1' }));
    expect(launch.resumeId).toBe('conversation-1');
    expect(launch.args).toContain('conversation-1');
  });

  test('asks less with each permission mode', async ({ skip }) => {
    skip(agent.keys.allow === undefined, `${agent.id} asks for no permission that we could answer`);
    const modes = await Promise.all(
      (['ask', 'edits', 'all'] as const).map(async (permissions) => {
        const { args, env } = await agent.prepare(plan({ permissions, dir: join(dir, permissions), resumeId: 'r' }));
        const files = await readdir(join(dir, permissions)).catch(() => []);
        const settings = await Promise.all(
          files.filter((name) => name.endsWith('.json')).map((name) => readFile(join(dir, permissions, name), 'utf8')),
        );
        return [...args, ...settings, JSON.stringify(env)].join(' ').replaceAll(join(dir, permissions), '');
      }),
    );
    expect(new Set(modes).size).toBe(3);
  });

  test('whatever a source shows, the adapter does not throw and its evidence is well-formed', () => {
    const events = ['PreToolUse', 'PermissionRequest', 'PostToolUse', 'Stop', 'StopFailure', 'UserPromptSubmit'];
    const payload = fc.oneof(
      fc.anything(),
      fc.string(),
      fc.record({
        hook_event_name: fc.constantFrom(...events),
        tool_name: fc.anything(),
        tool_use_id: fc.anything(),
        tool_input: fc.anything(),
        error: fc.anything(),
        last_assistant_message: fc.anything(),
      }),
      fc.record({
        type: fc.constantFrom('event_msg', 'response_item', 'user'),
        payload: fc.anything(),
        message: fc.anything(),
      }),
      fc.record({ rows: fc.array(fc.string()), cursor: fc.constant({ x: 0, y: 0 }), alternate: fc.boolean() }),
      fc.record({ status: fc.anything(), waitingFor: fc.anything() }),
      fc.string().map((text) => `state=blocked:kind=permission:msg=${text}`),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...evidenceSources), payload), { maxLength: 10 }),
        (observations) => {
          let memory = agent.memory();
          for (const [index, [source, each]] of observations.entries()) {
            const read = agent.interpret(memory, { source, payload: each, at: index });
            memory = JSON.parse(JSON.stringify(read.memory)) as typeof memory;
            for (const evidence of read.evidence) evidenceSchema.parse(evidence);
          }
        },
      ),
    );
  });

  test('text of the conversation that quotes dialogs and footers is not taken for them', () => {
    const quoted = [
      '● The log says: API Error: 529 overloaded_error',
      'Do you want to proceed? 1. Yes 2. No',
      '  esc to interrupt',
      ' Esc to cancel · Tab to amend',
      'Allow execution of: rm?',
      'Press enter to confirm or esc to cancel',
    ];
    const rows = [...quoted, ...Array.from({ length: 12 }, () => ''), ...quoted, 'The end of the text.'];
    const { evidence } = agent.interpret(agent.memory(), {
      source: 'screen',
      payload: { rows, cursor: { x: 0, y: 0 }, alternate: false },
      at: 1,
    });
    expect(evidence.map((each) => each.state ?? 'none')).toEqual(['none']);
  });
});

test('a program is found on the path and asked for its version without a shell', async () => {
  await writeFile(join(dir, 'claude'), '#!/bin/sh\necho "2.1.300 (Claude Code)"\n', { mode: 0o755 });
  const claude = agents.get('claude');
  const found = claude && (await findAgent(claude, { path: `/nowhere:${dir}`, env: {} }));
  expect({ name: found?.file.split('/').at(-1), version: found?.version }).toEqual({
    name: 'claude',
    version: '2.1.300',
  });
  expect(claude && (await findAgent(claude, { path: '/nowhere', env: {} }))).toBeUndefined();
});

test('an agent sees the common variables and its own, and nothing else of ours', () => {
  const claude = agents.get('claude');
  const env = {
    PATH: '/bin',
    LC_ALL: 'C',
    ANTHROPIC_BASE_URL: 'http://x',
    OPENAI_API_KEY: 'k',
    MUSTER_HOME: '/m',
    CLAUDECODE: '1',
    CLAUDE_CODE_SSE_PORT: '1',
  };
  expect(claude && agentEnvironment(claude, env)).toEqual({
    PATH: '/bin',
    LC_ALL: 'C',
    ANTHROPIC_BASE_URL: 'http://x',
  });
});
