/**
 * A session's recording: asciicast v2, one JSON line for the header, then `[seconds, code, text]` with code `o` output, `i` input, `r`
 * resize (`COLSxROWS`), `e` evidence (`{source, payload}` as JSON), `x` exit (`{code, signal}` as JSON, 0 for none), `m` mark.
 *
 * Lines wait in memory for at most `flushMs` and go out in one write at a time. Whatever goes wrong with the file (full disk, slow disk,
 * limit) stops the recording, cut after its last whole line, and never the session. A process that dies loses at most the last `flushMs`.
 * The next image of the host goes on in the same file: `hold` until no write is under way, `carry`, `goOnRecording`.
 */

import { type FileHandle, open } from 'node:fs/promises';
import { constants as osConstants } from 'node:os';
import { StringDecoder } from 'node:string_decoder';
import { z } from 'zod';
import type { SessionExit } from '../../protocol/session.ts';

export interface Recording {
  readonly output: (bytes: Buffer) => void;
  readonly input: (text: string) => void;
  readonly resized: (cols: number, rows: number) => void;
  readonly note: (source: string, payload: unknown) => void;
  /** Writes the exit and what waits, then closes the file. */
  readonly end: (exit: SessionExit) => Promise<void>;
  /** From its answer on nothing is written, but kept, until `release`. */
  readonly hold: () => Promise<void>;
  readonly release: () => void;
  /** Undefined if nothing is recorded (any more). Only while held. */
  readonly carry: () => CarriedRecording | undefined;
}

export const carriedRecordingSchema = z.object({
  path: z.string(),
  bytesMax: z.number(),
  /** In the file, and with what waits. */
  writtenBytes: z.number(),
  acceptedBytes: z.number(),
  waiting: z.string(),
  /** How long it has been going, so that times go on; with the time at which that was so. */
  elapsedMs: z.number(),
  at: z.number(),
});
export type CarriedRecording = z.infer<typeof carriedRecordingSchema>;

export interface RecordingOptions {
  readonly path: string;
  readonly cols: number;
  readonly rows: number;
  readonly title: string;
  readonly now: () => number;
  readonly bytesMax: number;
  /** Once, when the recording stops before the session. */
  readonly onStopped: (reason: string) => void;
}

const flushMs = 250;
/** Flushed at once when so much waits. */
const flushBytes = 256 * 1024;
/** A disk that is this far behind will not catch up; the recording stops. */
const waitingBytesMax = 32 * 1024 * 1024;

type Row = readonly [number, string, string];

export const noRecording: Recording = {
  output: () => undefined,
  input: () => undefined,
  resized: () => undefined,
  note: () => undefined,
  end: () => Promise.resolve(),
  hold: () => Promise.resolve(),
  release: () => undefined,
  carry: () => undefined,
};

export async function openRecording(options: RecordingOptions): Promise<Recording> {
  if (options.bytesMax === 0) return noRecording;
  const { cols: width, rows: height, title, now } = options;
  const file = await open(options.path, 'w', 0o600);
  const header = {
    version: 2,
    width,
    height,
    timestamp: Math.floor(now() / 1000),
    env: { TERM: 'xterm-256color' },
    title,
  };
  const waiting = `${JSON.stringify(header)}\n`;
  const acceptedBytes = Buffer.byteLength(waiting);
  return record(file, { ...options, waiting, acceptedBytes, writtenBytes: 0, elapsedMs: 0, unfinished: noBytes });
}

/** `unfinished`: the bytes of a character that has come in part. Whatever stood behind what was carried is cut off. */
export async function goOnRecording(
  carried: CarriedRecording,
  options: { readonly unfinished: Buffer; readonly now: () => number; readonly onStopped: (reason: string) => void },
): Promise<Recording> {
  const file = await open(carried.path, 'r+');
  await file.truncate(carried.writtenBytes);
  const elapsedMs = carried.elapsedMs + Math.max(0, options.now() - carried.at);
  return record(file, { ...carried, ...options, elapsedMs });
}

interface RecordingState extends Pick<RecordingOptions, 'path' | 'bytesMax' | 'now' | 'onStopped'> {
  readonly waiting: string;
  readonly acceptedBytes: number;
  readonly writtenBytes: number;
  readonly elapsedMs: number;
  readonly unfinished: Buffer;
}

const noBytes = Buffer.alloc(0);

function record(file: FileHandle, options: RecordingState): Recording {
  const decoder = new StringDecoder('utf8');
  decoder.write(options.unfinished);
  const begun = performance.now() - options.elapsedMs;
  let { waiting, acceptedBytes: accepted, writtenBytes } = options;
  let held = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  const stop = (reason: string): void => {
    if (stopped) return;
    stopped = true;
    options.onStopped(reason);
  };
  const writeOut = async (text: string): Promise<void> => {
    if (writtenBytes < 0) return;
    const bytes = Buffer.from(text, 'utf8');
    try {
      for (let at = 0; at < bytes.length; )
        at += (await file.write(bytes, at, bytes.length - at, writtenBytes + at)).bytesWritten;
      writtenBytes += bytes.length;
    } catch (error) {
      stop(`the recording can not be written: ${error instanceof Error ? error.message : String(error)}`);
      // So that the file ends with a whole line; if even that fails, a reader drops the torn one.
      await file.truncate(writtenBytes).catch(() => undefined);
      writtenBytes = -1;
    }
  };
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (held) return;
    const text = waiting;
    waiting = '';
    if (text !== '') writing = writing.then(() => writeOut(text));
  };
  const add = (code: string, text: string): void => {
    if (stopped || text === '') return;
    const row: Row = [Math.round((performance.now() - begun) * 10) / 10_000, code, text];
    const line = `${JSON.stringify(row)}\n`;
    accepted += Buffer.byteLength(line);
    if (accepted > options.bytesMax) {
      waiting += `${JSON.stringify([row[0], 'm', 'recording stopped at its size limit'])}\n`;
      stop(`the recording reached its limit of ${options.bytesMax} bytes`);
    } else waiting += line;
    if (waiting.length > waitingBytesMax) stop('the disk does not keep up with the recording');
    if (waiting.length > flushBytes) flush();
    else timer ??= setTimeout(flush, flushMs);
  };

  return {
    output: (bytes) => add('o', decoder.write(bytes)),
    input: (text) => add('i', text),
    resized: (cols, rows) => add('r', `${cols}x${rows}`),
    note: (source, payload) => add('e', JSON.stringify({ source, payload })),
    hold: () => {
      held = true;
      return writing;
    },
    release: () => {
      held = false;
      flush();
    },
    carry: () => {
      if (stopped || writtenBytes < 0) return undefined;
      const { path, bytesMax } = options;
      const elapsedMs = performance.now() - begun;
      return { path, bytesMax, writtenBytes, acceptedBytes: accepted, waiting, elapsedMs, at: options.now() };
    },
    end: async (exit) => {
      held = false;
      add('o', decoder.end());
      waiting += `${JSON.stringify([Math.round(performance.now() - begun) / 1000, 'x', exitText(exit)])}\n`;
      flush();
      await writing;
      stopped = true;
      await file.close().catch(() => undefined);
    },
  };
}

const exitText = ({ code, signal }: SessionExit): string =>
  JSON.stringify({ code: code ?? 0, signal: signal === null ? 0 : (signalNumbers[signal] ?? 0) });

const signalNumbers: Readonly<Record<string, number | undefined>> = osConstants.signals;
