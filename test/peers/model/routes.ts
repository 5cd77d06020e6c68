/** Which request is a model call, and the short answers to everything else that the CLIs ask. */
import { anthropic } from './anthropic.ts';
import { chat } from './chat.ts';
import type { Dialect } from './dialect.ts';
import { gemini } from './gemini.ts';
import { responses } from './responses.ts';

export type Route =
  | { readonly kind: 'plain'; readonly status: number; readonly body: unknown }
  | { readonly kind: 'model'; readonly dialect: Dialect; readonly model?: string; readonly stream?: boolean };

const ok = (body: unknown): Route => ({ kind: 'plain', status: 200, body });

const modelList = {
  object: 'list',
  data: [
    {
      id: 'scripted-model',
      object: 'model',
      created: 1,
      owned_by: 'scripted',
      type: 'model',
      display_name: 'Scripted model',
      created_at: '2026-01-01T00:00:00Z',
    },
  ],
  models: [],
  has_more: false,
};

export function routeOf(method: string, path: string): Route {
  const [, model = '', verb = ''] = path.match(/\/models\/([^/:]+):(\w+)$/) ?? [];
  if (path.endsWith('/messages')) return { kind: 'model', dialect: anthropic };
  if (path.endsWith('/messages/count_tokens')) return ok({ input_tokens: 1000 });
  if (path.endsWith('/responses') && method === 'POST') return { kind: 'model', dialect: responses };
  if (path.endsWith('/responses/compact')) return ok({ output: [] });
  if (path.endsWith('/chat/completions')) return { kind: 'model', dialect: chat };
  if (verb.endsWith('ountTokens')) return ok({ totalTokens: 1000 });
  if (verb.endsWith('enerateContent'))
    return { kind: 'model', dialect: gemini, model, stream: verb.startsWith('stream') };
  if (path.endsWith('/models')) return ok(modelList);
  if (method === 'HEAD' || path === '/') return ok({});
  return {
    kind: 'plain',
    status: 404,
    body: { type: 'error', error: { type: 'not_found_error', message: 'no such path' } },
  };
}
