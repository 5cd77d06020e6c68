/**
 * The command line's side of the HTTP interface: one function over the routes of `protocol/api.ts`.
 *
 * `connect` reads where the daemon says it listens (`run/daemon.json`) and the token; `call` asks and turns every failure into a
 * `Fault`: the daemon's own, or DAEMON_DOWN with what is known about the process in the record. What changes something and got no answer
 * may have been done all the same: ANSWER_LOST or TIMED_OUT, with how to ask again. node:http and not `fetch`, which takes 30 ms to load.
 */
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import type { z } from 'zod';
import { Fault, isErrno, messageOf } from '../base/fault.ts';
import { type FaultCode, faults } from '../base/faults.ts';
import { delay } from '../base/wait.ts';
import type { Home } from '../platform/home.ts';
import { findOwnProcesses } from '../platform/own-processes.ts';
import { type ProcessRecord, type RecordFound, readProcessRecord } from '../platform/process-record.ts';
import { isAlive } from '../platform/processes.ts';
import { addresses } from '../protocol/addresses.ts';
import type { RouteName, routes } from '../protocol/api.ts';
import { ownVersion } from './version.ts';

type Route<N extends RouteName> = (typeof routes)[N];
export type Answer<N extends RouteName> = z.infer<Route<N>['answer']>;

export interface CallOptions<N extends RouteName> {
  /** Values of the `:name` parts of the path. */
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: Route<N> extends { readonly body: z.ZodType } ? z.input<Route<N>['body']> : never;
  readonly timeoutMs?: number;
  /** Said where it is unknown whether it was done: how to ask again without doing it twice. */
  readonly again?: string;
}

export interface Client {
  readonly url: string;
  readonly token: string;
  readonly record: ProcessRecord;
  readonly call: <N extends RouteName>(name: N, options?: CallOptions<N>) => Promise<Answer<N>>;
}

/** The daemon answers reads in milliseconds; a submit runs git, which can be slow on a large repository. */
export const answerLimitMs = 15_000;
/** Larger answers are a defect: the largest page of jobs or events is far below. */
const answerBytesMax = 64 * 1024 * 1024;

/** `muster up && muster run ...` must work also where the daemon needs longer than `up` may take. */
const startingLimitMs = 20_000;
const startingPollMs = 50;

const upHint = 'Start it with: muster up';

/** Waits for a daemon that is just starting, at most `startingMs`. Throws DAEMON_DOWN if there is none. */
export async function connect(home: Home, startingMs = startingLimitMs): Promise<Client> {
  const found = await recordOfDaemon(home, startingMs);
  if (found.kind === 'absent') {
    throw new Fault('DAEMON_DOWN', `No daemon runs for ${home.dir}`, { subject: home.dir, hint: upHint });
  }
  if (found.kind === 'unreadable' || found.record.url === undefined) {
    const reason = found.kind === 'unreadable' ? found.reason : `${home.daemonFile} names no address`;
    throw new Fault('DAEMON_DOWN', `Can't tell where the daemon is: ${reason}`, {
      subject: home.daemonFile,
      hint: 'Run: muster down, then muster up',
    });
  }
  return clientOf({ record: found.record, url: found.record.url, token: await readToken(home) });
}

/** A daemon that was started a moment ago writes its record when it is ready; it is waited for as long as it lives. */
async function recordOfDaemon(home: Home, startingMs: number): Promise<RecordFound> {
  const until = performance.now() + startingMs;
  for (;;) {
    const found = await readProcessRecord(home.daemonFile);
    if (found.kind === 'found' && isAlive(found.record)) return found;
    const starting = (await findOwnProcesses(home)).some(({ role }) => role === 'daemon');
    if (!starting || performance.now() > until) return readProcessRecord(home.daemonFile);
    await delay(startingPollMs);
  }
}

export async function readToken(home: Home): Promise<string> {
  try {
    return (await readFile(home.token, 'utf8')).trim();
  } catch (error) {
    throw new Fault('UNAUTHORIZED', `Can't read the token ${home.token}: ${messageOf(error)}`, {
      cause: error,
      subject: home.token,
      hint: 'Use the account that started the daemon; a missing token is made anew by: muster down, muster up',
    });
  }
}

interface Peer {
  readonly record: ProcessRecord;
  readonly url: string;
  readonly token: string;
}

function clientOf(peer: Peer): Client {
  return {
    ...peer,
    call: async <N extends RouteName>(name: N, options: CallOptions<N> = {}) => {
      const { method, path } = addresses[name];
      const address = pathWith(path, options.params ?? {}) + queryOf(options.query ?? {});
      const answer = await exchange(peer, {
        method,
        address,
        body: options.body,
        timeoutMs: options.timeoutMs ?? answerLimitMs,
        again: options.again ?? 'Look whether it was before you ask again.',
      });
      if (answer.status < 200 || answer.status > 299) throw faultOf(peer, answer);
      if (peer.record.version !== ownVersion()) await checkAnswer(peer, name, answer.body);
      return answer.body as Answer<N>;
    },
  };
}

/**
 * The daemon checks its answers against the same schemas before it sends them. Loading the schemas takes longer than all the rest of a
 * command, so they are loaded only where the daemon is of another version and may mean something else by them.
 */
async function checkAnswer(peer: Peer, name: RouteName, body: unknown): Promise<void> {
  const { routes } = await import('../protocol/api.ts');
  const checked = routes[name].answer.safeParse(body);
  if (!checked.success) throw strange(peer, `${routes[name].method} ${routes[name].path}`, checked.error.issues[0]);
}

const pathWith = (path: string, params: Readonly<Record<string, string>>): string =>
  path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));

function queryOf(query: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]));
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
}

interface Exchange {
  readonly method: string;
  readonly address: string;
  readonly body: unknown;
  readonly timeoutMs: number;
  readonly again: string;
}
interface HttpAnswer {
  readonly status: number;
  readonly body: unknown;
}

async function exchange(peer: Peer, wanted: Exchange): Promise<HttpAnswer> {
  try {
    const { status, text } = await send(peer, wanted);
    return { status, body: JSON.parse(text) };
  } catch (error) {
    if (error instanceof Fault) throw error;
    if (error instanceof SyntaxError) throw strange(peer, wanted.address, { message: 'not JSON' });
    throw wanted.method === 'GET' || isErrno(error, 'ECONNREFUSED')
      ? downFault(peer, error)
      : lost(peer, wanted, error);
  }
}

function send(peer: Peer, wanted: Exchange): Promise<{ status: number; text: string }> {
  const { method, address, body, timeoutMs } = wanted;
  const payload = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${peer.token}`,
      ...(payload === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
    };
    const sent = request(new URL(address, peer.url), { method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > answerBytesMax) response.destroy(new Error(`the answer is larger than ${answerBytesMax} bytes`));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') });
      });
    });
    const timer = setTimeout(() => sent.destroy(timedOut(peer, wanted)), timeoutMs);
    sent.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    sent.end(payload);
  });
}

const unknownHint = ({ method, again }: Exchange): string =>
  method === 'GET' ? 'See: muster doctor' : `Whether it was done is unknown. ${again}`;

const timedOut = (peer: Peer, wanted: Exchange): Fault =>
  new Fault(
    'TIMED_OUT',
    `The daemon (pid ${peer.record.pid}) did not answer ${wanted.method} ${wanted.address} within ${wanted.timeoutMs} ms`,
    { subject: peer.url, hint: unknownHint(wanted) },
  );

/** Only a refused connection proves that nothing was asked. */
const lost = (peer: Peer, wanted: Exchange, cause: unknown): Fault =>
  new Fault(
    'ANSWER_LOST',
    `The daemon (pid ${peer.record.pid}) went away before it answered ${wanted.method} ${wanted.address}: ${messageOf(cause)}`,
    { cause, subject: peer.url, hint: unknownHint(wanted) },
  );

/** Nobody answers there: is the process of the record still alive? */
function downFault(peer: Peer, cause: unknown): Fault {
  const { pid } = peer.record;
  const refused = isErrno(cause, 'ECONNREFUSED') || isErrno(cause, 'ECONNRESET');
  const message = isAlive(peer.record)
    ? `The daemon (pid ${pid}) lives but does not answer at ${peer.url}: ${messageOf(cause)}`
    : `The daemon (pid ${pid}) is gone${refused ? '' : ` (${messageOf(cause)})`}; its record was left behind`;
  return new Fault('DAEMON_DOWN', message, {
    cause,
    subject: peer.url,
    hint: isAlive(peer.record)
      ? 'Look into logs/daemon.log, or restart it: muster down --keep-sessions, muster up'
      : upHint,
  });
}

/** The daemon's own fault; a code that this version does not know is shown as it came. */
function faultOf(peer: Peer, { status, body }: HttpAnswer): Fault {
  const { code, message, hint, subject } = errorPart(body);
  if (code === undefined || message === undefined)
    return strange(peer, `HTTP ${status}`, { message: 'no fault in it' });
  if (code === 'UNAUTHORIZED' && !isAlive(peer.record)) {
    return new Fault('DAEMON_DOWN', `The daemon is gone and something else answers at ${peer.url}`, {
      subject: peer.url,
      hint: upHint,
    });
  }
  const options = { ...(hint === undefined ? {} : { hint }), ...(subject === undefined ? {} : { subject }) };
  return code in faults
    ? new Fault(code as FaultCode, message, options)
    : new Fault('INTERNAL', `${code}: ${message}`, options);
}

function errorPart(body: unknown): Partial<Record<'code' | 'message' | 'hint' | 'subject', string>> {
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  if (typeof error !== 'object' || error === null) return {};
  return Object.fromEntries(Object.entries(error).filter(([, value]) => typeof value === 'string'));
}

const strange = (
  peer: Peer,
  what: string,
  issue: { readonly message: string; readonly path?: readonly PropertyKey[] } | undefined,
): Fault => {
  const where = issue?.path?.length ? ` at ${issue.path.map(String).join('.')}` : '';
  return new Fault(
    'INTERNAL',
    `The daemon (version ${peer.record.version}) answered ${what} in an unexpected form${where}: ${issue?.message ?? ''}`,
    {
      subject: peer.url,
      hint: 'Is it another version? Restart it, sessions live on: muster down --keep-sessions, muster up',
    },
  );
};
