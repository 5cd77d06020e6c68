/**
 * A model server that says what a script tells it, for agent CLIs under test: no account, no key, no network, the same answer every time.
 * It speaks Anthropic Messages, OpenAI Responses, OpenAI Chat Completions and Gemini, streamed and plain, on loopback only, and the prompt
 * chooses the script (docs/model-server.md), so that one server serves many sessions and needs no set-up.
 *
 * Order: the face, one request, one model call, the ways to answer, the program.
 * Invariants: nothing is kept about a session except failure counters; keys never reach the log; every answer ends in one log entry.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { Fault, messageOf } from '../../src/base/fault.ts';
import { type Dialect, type Frame, type Reply, randomId } from './model/dialect.ts';
import { textOf, valueAt } from './model/json.ts';
import { beginEntry, type Log, type LogEntry, writeLog } from './model/log.ts';
import { type Plan, planFor } from './model/plan.ts';
import { routeOf } from './model/routes.ts';
import { type Conversation, conversationsSchema, type ScriptedError, type Step, stepSchema } from './model/step.ts';
import { callsOf, exampleOf, workingFolder } from './model/tools.ts';

export interface ModelServerOptions {
  /** 0, the default, takes a free one. */
  readonly port?: number;
  readonly conversations?: readonly Conversation[];
  /** A file to which each entry is appended as a line of JSON when its answer begins and when it ends. */
  readonly log?: string;
}

export interface ModelServer {
  readonly port: number;
  readonly url: string;
  /** The newest requests, oldest first; an entry is filled in as its answer goes on. */
  readonly entries: readonly LogEntry[];
  readonly close: () => Promise<void>;
}

/** A CLI's request holds its whole conversation; none that was seen came near this. */
const bodyBytesMax = 64 * 1024 * 1024;
/** Pieces of text that leave before a cut stream is reset. */
const piecesBeforeCut = 3;

interface State {
  readonly log: Log;
  readonly failures: Map<string, number>;
  readonly conversations: readonly Conversation[];
  fallback: Step;
}

const defaultStep: Step = { text: 'OK (scripted model, no script chosen).' };

export async function openModelServer(options: ModelServerOptions = {}): Promise<ModelServer> {
  const state: State = {
    log: { entries: [], file: options.log, count: 0 },
    failures: new Map(),
    conversations: options.conversations ?? [],
    fallback: defaultStep,
  };
  const answering = new Set<Promise<unknown>>();
  const server = createServer((request, response) => {
    const whole = Promise.all([once(response, 'close'), handleOrSay(state, request, response)]);
    answering.add(whole);
    void whole.finally(() => answering.delete(whole));
  });
  // No web sockets: the clients fall back to HTTP.
  server.on('upgrade', (_request, socket) =>
    socket.end('HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    server.close();
    server.closeAllConnections();
    await Promise.all(answering);
  };
  return { port, url: `http://127.0.0.1:${port}`, entries: state.log.entries, close };
}

async function handleOrSay(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await handle(state, request, response);
  } catch (error) {
    if (request.destroyed && !request.complete) return; // the client went away in the middle of its request
    console.error('model server:', error);
    if (response.headersSent) response.destroy();
    else sendJson(response, 500, { error: { message: messageOf(error) } });
  }
}

/** Waits, but not for a client that has gone. */
async function pause(response: ServerResponse, ms: number): Promise<void> {
  if (ms === 0 || response.destroyed) return;
  const gone = new AbortController();
  const abort = () => gone.abort();
  response.once('close', abort);
  await delay(ms, undefined, { signal: gone.signal }).catch(() => undefined); // rejects only because it was aborted
  response.off('close', abort);
}

async function handle(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://loopback');
  const raw = await bodyOf(request);
  if (raw === undefined) return sendJson(response, 413, { error: { message: 'The request is too long.' } });
  if (pathname.startsWith('/__')) return answerControl(state, pathname, raw, response);
  const entry = beginEntry(state.log, request, response);
  const body = jsonOrNothing(raw);
  const otlp = pathname.match(/\/v1\/(traces|logs|metrics)$/)?.[1];
  if (otlp) {
    Object.assign(entry, { api: 'otlp', otlp: { kind: otlp, bytes: raw.length, body } });
    return sendJson(response, 200, {});
  }
  const route = routeOf(request.method ?? '', pathname);
  if (route.kind === 'plain') return sendJson(response, route.status, route.body);
  await answerModel({ state, entry, body, response, ...route });
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request) {
    const bytes = part as Buffer;
    length += bytes.length;
    if (length > bodyBytesMax) return undefined;
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

function jsonOrNothing(raw: Buffer): unknown {
  try {
    return JSON.parse(raw.toString());
  } catch {
    return undefined; // protobuf telemetry, or an empty body
  }
}

/** What a test asks of the server itself. */
function answerControl(state: State, path: string, raw: Buffer, response: ServerResponse): void {
  const ok = () => sendJson(response, 200, { ok: true });
  if (path === '/__health') return ok();
  if (path === '/__log') return sendJson(response, 200, state.log.entries);
  if (path === '/__reset') {
    state.log.entries.length = 0;
    state.failures.clear();
    return ok();
  }
  if (path !== '/__default') return sendJson(response, 404, { error: { message: `No such path: ${path}` } });
  const step = stepSchema.safeParse(jsonOrNothing(raw));
  if (!step.success) return sendJson(response, 400, { error: { message: z.prettifyError(step.error) } });
  state.fallback = step.data;
  return ok();
}

interface ModelCall {
  readonly state: State;
  readonly entry: LogEntry;
  readonly body: unknown;
  readonly response: ServerResponse;
  readonly dialect: Dialect;
  readonly model?: string;
  readonly stream?: boolean;
}

async function answerModel(call: ModelCall): Promise<void> {
  const { state, entry, body, response, dialect } = call;
  const tools = dialect.tools(body);
  const plan = withSideRequests(call, tools.length, planFor(dialect.turns(body), state.conversations, state.fallback));
  const { step } = plan;
  const model = call.model ?? textOf(valueAt(body, 'model'));
  const stream = call.stream ?? valueAt(body, 'stream') === true;
  const toolNames = tools.map(({ name }) => name);
  Object.assign(entry, { api: dialect.api, model, stream, script: plan.script, step: plan.index, toolNames });
  writeLog(state.log, { ...entry, phase: 'begin' });
  if (step.hang) return;
  await pause(response, step.delayMs ?? 0);
  if (response.destroyed) return;
  const failure = dueFailure(state, entry, plan);
  if (failure) return sendError(call, failure);
  const reply: Reply = {
    think: step.think,
    text: step.text ?? '',
    calls: callsOf(step, tools, workingFolder(dialect.api, body)),
    stop: step.stop,
    failure: step.sseError,
  };
  if (stream) return sendStream(response, dialect.stream(reply, { model, body }), step);
  // A client that falls back from a broken stream to a plain request meets the same failure.
  if (step.cut) return void response.destroy();
  if (step.sseError)
    return sendError(call, { status: step.sseError.type === 'overloaded_error' ? 529 : 500, ...step.sseError });
  sendJson(response, 200, dialect.plain(reply, { model, body }));
}

/** Titles, summaries and classifiers, which CLIs ask for on the side: they must not use up a step of the script. */
function withSideRequests({ dialect, body }: ModelCall, toolCount: number, plan: Plan): Plan {
  const schema = dialect.wantsJson(body);
  const aux = (text: string): Plan => ({ script: 'aux', index: 0, step: { text }, counter: '' });
  if (schema !== undefined) return aux(schema === true ? '{}' : JSON.stringify(exampleOf(schema)));
  return toolCount === 0 && plan.script !== 'default' ? aux('Scripted title') : plan;
}

function dueFailure(state: State, entry: LogEntry, { step, counter }: Plan): ScriptedError | undefined {
  if (!step.error) return undefined;
  const attempt = (state.failures.get(counter) ?? 0) + 1;
  state.failures.set(counter, attempt);
  if (attempt > (step.error.times ?? Number.POSITIVE_INFINITY)) return undefined;
  entry.attempt = attempt;
  return step.error;
}

function sendError({ dialect, response }: ModelCall, error: ScriptedError): void {
  const requestId = randomId('req_');
  const retry = error.retryAfter === undefined ? {} : { 'retry-after': String(error.retryAfter) };
  const headers = { 'request-id': requestId, ...retry, ...error.headers };
  sendJson(response, error.status, dialect.error(error, requestId), headers);
}

function sendJson(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

async function sendStream(response: ServerResponse, frames: Iterable<Frame>, step: Step): Promise<void> {
  const requestId = randomId('req_');
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'request-id': requestId,
    'x-request-id': requestId,
  });
  response.flushHeaders();
  let spoken = 0;
  for (const { event, data, spoken: isSpoken, pauseMs } of frames) {
    if (pauseMs) await pause(response, pauseMs);
    if (response.destroyed) return;
    const line = typeof data === 'string' ? data : JSON.stringify(data);
    response.write(`${event ? `event: ${event}\n` : ''}data: ${line}\n\n`);
    if (!isSpoken) continue;
    spoken += 1;
    if (step.paceMs) await pause(response, step.paceMs);
    if (step.cut && spoken >= piecesBeforeCut) return void response.destroy();
  }
  response.end();
}

/** Reads a YAML (or JSON) file `conversations: [{when, steps}]`. */
export function readConversations(file: string): readonly Conversation[] {
  try {
    const read = conversationsSchema.safeParse(parseYaml(readFileSync(file, 'utf8')));
    if (read.success) return read.data.conversations;
    throw new Error(z.prettifyError(read.error));
  } catch (error) {
    throw new Fault('CONFIG_INVALID', `${file}: ${messageOf(error)}`, { subject: file, cause: error });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      conversations: { type: 'string' },
      log: { type: 'string' },
    },
  });
  const server = await openModelServer({
    port: Number(values.port),
    ...(values.conversations ? { conversations: readConversations(values.conversations) } : {}),
    ...(values.log ? { log: values.log } : {}),
  });
  console.log(`The scripted model listens on ${server.url}`);
  const end = () => void server.close().then(() => process.exit(0));
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
}

if (import.meta.main) await main();
