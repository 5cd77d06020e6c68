import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { contentText, listOf, textOf, valueAt } from './model/json.ts';
import { type ModelServer, openModelServer, readConversations } from './model-server.ts';

let folder: string;
let server: ModelServer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'model-server-'));
  server = await openModelServer({
    log: join(folder, 'log.jsonl'),
    conversations: [{ when: 'count the files', steps: [{ text: 'I count.', shell: 'ls' }, { text: 'Seven.' }] }],
  });
});

afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const post = (path: string, body: object, headers: Record<string, string> = {}) =>
  fetch(server.url + path, { method: 'POST', body: JSON.stringify(body), headers });

const events = async (response: Response): Promise<unknown[]> =>
  (await response.text())
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice('data: '.length)));

const bash = { description: 'runs', type: 'object', properties: { command: { type: 'string' } } };
const chatTools = [{ type: 'function', function: { name: 'run_shell_command', parameters: bash } }];
const chatBody = (prompt: string, more: object = {}) => ({
  model: 'm',
  messages: [{ role: 'user', content: prompt }],
  tools: chatTools,
  ...more,
});
const geminiBody = (prompt: string) => ({
  contents: [{ role: 'user', parts: [{ text: prompt }] }],
  tools: [{ functionDeclarations: [{ name: 'run_shell_command', parametersJsonSchema: bash }] }],
});

const first = (value: unknown): unknown => listOf(value)[0];

test('Chat Completions: words and calls are streamed, and stand in one message without a stream', async () => {
  const chunks = await events(await post('/v1/chat/completions', chatBody('count the files', { stream: true })));
  const deltas = chunks.map((chunk) => valueAt(first(valueAt(chunk, 'choices')), 'delta'));
  expect(deltas.map((delta) => textOf(valueAt(delta, 'content'))).join('')).toBe('I count.');
  const calls = deltas.flatMap((delta) => listOf(valueAt(delta, 'tool_calls')));
  expect(calls.map((call) => valueAt(call, 'function'))).toEqual([
    { name: 'run_shell_command', arguments: '{"command":"ls"}' },
  ]);
  const plain: unknown = await (await post('/v1/chat/completions', chatBody('count the files'))).json();
  const choice = first(valueAt(plain, 'choices'));
  expect([valueAt(choice, 'message', 'content'), valueAt(choice, 'finish_reason')]).toEqual(['I count.', 'tool_calls']);
});

test('Anthropic Messages: blocks open, grow and close, and the stop reason names the tool', async () => {
  const response = await post('/v1/messages', {
    model: 'm',
    stream: true,
    messages: [{ role: 'user', content: 'count the files' }],
    tools: [{ name: 'Bash', input_schema: bash }],
  });
  const all = await events(response);
  const deltas = all.map((event) => valueAt(event, 'delta'));
  expect(deltas.map((delta) => textOf(valueAt(delta, 'text'))).join('')).toBe('I count.');
  expect(deltas.map((delta) => textOf(valueAt(delta, 'partial_json'))).join('')).toBe('{"command":"ls"}');
  expect(all.map((event) => valueAt(event, 'type')).filter((type) => type !== 'content_block_delta')).toEqual([
    'message_start',
    'ping',
    'content_block_start',
    'content_block_stop',
    'content_block_start',
    'content_block_stop',
    'message_delta',
    'message_stop',
  ]);
});

test('Responses: a tool result brings the next step, and events are numbered without gaps', async () => {
  const response = await post('/v1/responses', {
    model: 'm',
    stream: true,
    input: [
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'count the files' }] },
      { type: 'function_call', name: 'exec_command' },
      { type: 'function_call_output' },
    ],
    tools: [{ type: 'function', name: 'exec_command', parameters: {} }],
  });
  const all = await events(response);
  const output = listOf(valueAt(all.at(-1), 'response', 'output'));
  expect(output.map((item) => contentText(valueAt(item, 'content')))).toEqual(['Seven.']);
  expect(all.map((event) => valueAt(event, 'sequence_number'))).toEqual(all.map((_, index) => index));
});

test('Gemini: the model stands in the path, and errors have its own form', async () => {
  const path = '/v1beta/models/some-model:streamGenerateContent?alt=sse&key=SECRET';
  const chunks = await events(await post(path, geminiBody('count the files')));
  const parts = chunks.flatMap((chunk) => listOf(valueAt(first(valueAt(chunk, 'candidates')), 'content', 'parts')));
  expect(parts.map((part) => textOf(valueAt(part, 'text'))).join('')).toBe('I count.');
  expect(parts.map((part) => valueAt(part, 'functionCall', 'args')).filter(Boolean)).toEqual([{ command: 'ls' }]);
  const refused = await post('/v1beta/models/some-model:generateContent', geminiBody('SCRIPT:e429'));
  expect(await refused.json()).toEqual({
    error: {
      code: 429,
      message: 'scripted rate limit reached',
      status: 'RESOURCE_EXHAUSTED',
      details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '2s' }],
    },
  });
});

test('an error comes as often as the script says, per prompt, and tells when to try again', async () => {
  const ask = async (words: string) => {
    const response = await post('/v1/chat/completions', chatBody(`SCRIPT:e429once ${words}`));
    await response.arrayBuffer();
    return [response.status, response.headers.get('retry-after')];
  };
  expect([await ask('a'), await ask('a'), await ask('b')]).toEqual([
    [429, '3'],
    [200, null],
    [429, '3'],
  ]);
  expect(server.entries.map(({ attempt }) => attempt)).toEqual([1, undefined, 1]);
});

test('a cut stream breaks off after it has begun; a plain request meets the same failure', async () => {
  const response = await post('/v1/chat/completions', chatBody('SCRIPT:cut', { stream: true }));
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow();
  await expect(post('/v1/chat/completions', chatBody('SCRIPT:cut'))).rejects.toThrow();
});

test('a hanging answer holds the connection until the server closes', async () => {
  const answer = post('/v1/chat/completions', chatBody('SCRIPT:hang')).then(
    () => 'answered',
    () => 'broken off',
  );
  await expect.poll(() => server.entries[0]?.script).toBe('hang');
  await server.close();
  expect(await answer).toBe('broken off');
});

test('a request without tools, or for JSON, is a side request and uses up no step', async () => {
  const titled = await post('/v1/chat/completions', { ...chatBody('count the files'), tools: [] });
  expect(valueAt(first(valueAt(await titled.json(), 'choices')), 'message', 'content')).toBe('Scripted title');
  const schema = { type: 'object', properties: { speaker: { enum: ['user', 'model'] } } };
  const format = { type: 'json_schema', json_schema: { schema } };
  const json = await post('/v1/chat/completions', chatBody('count the files', { response_format: format }));
  expect(valueAt(first(valueAt(await json.json(), 'choices')), 'message', 'content')).toBe('{"speaker":"user"}');
  expect(server.entries.map(({ script }) => script)).toEqual(['aux', 'aux']);
});

test('keys are hidden in the log, trace context is kept', async () => {
  const headers = { authorization: 'Bearer SECRET', 'x-api-key': 'SECRET', traceparent: '00-trace' };
  await (await post('/v1/chat/completions?key=SECRET', chatBody('count the files'), headers)).arrayBuffer();
  await expect.poll(() => server.entries[0]?.tEnd).toBeGreaterThan(0);
  const log = readFileSync(join(folder, 'log.jsonl'), 'utf8');
  expect(log).not.toContain('SECRET');
  expect(server.entries[0]?.headers.traceparent).toBe('00-trace');
  expect(log.trim().split('\n').length).toBe(2);
});

test('a conversations file with a mistake is refused with its path and field', () => {
  const file = join(folder, 'conversations.yaml');
  writeFileSync(file, 'conversations:\n  - when: fix it\n    steps:\n      - says: hello\n');
  expect(() => readConversations(file)).toThrow(/conversations\.yaml.*says/s);
  writeFileSync(file, 'conversations:\n  - when: fix it\n    steps:\n      - text: hello\n');
  expect(readConversations(file)).toEqual([{ when: 'fix it', steps: [{ text: 'hello' }] }]);
});
