/**
 * Calls of the daemon's HTTP requests, typed by `protocol/api.ts`. Every answer is checked against its schema: a daemon of another
 * version gives a clear fault here instead of a broken page later. Nothing is thrown; how a call ended is a value.
 */
import type { z } from 'zod';
import { messageOf } from '../../../src/base/fault.ts';
import { faultSchema, type RouteName, routes } from '../../../src/protocol/api.ts';

/** Longer than any request that does not wait for a person; after it the daemon counts as unreachable. */
export const callLimitMs = 15_000;

export type Answer<N extends RouteName> = z.infer<(typeof routes)[N]['answer']>;

export type Failure =
  | {
      readonly kind: 'fault';
      readonly status: number;
      readonly code: string;
      readonly message: string;
      readonly hint: string | undefined;
    }
  | { readonly kind: 'unauthorized' }
  | { readonly kind: 'unreachable'; readonly message: string };
export type Reply<T> = { readonly kind: 'ok'; readonly value: T } | Failure;

export interface Request {
  /** Value of `:id` in the path. */
  readonly id?: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly limitMs?: number;
}

export interface Api {
  readonly origin: string;
  readonly call: <N extends RouteName>(name: N, request?: Request) => Promise<Reply<Answer<N>>>;
}

export function apiAt(origin: string): Api {
  return { origin, call: (name, request) => callRoute(origin, name, request ?? {}) };
}

async function callRoute<N extends RouteName>(origin: string, name: N, request: Request): Promise<Reply<Answer<N>>> {
  const route = routes[name];
  const url = new URL(route.path.replace(':id', encodeURIComponent(request.id ?? '')), origin);
  for (const [key, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) url.searchParams.set(key, String(value));
  }
  const init: RequestInit = { method: route.method, signal: AbortSignal.timeout(request.limitMs ?? callLimitMs) };
  if (route.method === 'POST') {
    init.headers = { 'content-type': 'application/json' };
    init.body = JSON.stringify(request.body ?? {});
  }
  try {
    const response = await fetch(url, init);
    if (response.status === 401) return { kind: 'unauthorized' };
    return readReply(response, await response.text(), route.answer) as Reply<Answer<N>>;
  } catch (error) {
    return { kind: 'unreachable', message: messageOf(error) };
  }
}

function readReply(response: Response, text: string, schema: z.ZodType): Reply<unknown> {
  const json = parseJson(text);
  if (response.ok) {
    const answer = schema.safeParse(json);
    return answer.success ? { kind: 'ok', value: answer.data } : unreadable(response.status);
  }
  const fault = faultSchema.safeParse(json);
  if (!fault.success) return unreadable(response.status);
  const { code, message, hint } = fault.data.error;
  return { kind: 'fault', status: response.status, code, message, hint };
}

const unreadable = (status: number): Failure => ({
  kind: 'fault',
  status,
  code: 'INTERNAL',
  message: `The answer of the daemon (HTTP ${status}) has a form that this page does not know.`,
  hint: 'Reload the page; if it stays so, page and daemon are of different versions.',
});

/** `undefined` for what is no JSON; the schema then refuses it. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** One sentence for people. */
export function describeFailure(failure: Failure): string {
  switch (failure.kind) {
    case 'fault':
      return failure.hint ? `${failure.message} ${failure.hint}` : failure.message;
    case 'unauthorized':
      return 'This page is not logged in any more.';
    case 'unreachable':
      return 'The daemon did not answer; whether it did this is not known.';
  }
}
