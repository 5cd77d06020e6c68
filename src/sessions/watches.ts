/**
 * Watches the files in which an agent leaves evidence: a hook spool, a JSON file that is rewritten, a file of rows that grows.
 *
 * Each watch looks when the system says that something changed, and once per `rescanMs` whatever the system says: notifications can be
 * lost (overflow, network file systems). What is read is bounded; what can't be read as JSON is dropped with a line in the log.
 * Spooled files are removed only after what they said is on disk: a crash in between shows them twice, never not at all. While it can't be
 * written they stay, and are not observed again.
 */
import { constants, type FSWatcher, watch as watchPath } from 'node:fs';
import { open, readdir, stat, unlink } from 'node:fs/promises';
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
/** File systems round times, some to the whole tick. */
const clockRoundingMs = 20;
/** Rows are read in pieces of this size, so that a long transcript does not stop the loop. */
const rowsPieceBytes = 256 * 1024;

export interface WatchContext {
  readonly pid: number | undefined;
  /** What is older belongs to an earlier life. */
  readonly launchedAt: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly observe: (observation: Observation) => Promise<void> | void;
  /** Resolves when what was observed is on disk, and rejects if it can't be written: before that no spooled file is removed. */
  readonly save: () => Promise<void>;
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
      return watchSpool(watch.dir, watch.source, context);
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

function watchSpool(dir: string, source: 'hook', context: WatchContext): OpenWatch {
  /** Files that were observed, and stay until that is on disk. */
  const heard = new Set<string>();
  return repeatedly(dir, context.log, async () => {
    const names = await readdir(dir).catch(ignoreMissing<string[]>([]));
    const spooled = names.filter((one) => one.endsWith('.json') && !one.startsWith('.')).toSorted();
    for (const name of spooled) {
      const path = join(dir, name);
      if (!heard.has(name)) {
        const kind = await hearSpooled(path, source, context);
        // What is no file of a hook may be a folder or worse; it stays, and is not looked at again than as one line.
        if (kind === 'absent' || kind === 'not-plain') continue;
        heard.add(name);
      }
      // The others are heard all the same: what is shown is not to wait for a full disk.
      const kept = await context.save().then(
        () => true,
        () => false,
      );
      if (!kept) continue;
      await unlink(path).catch(ignoreMissing(undefined));
      heard.delete(name);
    }
  });
}

async function hearSpooled(path: string, source: 'hook', context: WatchContext): Promise<PlainFile['kind']> {
  const file = await readPlainFile(path);
  if (file.kind === 'absent') return file.kind;
  const payload = file.kind === 'read' ? parse(file.text) : undefined;
  if (payload === undefined) context.log.warn({ path, kind: file.kind }, 'a spooled hook was not readable as JSON');
  else if (file.kind === 'read') await context.observe({ at: file.modifiedAt, source, payload });
  return file.kind;
}

type PlainFile =
  | { readonly kind: 'read'; readonly text: string; readonly modifiedAt: number }
  | { readonly kind: 'absent' | 'too-large' | 'not-plain' };

/** The agent can put anything into a folder of its session: only a plain file is read, without following links, and only so much of it. */
async function readPlainFile(path: string): Promise<PlainFile> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return 'absent' as const;
    if (['ELOOP', 'ENXIO', 'EACCES', 'EMLINK'].some((code) => isErrno(error, code))) return 'not-plain' as const;
    throw error;
  });
  if (typeof file === 'string') return { kind: file };
  try {
    const facts = await file.stat();
    if (!facts.isFile()) return { kind: 'not-plain' };
    if (facts.size > payloadBytesMax) return { kind: 'too-large' };
    const { buffer, bytesRead } = await file.read(Buffer.alloc(facts.size), 0, facts.size, 0);
    return { kind: 'read', text: buffer.toString('utf8', 0, bytesRead), modifiedAt: facts.mtimeMs };
  } finally {
    await file.close();
  }
}

function watchJsonFile(path: string, source: 'sessionFile', context: WatchContext): OpenWatch {
  let last = '';
  return repeatedly(dirname(path), context.log, async () => {
    const file = await readPlainFile(path);
    if (file.kind !== 'read' || file.text === last || file.text === '') return;
    // Left by an earlier process that had the same number.
    if (file.modifiedAt < context.launchedAt - clockRoundingMs) return;
    const payload = parse(file.text);
    // Half-written content is not an error: the next change brings the rest.
    if (payload === undefined) return;
    last = file.text;
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
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) return { rows: [], end: size };
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
