/**
 * What one image of the host leaves to the next: a file in `run/` with `u32 length`, JSON of that length, then the bytes of each session in
 * their order, first of its ring, then those that its screen model must still be given, then its pending inputs. It is read by code of
 * another version, so it is checked, and a field that is added must be optional.
 *
 * Beside it lies a mark with the identity of the process that is about to change: whoever finds the socket without a listener, or the lock
 * free, and this process alive, must wait and not start another host. A mark of a process that is gone means nothing.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Home } from '../../platform/home.ts';
import { isAlive, type ProcessIdentity } from '../../platform/processes.ts';
import { hostSessionSchema, spawnSchema } from '../../protocol/host.ts';
import { carriedRecordingSchema } from './recording.ts';

const commandSchema = z.object({
  file: z.string(),
  args: z.array(z.string()),
  env: z.record(z.string(), z.string()),
});

const terminalSchema = z.object({
  offset: z.number(),
  parsed: z.number(),
  cols: z.int(),
  rows: z.int(),
  data: z.string(),
  title: z.string(),
  status: z.record(z.string(), z.string()),
  keyboard: z.object({ flags: z.int(), stack: z.array(z.int()) }),
});

const carriedSessionSchema = z.object({
  /** Without the environment, which the program has. */
  spec: spawnSchema,
  seen: hostSessionSchema,
  bootId: z.string(),
  swept: z.int(),
  /** How long it may still take to end by itself, if somebody has asked for its end. */
  endInMs: z.number().nullable(),
  inputs: z.array(z.tuple([z.string(), z.number()])),
  terminal: terminalSchema,
  recording: carriedRecordingSchema.nullable(),
  /** Null once it has ended. */
  pty: z
    .object({
      fd: z.int(),
      path: z.string(),
      /** begun: some of it has been written; what follows is the rest. */
      pending: z.array(z.object({ inputId: z.string().nullable(), length: z.int(), begun: z.boolean().optional() })),
    })
    .nullable(),
  ringLength: z.int(),
  unparsedLength: z.int(),
});

const carriedHostSchema = z.object({
  format: z.literal(1),
  /** The command line that goes on if the next one can't. */
  previous: commandSchema,
  startedAt: z.number(),
  /** How often this process has been upgraded, this time included. */
  upgrades: z.int(),
  sessions: z.array(carriedSessionSchema),
});

export interface CarriedSession extends z.infer<typeof carriedSessionSchema> {
  readonly ring: Buffer;
  readonly unparsed: Buffer;
  /** As in `pty.pending`. */
  readonly pending: readonly Buffer[];
}

export interface CarriedHost extends Omit<z.infer<typeof carriedHostSchema>, 'sessions'> {
  readonly sessions: readonly CarriedSession[];
}

const lengthBytes = 4;

export const carriedFile = (home: Home): string => join(home.run, 'host-upgrade.state');
const markFile = (home: Home): string => join(home.run, 'host-upgrade.json');

export function writeCarried(path: string, host: CarriedHost): void {
  const apart = { ring: undefined, unparsed: undefined, pending: undefined };
  const sessions = host.sessions.map((session) => ({ ...session, ...apart }));
  const head = Buffer.from(JSON.stringify({ ...host, sessions }));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(head.length);
  const bytes = host.sessions.flatMap((session) => [session.ring, session.unparsed, ...session.pending]);
  writeFileSync(path, Buffer.concat([length, head, ...bytes]), { mode: 0o600 });
}

/** Throws if it can't be understood. */
export function readCarried(path: string): CarriedHost {
  const bytes = readFileSync(path);
  let at = lengthBytes + bytes.readUInt32BE(0);
  const host = carriedHostSchema.parse(JSON.parse(bytes.toString('utf8', lengthBytes, at)));
  const take = (length: number): Buffer => {
    const part = Buffer.from(bytes.subarray(at, at + length));
    if (part.length !== length) throw new Error('the state of the former host is cut off');
    at += length;
    return part;
  };
  const sessions = host.sessions.map((session) => ({
    ...session,
    ring: take(session.ringLength),
    unparsed: take(session.unparsedLength),
    pending: (session.pty?.pending ?? []).map(({ length }) => take(length)),
  }));
  return { ...host, sessions };
}

export const markUpgrade = (home: Home, self: ProcessIdentity): void =>
  writeFileSync(markFile(home), JSON.stringify(self), { mode: 0o600 });

export function forgetUpgrade(home: Home): void {
  for (const path of [markFile(home), carriedFile(home)]) rmSync(path, { force: true });
}

/** The process that is being upgraded right now. */
export function upgradeUnderWay(home: Home): ProcessIdentity | undefined {
  try {
    const self = identitySchema.parse(JSON.parse(readFileSync(markFile(home), 'utf8')));
    return isAlive(self) ? self : undefined;
  } catch {
    // Absent, or torn by a crash: then its process is gone too.
    return undefined;
  }
}

const identitySchema = z.object({ pid: z.int(), startTicks: z.string(), bootId: z.string() });
