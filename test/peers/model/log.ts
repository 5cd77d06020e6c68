/** The server's record of what was asked and how it was answered. Keys never reach it; trace context does. */
import { appendFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Api } from './dialect.ts';

export interface LogEntry {
  readonly id: number;
  readonly t: number;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  tEnd?: number;
  api?: Api | 'otlp';
  model?: string;
  stream?: boolean;
  script?: string;
  step?: number;
  toolNames?: readonly string[];
  /** Which failure of this step it was. */
  attempt?: number;
  status?: number;
  aborted?: boolean;
  /** Of telemetry that a CLI sends: traces, logs or metrics, its size, and the body where it is JSON. */
  otlp?: { readonly kind: string; readonly bytes: number; readonly body: unknown };
}

/** Requests remembered; a test looks at the last few, a demo runs for minutes. */
const entriesMax = 10_000;

export interface Log {
  readonly entries: LogEntry[];
  readonly file: string | undefined;
  /** Requests so far, forgotten ones too. */
  count: number;
}

const secretHeader = /^(authorization|x-api-key|api-key|x-goog-api-key|cookie)$/i;

const instant = (): number => performance.timeOrigin + performance.now();

/** Opens the entry of a request; it is closed with the response, however that ends. */
export function beginEntry(log: Log, request: IncomingMessage, response: ServerResponse): LogEntry {
  const entry: LogEntry = {
    id: log.count++,
    t: instant(),
    method: request.method ?? '',
    path: (request.url ?? '').replace(/([?&]key=)[^&]*/, '$1<hidden>'),
    headers: Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, secretHeader.test(name) ? '<hidden>' : value]),
    ),
  };
  log.entries.push(entry);
  if (log.entries.length > entriesMax) log.entries.shift();
  response.on('close', () => {
    Object.assign(entry, { status: response.statusCode, tEnd: instant(), aborted: !response.writableFinished });
    writeLog(log, entry);
  });
  return entry;
}

/** Synchronous, so that a line is on disk before the client can act on the answer. */
export function writeLog({ file }: Log, entry: object): void {
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(entry)}\n`);
}
