import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Step } from './step.ts';
import { callsOf, exampleOf, type Tool, workingFolder } from './tools.ts';

const tool = (name: string, properties: object, required: string[] = []): Tool => ({
  name,
  namespace: undefined,
  schema: { properties, required },
  custom: false,
});
const freeForm = (name: string): Tool => ({ name, namespace: undefined, schema: {}, custom: true });
const text = { type: 'string' };

const claude = [
  tool('Bash', { command: text, description: text }),
  tool('Write', { file_path: text, content: text }),
  tool('Edit', { file_path: text, old_string: text, new_string: text }),
  tool('Read', { file_path: text }),
];
const qwen = [
  tool('run_shell_command', { command: text, is_background: { type: 'boolean' } }, ['command', 'is_background']),
  tool('edit', { file_path: text, old_string: text, new_string: text }),
];

const said = (step: Step, tools: readonly Tool[]) =>
  callsOf(step, tools, '/repo').map((call) => [call.name, call.kind === 'function' ? call.args : call.input]);

const everything: Step = {
  read: 'a.js',
  edit: { path: 'a.js', find: 'old();\n', replace: 'new();\n' },
  write: { path: '/tmp/b.js', content: 'b' },
  shell: ['npm test', 'ls'],
};

test('a step becomes calls of the tools that the CLI declared, with absolute paths and everything required', () => {
  expect(said(everything, claude)).toEqual([
    ['Read', { file_path: '/repo/a.js' }],
    ['Edit', { file_path: '/repo/a.js', old_string: 'old();\n', new_string: 'new();\n' }],
    ['Write', { file_path: '/tmp/b.js', content: 'b' }],
    ['Bash', { command: 'npm test', description: 'Run the scripted command' }],
    ['Bash', { command: 'ls', description: 'Run the scripted command' }],
  ]);
  expect(said({ shell: 'ls' }, qwen)).toEqual([['run_shell_command', { command: 'ls', is_background: false }]]);
});

test('Codex gets patches: by its own tool, or through code mode', () => {
  const patch = '*** Begin Patch\n*** Update File: a.js\n@@\n-old();\n+new();\n*** End Patch\n';
  const edit = { edit: { path: 'a.js', find: 'old();\n', replace: 'new();\n' } };
  expect(said(edit, [freeForm('apply_patch')])).toEqual([['apply_patch', patch]]);
  expect(said(edit, [freeForm('exec')])).toEqual([
    ['exec', `const r = await tools.apply_patch(${JSON.stringify(patch)}); text(JSON.stringify(r));`],
  ]);
});

test('where there is only a shell, files are written, edited and read by commands', () => {
  const names = said(everything, [tool('exec_command', { cmd: text })]).map(([name]) => name);
  expect(names).toEqual(['exec_command', 'exec_command', 'exec_command', 'exec_command', 'exec_command']);
});

test('the working folder is the one that the CLI names as such, if it exists here', () => {
  const folder = mkdtempSync(join(tmpdir(), 'model-tools-'));
  try {
    const said = `Settings directory: ${tmpdir()}. I'm currently working in the directory: ${folder}\nand so on`;
    expect(workingFolder('chat', { messages: [{ role: 'user', content: said }] })).toBe(folder);
    expect(workingFolder('chat', { messages: [{ content: 'working directory: /no/such/folder' }] })).toBe(undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('an example has the form that a schema asks for', () => {
  const schema = {
    type: 'object',
    properties: {
      verdict: { enum: ['yes', 'no'] },
      reasons: { type: 'array', minItems: 1, items: { type: 'integer' } },
    },
  };
  expect(exampleOf(schema)).toEqual({ verdict: 'yes', reasons: [1] });
});
