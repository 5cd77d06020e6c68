/** Gemini: `POST .../models/<model>:generateContent` and `:streamGenerateContent`. */
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
import { listOf, objectOf, textOf, valueAt } from './json.ts';

function turnsOf(content: unknown): readonly Turn[] {
  const parts = listOf(valueAt(content, 'parts'));
  const texts = parts.map((part) => textOf(valueAt(part, 'text')));
  const has = (key: string) => parts.filter((part) => valueAt(part, key) !== undefined).length;
  if (valueAt(content, 'role') === 'model')
    return [{ role: 'assistant', text: texts.join(''), calls: has('functionCall') }];
  const text = texts.join('\n');
  return [
    ...(has('functionResponse') > 0 ? [{ role: 'tool', text: '', calls: 0 } as const] : []),
    ...(text.trim() ? [{ role: 'user', text, calls: 0 } as const] : []),
  ];
}

const thoughtSignature = 'c2NyaXB0ZWQ=';

const callParts = (reply: Reply): readonly object[] =>
  reply.calls.map(({ id, name, ...call }) => ({
    functionCall: { id, name, args: call.kind === 'function' ? call.args : { input: call.input } },
    thoughtSignature,
  }));

const usageMetadata = {
  promptTokenCount: usage.input,
  candidatesTokenCount: usage.output,
  totalTokenCount: usage.input + usage.output,
};

const answer = (model: string, responseId: string, parts: readonly object[], finishReason?: string) => ({
  candidates: [{ content: { role: 'model', parts }, index: 0, ...(finishReason ? { finishReason } : {}) }],
  usageMetadata,
  modelVersion: model,
  responseId,
});

function* stream(reply: Reply, { model }: AnsweredRequest): Iterable<Frame> {
  const id = randomId('g');
  if (reply.failure) {
    const error = { code: 503, message: reply.failure.message, status: 'UNAVAILABLE' };
    yield { data: { error }, pauseMs: failurePauseMs };
    return;
  }
  if (reply.think) {
    yield { data: answer(model, id, [{ text: `**Thinking**\n${reply.think}`, thought: true }]), spoken: true };
  }
  for (const text of pieces(reply.text)) yield { data: answer(model, id, [{ text }]), spoken: true };
  yield { data: answer(model, id, callParts(reply), 'STOP') };
}

const statusNames: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
  529: 'UNAVAILABLE',
};

export const gemini: Dialect = {
  api: 'gemini',
  turns: (body) => listOf(valueAt(body, 'contents')).flatMap(turnsOf),
  tools: (body) =>
    listOf(valueAt(body, 'tools'))
      .flatMap((tool) => listOf(valueAt(tool, 'functionDeclarations')))
      .map((tool) => ({
        name: textOf(valueAt(tool, 'name')),
        namespace: undefined,
        schema: objectOf(valueAt(tool, 'parametersJsonSchema') ?? valueAt(tool, 'parameters')),
        custom: false,
      })),
  wantsJson: (body) =>
    valueAt(body, 'generationConfig', 'responseJsonSchema') ??
    valueAt(body, 'generationConfig', 'responseSchema') ??
    (valueAt(body, 'generationConfig', 'responseMimeType') === 'application/json' ? true : undefined),
  plain: (reply, { model }) => {
    const said = reply.text ? [{ text: reply.text }] : [];
    return answer(model, randomId('g'), [...said, ...callParts(reply)], 'STOP');
  },
  stream,
  error: ({ status, message, retryAfter }) => {
    const retry = { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${retryAfter}s` };
    const details = retryAfter === undefined ? {} : { details: [retry] };
    return { error: { code: status, message, status: statusNames[status] ?? 'UNKNOWN', ...details } };
  },
};
