/** Anthropic Messages: `POST /v1/messages`. */
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

const typed = (block: unknown, type: string): boolean => valueAt(block, 'type') === type;

function turnsOf(message: unknown): readonly Turn[] {
  const { role, content } = objectOf(message);
  const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : listOf(content);
  if (role === 'assistant') {
    const calls = blocks.filter((block) => typed(block, 'tool_use')).length;
    return [{ role: 'assistant', text: contentText(content), calls }];
  }
  const text = contentText(blocks.filter((block) => typed(block, 'text')));
  return [
    ...(blocks.some((block) => typed(block, 'tool_result')) ? [{ role: 'tool', text: '', calls: 0 } as const] : []),
    ...(text ? [{ role: 'user', text, calls: 0 } as const] : []),
  ];
}

type Block = { readonly start: object; readonly whole: object; readonly deltas: readonly object[] };

const textBlock = (text: string): Block => ({
  start: { type: 'text', text: '' },
  whole: { type: 'text', text },
  deltas: pieces(text).map((piece) => ({ type: 'text_delta', text: piece })),
});

const signature = 'c2NyaXB0ZWQ=';

function thinkingBlock(thinking: string): Block {
  return {
    start: { type: 'thinking', thinking: '', signature: '' },
    whole: { type: 'thinking', thinking, signature },
    deltas: [
      ...pieces(thinking).map((piece) => ({ type: 'thinking_delta', thinking: piece })),
      { type: 'signature_delta', signature },
    ],
  };
}

function callBlock(call: Reply['calls'][number]): Block {
  const input = call.kind === 'function' ? call.args : { input: call.input };
  const whole = { type: 'tool_use', id: `toolu_${call.id}`, name: call.name, input };
  const deltas = pieces(JSON.stringify(input)).map((piece) => ({ type: 'input_json_delta', partial_json: piece }));
  return { start: { ...whole, input: {} }, whole, deltas };
}

/** Thoughts are shown only to a client that asked for them; an answer has at least one block. */
function blocksOf(reply: Reply, { body }: AnsweredRequest): readonly Block[] {
  const blocks = [
    ...(reply.think && valueAt(body, 'thinking') ? [thinkingBlock(reply.think)] : []),
    ...(reply.text ? [textBlock(reply.text)] : []),
    ...reply.calls.map(callBlock),
  ];
  return blocks.length > 0 ? blocks : [textBlock('')];
}

const stopReason = (reply: Reply): string => reply.stop ?? (reply.calls.length > 0 ? 'tool_use' : 'end_turn');

const tokens = (output: number) => ({
  input_tokens: usage.input,
  output_tokens: output,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
});

const message = (model: string, content: readonly object[], stop: string | null, output: number) => ({
  id: randomId('msg_'),
  type: 'message',
  role: 'assistant',
  model,
  content,
  stop_reason: stop,
  stop_sequence: null,
  usage: tokens(output),
});

const frame = (data: { readonly type: string }): Frame => ({ event: data.type, data });

function* stream(reply: Reply, request: AnsweredRequest): Iterable<Frame> {
  const start = { type: 'message_start', message: message(request.model, [], null, 1) };
  yield frame(start);
  yield frame({ type: 'ping' });
  if (reply.failure) {
    yield { event: 'error', data: { type: 'error', error: reply.failure }, pauseMs: failurePauseMs };
    return;
  }
  for (const [index, block] of blocksOf(reply, request).entries()) {
    const opened = { type: 'content_block_start', index, content_block: block.start };
    yield frame(opened);
    for (const delta of block.deltas) {
      yield { event: 'content_block_delta', data: { type: 'content_block_delta', index, delta }, spoken: true };
    }
    const closed = { type: 'content_block_stop', index };
    yield frame(closed);
  }
  const delta = { stop_reason: stopReason(reply), stop_sequence: null };
  const ended = { type: 'message_delta', delta, usage: { output_tokens: usage.output } };
  yield frame(ended);
  yield frame({ type: 'message_stop' });
}

export const anthropic: Dialect = {
  api: 'anthropic',
  turns: (body) => listOf(valueAt(body, 'messages')).flatMap(turnsOf),
  tools: (body) =>
    listOf(valueAt(body, 'tools')).map((tool) => ({
      name: textOf(valueAt(tool, 'name')),
      namespace: undefined,
      schema: objectOf(valueAt(tool, 'input_schema')),
      custom: false,
    })),
  wantsJson: (body) => valueAt(body, 'output_config', 'format', 'schema') ?? valueAt(body, 'output_format', 'schema'),
  plain: (reply, request) =>
    message(
      request.model,
      blocksOf(reply, request).map((block) => block.whole),
      stopReason(reply),
      usage.output,
    ),
  stream,
  error: ({ type, message: text }, requestId) => ({
    type: 'error',
    error: { type, message: text },
    request_id: requestId,
  }),
};
