/**
 * Watches the files in which an agent leaves evidence: a hook spool, a JSON file that is rewritten, a file of rows that grows.
 *
 * Each watch looks when the system says that something changed, and once per `rescanMs` whatever the system says: notifications can be
 * lost (overflow, network file systems). What is read is bounded; what can't be read as JSON is dropped with a line in the log.
 * Spooled files are removed only after they were observed: a crash in between shows them twice, never not at all.
 */
import { type FSWatcher, watch as watchPath } from 'node:fs';
import { open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Watch } from '../agents/agent.ts';
import type { Clock } from '../base/clock.ts';
import { isErrno, messageOf } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Observation } from '../protocol/state.ts';

/** Bounds the time for which a lost notification goes unnoticed. */
const rescanMs = 1000;
/** A hook's payload or a transcript row beyond this is not evidence but a flood; it is skipped. */
const payloadBytesMax = 1024 * 1024;
/** Rows are read in pieces of this size, so that a long transcript does not stop the loop. */
const rowsPieceBytes = 256 * 1024;

export interface WatchContext {
  readonly pid: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Awaited before a spooled file is removed, so that what it said is kept. */
  readonly observe: (observation: Observation) => Promise<void> | void;
  /** Byte up to which the rows of a transcript have been observed in an earlier life. */
  readonly rowsOffset: number;
  readonly onRowsOffset: (offset: number) => void;
}

export interface OpenWatch {
  /** Looks now, and resolves when what was there has been observed. */
  readonly flush: () => Promise<void>;
  readonly close: () => void;
}

const nothingToWatch: OpenWatch = { flush: async () => undefined, close: () => undefined };

export function startWatch(watch: Watch, context: WatchContext): OpenWatch {
  switch (watch.kind) {
    case 'spool':
      return repeatedly(watch.dir, context.log, () => readSpool(watch.dir, watch.source, context));
    case 'json-file':
      return watchJsonFile(watch.path.replaceAll('{pid}', String(context.pid ?? 0)), watch.source, context);
    case 'rows':
      return watch.path === undefined ? nothingToWatch : watchRows(watch.path, watch.source, context);
  }
}

/** Runs `look` now, on every change in `dir` and every `rescanMs`; never twice at the same time, and once more if a change came meanwhile. */
function repeatedly(dir: string, log: Log, look: () => Promise<void>): OpenWatch {
  let closed = false;
  let current: Promise<void> | undefined;
  let again = false;
  let watcher: FSWatcher | undefined;
  const loop = async (): Promise<void> => {
    while (again && !closed) {
      again = false;
      await look().catch((error: unknown) =>
        log.warn({ dir, cause: messageOf(error) }, 'could not look at a watched file'),
      );
    }
    current = undefined;
  };
  const run = (): Promise<void> => {
    again = true;
    current ??= loop();
    return current;
  };
  const subscribe = (): void => {
    if (watcher || closed) return;
    try {
      watcher = watchPath(dir, () => void run());
      watcher.on('error', () => {
        watcher?.close();
        watcher = undefined;
      });
    } catch {
      // The folder is not there yet (an agent makes it at its start): the next rescan tries again.
      watcher = undefined;
    }
  };
  subscribe();
  void run();
  const timer = setInterval(() => {
    subscribe();
    void run();
  }, rescanMs);
  return {
    flush: run,
    close: () => {
      closed = true;
      clearInterval(timer);
      watcher?.close();
    },
  };
}

async function readSpool(dir: string, source: 'hook', context: WatchContext): Promise<void> {
  const names = await readdir(dir).catch(ignoreMissing<string[]>([]));
  for (const name of names.filter((one) => one.endsWith('.json') && !one.startsWith('.')).toSorted()) {
    const path = join(dir, name);
    const facts = await stat(path).catch(ignoreMissing(undefined));
    if (!facts) continue;
    const payload =
      facts.size <= payloadBytesMax ? parse(await readFile(path, 'utf8').catch(ignoreMissing(''))) : undefined;
    if (payload === undefined) context.log.warn({ path, bytes: facts.size }, 'a spooled hook was not readable as JSON');
    else await context.observe({ at: facts.mtimeMs, source, payload });
    await unlink(path).catch(ignoreMissing(undefined));
  }
}

function watchJsonFile(path: string, source: 'sessionFile', context: WatchContext): OpenWatch {
  let last = '';
  return repeatedly(dirname(path), context.log, async () => {
    const text = await readFile(path, 'utf8').catch(ignoreMissing(''));
    if (text === last || text === '' || text.length > payloadBytesMax) return;
    const payload = parse(text);
    // Half-written content is not an error: the next change brings the rest.
    if (payload === undefined) return;
    last = text;
    await context.observe({ at: context.clock(), source, payload });
  });
}

function watchRows(path: string, source: 'transcript', context: WatchContext): OpenWatch {
  let offset = context.rowsOffset;
  return repeatedly(dirname(path), context.log, async () => {
    const size = (await stat(path).catch(ignoreMissing(undefined)))?.size ?? 0;
    if (size < offset) offset = 0;
    while (offset < size) {
      const { rows, end } = await readRows(path, offset, size);
      if (end === offset) return;
      for (const row of rows) {
        const payload = parse(row);
        if (payload !== undefined) await context.observe({ at: context.clock(), source, payload });
      }
      offset = end;
      context.onRowsOffset(offset);
    }
  });
}

/** Whole rows from `offset` on, and the byte after the last of them. A row longer than the bound is skipped. */
async function readRows(path: string, offset: number, size: number): Promise<{ rows: string[]; end: number }> {
  const file = await open(path, 'r');
  try {
    const wanted = Math.min(size - offset, payloadBytesMax);
    for (let length = Math.min(rowsPieceBytes, wanted); ; length = wanted) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
      const newline = buffer.subarray(0, bytesRead).lastIndexOf(10);
      if (newline >= 0) return { rows: buffer.toString('utf8', 0, newline).split('\n'), end: offset + newline + 1 };
      if (length >= payloadBytesMax) return { rows: [], end: offset + bytesRead };
      if (length >= wanted) return { rows: [], end: offset };
    }
  } finally {
    await file.close();
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: the caller decides whether that is worth a line.
    return undefined;
  }
}

/** A file or folder that is not there is the common case of everything that is watched. */
const ignoreMissing =
  <T>(instead: T) =>
  (error: unknown): T => {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return instead;
    throw error;
  };
