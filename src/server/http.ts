/**
 * The HTTP side: every route of `protocol/api.ts`, the login, the page. One request is parsed at the door by its schema, becomes one
 * call of a module, and ends as its answer or as a fault with the code's status.
 */
import { existsSync } from 'node:fs';
import fastifyStatic from '@fastify/static';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { type FaultBody, type RouteName, routes } from '../protocol/api.ts';
import type { Auth } from './auth.ts';

type RouteOf<N extends RouteName> = (typeof routes)[N];
type Answer<N extends RouteName> = z.infer<RouteOf<N>['answer']>;
type Query<N extends RouteName> =
  RouteOf<N> extends { query: infer Q extends z.ZodType } ? z.infer<Q> : Record<string, never>;
type Body<N extends RouteName> = RouteOf<N> extends { body: infer B extends z.ZodType } ? z.infer<B> : undefined;

/** What each route does. `id` is the path's `:id`, or an empty text where it has none. */
export type Handlers = {
  readonly [N in RouteName]: (request: { id: string; query: Query<N>; body: Body<N> }) => Promise<Answer<N>>;
};

/** Larger bodies are refused: the largest thing anybody sends is a prompt. */
const bodyBytesMax = 1024 * 1024;

const securityHeaders = {
  'content-security-policy': "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

export async function openHttp(options: {
  auth: Auth;
  handlers: Handlers;
  webRoot: string;
  log: Log;
}): Promise<FastifyInstance> {
  const app = fastify({ bodyLimit: bodyBytesMax, forceCloseConnections: true, exposeHeadRoutes: false });
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(securityHeaders);
    options.auth.checkOrigin(request.headers);
  });
  app.setErrorHandler((error, request, reply) => sendFault(error, request, reply, options.log));
  // The token is asked where the router has arrived, not by the look of an address: `/%61pi` leads to the same route as `/api`.
  await app.register(async (api) => {
    api.addHook('onRequest', async (request) => options.auth.check(request.headers));
    for (const name of Object.keys(routes) as RouteName[]) register(api, name, options.handlers);
  });
  registerLogin(app, options.auth);
  await registerPage(app, options.webRoot);
  return app;
}

function register(app: FastifyInstance, name: RouteName, handlers: Handlers): void {
  const route = routes[name];
  const handle = handlers[name] as (request: { id: string; query: unknown; body: unknown }) => Promise<unknown>;
  app.route({
    method: route.method,
    url: route.path,
    handler: async (request) => {
      const query = 'query' in route ? parse(route.query, request.query ?? {}, 'query') : {};
      const body = 'body' in route ? parse(route.body, request.body ?? {}, 'body') : undefined;
      const answer = await handle({ id: (request.params as { id?: string }).id ?? '', query, body });
      // Our own answers go through the schema too: what is shown is what is promised, and nothing more leaves.
      return route.answer.parse(answer);
    },
  });
}

function parse(schema: z.ZodType, value: unknown, where: string): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = issue?.path.join('.') || where;
  throw new Fault('BAD_REQUEST', `${path}: ${issue?.message ?? 'is not valid'}`, { subject: path });
}

function registerLogin(app: FastifyInstance, auth: Auth): void {
  app.get('/login', async (request, reply) => {
    const { code } = request.query as { code?: unknown };
    const cookie = typeof code === 'string' ? auth.redeemCode(code) : undefined;
    if (cookie === undefined) {
      return reply
        .code(401)
        .type('text/plain; charset=utf-8')
        .send('This link was used already, or is too old. Run `muster open` for a fresh one.\n');
    }
    return reply.header('set-cookie', cookie).redirect('/', 303);
  });
}

/** The page's files; any other address without a dot is a page of the browser's own routing. */
async function registerPage(app: FastifyInstance, webRoot: string): Promise<void> {
  const built = existsSync(`${webRoot}/index.html`);
  if (built)
    await app.register(fastifyStatic, {
      root: webRoot,
      wildcard: false,
      cacheControl: true,
      immutable: false,
      maxAge: 0,
    });
  app.setNotFoundHandler(async (request, reply) => {
    const { pathname } = new URL(request.url, 'http://muster');
    if (request.method !== 'GET' || pathname.startsWith('/api/') || pathname.includes('.')) {
      throw new Fault('ROUTE_UNKNOWN', `${request.method} ${pathname}: there is no such address`);
    }
    if (!built)
      return reply
        .code(503)
        .type('text/plain; charset=utf-8')
        .send('The page is not built. Run `npm run build:web` and restart the daemon.\n');
    return reply.sendFile('index.html');
  });
}

function sendFault(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log): void {
  const fault = faultOfHttp(error);
  if (fault.status >= 500) log.error({ url: request.url, error }, fault.message);
  const body: FaultBody = {
    error: {
      code: fault.code,
      message: fault.message,
      ...(fault.hint === undefined ? {} : { hint: fault.hint }),
      ...(fault.subject === undefined ? {} : { subject: fault.subject }),
    },
  };
  void reply.code(fault.status).send(body);
}

/** Fastify's own refusals (a body that is no JSON, too large, of another type) are the caller's. */
function faultOfHttp(error: unknown): Fault {
  if (
    error instanceof Error &&
    'statusCode' in error &&
    typeof error.statusCode === 'number' &&
    error.statusCode < 500
  ) {
    return new Fault('BAD_REQUEST', error.message, { cause: error, subject: 'body' });
  }
  return toFault(error);
}
