/** OpenAI Chat Completions: `POST /v1/chat/completions`. Also what Qwen Code and most local model servers speak. */
import {
  type AnsweredRequest,
  type Dialect,
  type Frame,
  failurePauseMs,
  pieces,
  type Reply,
  randomId,
  type Turn,
  usage,
} from './dialect.ts';
import { contentText, listOf, objectOf, textOf, valueAt } from './json.ts';

const roles: Readonly<Record<string, Turn['role']>> = { user: 'user', assistant: 'assistant', tool: 'tool' };

const tokens = {
  prompt_tokens: usage.input,
  completion_tokens: usage.output,
  total_tokens: usage.input + usage.output,
};

const toolCalls = (reply: Reply): readonly object[] =>
  reply.calls.map((call, index) => ({
    index,
    id: `call_${call.id}`,
    type: 'function',
    function: {
      name: call.name,
      arguments: JSON.stringify(call.kind === 'function' ? call.args : { input: call.input }),
    },
  }));

const finishReason = (reply: Reply): string => reply.stop ?? (reply.calls.length > 0 ? 'tool_calls' : 'stop');

const head = (model: string, object: string) => ({
  id: randomId('chatcmpl-'),
  object,
  created: Math.floor(Date.now() / 1000),
  model,
});

function* stream(reply: Reply, { model }: AnsweredRequest): Iterable<Frame> {
  const base = head(model, 'chat.completion.chunk');
  const chunk = (delta: object, finish: string | null = null): Frame => ({
    data: { ...base, choices: [{ index: 0, delta, finish_reason: finish }] },
  });
  yield chunk({ role: 'assistant', content: '' });
  if (reply.failure) {
    yield { data: { error: reply.failure }, pauseMs: failurePauseMs };
    return;
  }
  for (const piece of pieces(reply.think ?? '')) yield { ...chunk({ reasoning_content: piece }), spoken: true };
  for (const piece of pieces(reply.text)) yield { ...chunk({ content: piece }), spoken: true };
  for (const call of toolCalls(reply)) yield chunk({ tool_calls: [call] });
  yield chunk({}, finishReason(reply));
  yield { data: { ...base, choices: [], usage: tokens } };
  yield { data: '[DONE]' };
}

function plain(reply: Reply, { model }: AnsweredRequest): unknown {
  const calls = toolCalls(reply);
  const message = { role: 'assistant', content: reply.text, ...(calls.length > 0 ? { tool_calls: calls } : {}) };
  return {
    ...head(model, 'chat.completion'),
    choices: [{ index: 0, message, finish_reason: finishReason(reply) }],
    usage: tokens,
  };
}

export const chat: Dialect = {
  api: 'chat',
  turns: (body) =>
    listOf(valueAt(body, 'messages')).map((message) => ({
      role: roles[textOf(valueAt(message, 'role'))] ?? 'system',
      text: contentText(valueAt(message, 'content')),
      calls: listOf(valueAt(message, 'tool_calls')).length,
    })),
  tools: (body) =>
    listOf(valueAt(body, 'tools')).map((tool) => ({
      name: textOf(valueAt(tool, 'function', 'name')),
      namespace: undefined,
      schema: objectOf(valueAt(tool, 'function', 'parameters')),
      custom: false,
    })),
  wantsJson: (body) =>
    valueAt(body, 'response_format', 'json_schema', 'schema') ??
    (valueAt(body, 'response_format', 'type') === 'json_object' ? true : undefined),
  plain,
  stream,
  error: ({ type, message, code }) => ({ error: { message, type, param: null, code: code ?? type } }),
};
