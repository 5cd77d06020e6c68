/**
 * Abstract actions (read, edit, write, shell) become calls of the tools that the CLI declared in its request: Claude's Bash, Codex's
 * exec_command, apply_patch or code mode, Gemini's and Qwen's run_shell_command, opencode's bash, and so on. The tool is known by its
 * name, its parameters by its schema. Paths are made absolute where the CLI has told its working folder, because most tools want that.
 *
 * Order: types, the four translations, `callsOf`, filling in what a schema requires, the working folder.
 */
import { statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { type Api, randomId } from './dialect.ts';
import { type JsonObject, listOf, objectOf, textOf, valueAt } from './json.ts';
import type { Step } from './step.ts';

export interface Tool {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly schema: JsonObject;
  /** Takes free text, not an object (Codex). */
  readonly custom: boolean;
}

export type ToolCall = { readonly id: string; readonly name: string; readonly namespace: string | undefined } & (
  | { readonly kind: 'function'; readonly args: JsonObject }
  | { readonly kind: 'custom'; readonly input: string }
);

const names = {
  shell: [
    'Bash',
    'bash',
    'exec_command',
    'shell_command',
    'shell',
    'local_shell',
    'run_shell_command',
    'exec',
    'execute',
  ],
  write: ['Write', 'write', 'write_file', 'apply_patch', 'create_file'],
  edit: ['Edit', 'edit', 'replace', 'str_replace', 'edit_file', 'apply_patch'],
  read: ['Read', 'read', 'read_file', 'view'],
} as const;

const parameters = {
  path: ['file_path', 'filePath', 'path', 'absolute_path'],
  find: ['old_string', 'oldString', 'old_str', 'find'],
  replace: ['new_string', 'newString', 'new_str', 'replace'],
} as const;

const approval = {
  sandbox_permissions: 'require_escalated',
  justification: 'May I run the scripted command outside the sandbox?',
} as const;

interface Place {
  readonly tools: readonly Tool[];
  readonly folder: string | undefined;
  readonly escalate: boolean;
}

const pick = (tools: readonly Tool[], wanted: readonly string[]): Tool | undefined =>
  wanted.map((name) => tools.find((tool) => tool.name === name)).find((tool) => tool !== undefined);

const asFunction = (tool: Tool, args: JsonObject): ToolCall => ({
  id: randomId(''),
  name: tool.name,
  namespace: tool.namespace,
  kind: 'function',
  args: withRequired(tool.schema, args),
});
const asCustom = (tool: Tool, input: string): ToolCall => ({
  id: randomId(''),
  name: tool.name,
  namespace: tool.namespace,
  kind: 'custom',
  input,
});

/** A tool that the CLI did not declare: called all the same, so that the CLI's own refusal can be seen. */
const undeclared = (name: string): Tool => ({ name, namespace: undefined, schema: {}, custom: false });

const absolute = (path: string, { folder }: Place): string =>
  isAbsolute(path) || folder === undefined ? path : join(folder, path);

const parameter = (tool: Tool, candidates: readonly string[]): string => {
  const properties = objectOf(tool.schema.properties);
  return candidates.find((name) => name in properties) ?? candidates[0] ?? 'path';
};

function shellCall(command: string, place: Place): ToolCall {
  const tool = pick(place.tools, names.shell);
  if (!tool) return asFunction(undeclared('Bash'), { command });
  if (tool.custom) {
    const request = JSON.stringify({ cmd: command, ...(place.escalate ? approval : {}) });
    return asCustom(tool, `const r = await tools.exec_command(${request}); text(r.output ?? JSON.stringify(r));`);
  }
  const properties = objectOf(tool.schema.properties);
  const key = 'cmd' in properties ? 'cmd' : 'command';
  const isList = valueAt(properties, key, 'type') === 'array';
  return asFunction(tool, {
    [key]: isList ? ['bash', '-lc', command] : command,
    ...('description' in properties ? { description: 'Run the scripted command' } : {}),
    ...(place.escalate && 'sandbox_permissions' in properties ? approval : {}),
  });
}

/** A patch in Codex's form: by its own tool, through code mode, or undefined where neither is there. */
function patchCall(tool: Tool | undefined, patch: string, { tools }: Place): ToolCall | undefined {
  if (tool?.name === 'apply_patch') return tool.custom ? asCustom(tool, patch) : asFunction(tool, { input: patch });
  const codeMode = tools.find((each) => each.name === 'exec' && each.custom);
  if (tool || !codeMode) return undefined;
  return asCustom(codeMode, `const r = await tools.apply_patch(${JSON.stringify(patch)}); text(JSON.stringify(r));`);
}

const prefixed = (mark: string, text: string): string =>
  text
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => mark + line)
    .join('\n');

function writeCall(file: { path: string; content: string }, place: Place): ToolCall {
  const tool = pick(place.tools, names.write);
  const patch = `*** Begin Patch\n*** Add File: ${file.path}\n${prefixed('+', file.content)}\n*** End Patch\n`;
  const patched = patchCall(tool, patch, place);
  if (patched) return patched;
  if (!tool) return shellCall(writeCommand(file), place);
  return asFunction(tool, { [parameter(tool, parameters.path)]: absolute(file.path, place), content: file.content });
}

function editCall(edit: { path: string; find: string; replace: string }, place: Place): ToolCall {
  const tool = pick(place.tools, names.edit);
  const change = `${prefixed('-', edit.find)}\n${prefixed('+', edit.replace)}`;
  const patch = `*** Begin Patch\n*** Update File: ${edit.path}\n@@\n${change}\n*** End Patch\n`;
  const patched = patchCall(tool, patch, place);
  if (patched) return patched;
  if (!tool) return shellCall(editCommand(edit), place);
  return asFunction(tool, {
    [parameter(tool, parameters.path)]: absolute(edit.path, place),
    [parameter(tool, parameters.find)]: edit.find,
    [parameter(tool, parameters.replace)]: edit.replace,
  });
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
const writeCommand = ({ path, content }: { path: string; content: string }): string =>
  `mkdir -p ${quoted(dirname(path))} && printf %s ${quoted(content)} > ${quoted(path)}`;
const editCommand = (edit: { path: string; find: string; replace: string }): string =>
  `node -e 'const [f, a, b] = process.argv.slice(1); const fs = require("fs"); fs.writeFileSync(f, fs.readFileSync(f, "utf8").replace(a, () => b))' ${quoted(edit.path)} ${quoted(edit.find)} ${quoted(edit.replace)}`;

function readCall(path: string, place: Place): ToolCall {
  const tool = pick(place.tools, names.read);
  if (tool) return asFunction(tool, { [parameter(tool, parameters.path)]: absolute(path, place) });
  if (pick(place.tools, names.shell)) return shellCall(`cat ${quoted(path)}`, place);
  return asFunction(undeclared('Read'), { file_path: absolute(path, place) });
}

const many = <T>(value: T | readonly T[] | undefined): readonly T[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value as T];

/** The calls of one step, in the order read, edit, write, shell, tool. */
export function callsOf(step: Step, tools: readonly Tool[], folder: string | undefined): readonly ToolCall[] {
  const place: Place = { tools, folder, escalate: step.escalate ?? false };
  return [
    ...many(step.read).map((path) => readCall(path, place)),
    ...many(step.edit).map((edit) => editCall(edit, place)),
    ...many(step.write).map((file) => writeCall(file, place)),
    ...many(step.shell).map((command) => shellCall(command, place)),
    ...many(step.tool).map(({ name, args, input }): ToolCall => {
      const tool = { ...(pick(tools, [name]) ?? undeclared(name)), schema: {} };
      return input === undefined ? asFunction(tool, args ?? {}) : asCustom(tool, input);
    }),
  ];
}

/** Adds required keys that the script does not know about. */
function withRequired(schema: JsonObject, args: JsonObject): JsonObject {
  const missing = listOf(schema.required).filter((key): key is string => typeof key === 'string' && !(key in args));
  return { ...args, ...Object.fromEntries(missing.map((key) => [key, exampleOf(valueAt(schema.properties, key))])) };
}

/** The smallest value that a JSON schema accepts, near enough for the forms that the CLIs ask for. */
export function exampleOf(schema: unknown): unknown {
  const of = objectOf(schema);
  if ('const' in of) return of.const;
  if (Array.isArray(of.enum)) return of.enum[0];
  const choice = listOf(of.anyOf)[0] ?? listOf(of.oneOf)[0];
  if (choice !== undefined) return exampleOf(choice);
  const declared = textOf(Array.isArray(of.type) ? of.type[0] : of.type).toLowerCase();
  switch (declared || ('properties' in of ? 'object' : 'string')) {
    case 'object':
      return Object.fromEntries(Object.entries(objectOf(of.properties)).map(([key, value]) => [key, exampleOf(value)]));
    case 'array':
      return of.minItems ? [exampleOf(of.items)] : [];
    case 'boolean':
      return false;
    case 'number':
    case 'integer':
      return of.minimum ?? 1;
    default:
      return 'scripted';
  }
}

/** How far into a conversation the working folder is looked for; the CLIs tell it at the beginning. */
const folderSearchMax = 200_000;
/** Words after which the CLIs name their folder, the surest first; the loose ones also precede settings folders and examples. */
const folderHints = [
  /(?:working directory|<cwd>|\bcwd\b|working in the directory)[^/]{0,60}?(\/[^\s"'<>\\`,)]+)/gi,
  /(?:<root>|workspace director(?:y|ies)|directory)[^/]{0,60}?(\/[^\s"'<>\\`,)]+)/gi,
];

/** The working folder, as the CLI tells it to its model in words: the first path after such words that is a folder here. */
export function workingFolder(api: Api, body: unknown): string | undefined {
  const { system, instructions, systemInstruction, messages, input, contents } = objectOf(body);
  const said = [system, instructions, systemInstruction].map((part) => JSON.stringify(part ?? '')).join('');
  const talk = { anthropic: messages, chat: messages, responses: input, gemini: contents }[api];
  const text = said + JSON.stringify(talk ?? '').slice(0, folderSearchMax);
  return folderHints
    .flatMap((hint) => [...text.matchAll(hint)].map(([, path = '']) => path.replace(/[.]$/, '')))
    .find((path) => path.length > 4 && isFolder(path));
}

function isFolder(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch {
    return false; // a path we may not look at, or no path at all: it was an example
  }
}
