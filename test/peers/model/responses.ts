/** OpenAI Responses: `POST /v1/responses`, as Codex speaks it, with its namespaces and free-form tools. */
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
import { contentText, type JsonObject, listOf, objectOf, textOf, valueAt } from './json.ts';
import type { Tool, ToolCall } from './tools.ts';

const roles: Readonly<Record<string, Turn['role']>> = { user: 'user', assistant: 'assistant' };

/** Calls that follow each other belong to one answer of the model. */
function turnsOf(body: unknown): readonly Turn[] {
  const input = valueAt(body, 'input');
  if (typeof input === 'string') return [{ role: 'user', text: input, calls: 0 }];
  const turns: Turn[] = [];
  let inCalls = false;
  for (const item of listOf(input)) {
    const { type, role, content } = objectOf(item);
    const kind = textOf(type) || (role ? 'message' : '');
    if (kind === 'message') turns.push({ role: roles[textOf(role)] ?? 'system', text: contentText(content), calls: 0 });
    else if (kind.endsWith('_call') && !inCalls) turns.push({ role: 'assistant', text: '', calls: 1 });
    else if (kind.endsWith('_call_output')) turns.push({ role: 'tool', text: '', calls: 0 });
    if (kind !== 'reasoning') inCalls = kind.endsWith('_call');
  }
  return turns;
}

/** Newer versions of Codex send their tools as an input item, in namespaces. */
function toolsOf(body: unknown): readonly Tool[] {
  const added = listOf(valueAt(body, 'input')).filter((item) => valueAt(item, 'type') === 'additional_tools');
  const all = [...listOf(valueAt(body, 'tools')), ...added.flatMap((item) => listOf(valueAt(item, 'tools')))];
  return all.flatMap((tool) =>
    valueAt(tool, 'type') === 'namespace'
      ? listOf(valueAt(tool, 'tools')).map((inner) => toolOf(inner, textOf(valueAt(tool, 'name'))))
      : [toolOf(tool, undefined)],
  );
}

const toolOf = (tool: unknown, namespace: string | undefined): Tool => ({
  name: textOf(valueAt(tool, 'name')),
  namespace,
  schema: objectOf(valueAt(tool, 'parameters')),
  custom: valueAt(tool, 'type') === 'custom',
});

function callItem(call: ToolCall): JsonObject {
  const common = { call_id: `call_${call.id}`, name: call.name, status: 'completed' };
  const { namespace } = call;
  if (call.kind === 'custom') {
    const outer = namespace && namespace !== 'functions' ? { namespace } : {};
    return { type: 'custom_tool_call', id: randomId('ctc_'), ...common, ...outer, input: call.input };
  }
  const outer = namespace ? { namespace } : {};
  return { type: 'function_call', id: randomId('fc_'), ...common, ...outer, arguments: JSON.stringify(call.args) };
}

const textPart = (text: string) => ({ type: 'output_text', text, annotations: [] });

const messageItem = (text: string): JsonObject => ({
  type: 'message',
  id: randomId('msg_'),
  role: 'assistant',
  status: 'completed',
  content: [textPart(text)],
});

const reasoningItem = (text: string): JsonObject => ({
  type: 'reasoning',
  id: randomId('rs_'),
  summary: [{ type: 'summary_text', text }],
  encrypted_content: null,
});

const itemsOf = (reply: Reply): readonly JsonObject[] => [
  ...(reply.think ? [reasoningItem(reply.think)] : []),
  ...(reply.text ? [messageItem(reply.text)] : []),
  ...reply.calls.map(callItem),
];

const tokens = {
  input_tokens: usage.input,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: usage.output,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: usage.input + usage.output,
};

const head = (model: string) => ({
  id: randomId('resp_'),
  object: 'response',
  created_at: Math.floor(Date.now() / 1000),
  model,
  output: [],
  status: 'in_progress',
});

/** The events between an item's `added` and its `done`, and the unfinished form in which it is added. */
function growth(item: JsonObject, place: object): { readonly added: object; readonly frames: readonly Frame[] } {
  const at = { item_id: item.id, ...place };
  const frame = (type: string, more: object, spoken = false): Frame => ({
    event: type,
    data: { type, ...more },
    spoken,
  });
  switch (item.type) {
    case 'message': {
      const inPart = { ...at, content_index: 0 };
      const text = contentText(item.content);
      return {
        added: { ...item, status: 'in_progress', content: [] },
        frames: [
          frame('response.content_part.added', { ...inPart, part: textPart('') }),
          ...pieces(text).map((delta) => frame('response.output_text.delta', { ...inPart, delta }, true)),
          frame('response.output_text.done', { ...inPart, text }),
          frame('response.content_part.done', { ...inPart, part: textPart(text) }),
        ],
      };
    }
    case 'reasoning':
      return {
        added: { ...item, summary: [] },
        frames: pieces(contentText(item.summary)).map((delta) =>
          frame('response.reasoning_summary_text.delta', { ...at, summary_index: 0, delta }, true),
        ),
      };
    case 'function_call':
      return {
        added: { ...item, arguments: '', status: 'in_progress' },
        frames: [
          frame('response.function_call_arguments.delta', { ...at, delta: item.arguments }),
          frame('response.function_call_arguments.done', { ...at, arguments: item.arguments }),
        ],
      };
    default:
      return { added: { ...item, input: '', status: 'in_progress' }, frames: [] };
  }
}

function* events(reply: Reply, model: string): Iterable<Frame> {
  const response = head(model);
  const frame = (type: string, more: object): Frame => ({ event: type, data: { type, ...more } });
  yield frame('response.created', { response });
  if (reply.failure) {
    const { type, message } = reply.failure;
    const error = { code: type === 'overloaded_error' ? 'server_is_overloaded' : type, message };
    yield {
      ...frame('response.failed', { response: { ...response, status: 'failed', error } }),
      pauseMs: failurePauseMs,
    };
    return;
  }
  const items = itemsOf(reply);
  for (const [index, item] of items.entries()) {
    const { added, frames } = growth(item, { output_index: index });
    yield frame('response.output_item.added', { output_index: index, item: added });
    yield* frames;
    yield frame('response.output_item.done', { output_index: index, item });
  }
  yield frame('response.completed', { response: { ...response, status: 'completed', output: items, usage: tokens } });
}

function* stream(reply: Reply, { model }: AnsweredRequest): Iterable<Frame> {
  let number = 0;
  for (const each of events(reply, model)) {
    yield { ...each, data: { ...objectOf(each.data), sequence_number: number++ } };
  }
}

export const responses: Dialect = {
  api: 'responses',
  turns: turnsOf,
  tools: toolsOf,
  wantsJson: (body) => valueAt(body, 'text', 'format', 'schema'),
  plain: (reply, { model }) => ({ ...head(model), status: 'completed', output: itemsOf(reply), usage: tokens }),
  stream,
  error: ({ type, message, code }) => ({ error: { message, type, param: null, code: code ?? type } }),
};
