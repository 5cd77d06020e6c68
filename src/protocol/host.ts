/**
 * What the daemon and the PTY host say to each other over a unix socket.
 *
 * Frame: `u32 length` (of what follows), `u8 kind`, body; numbers are big-endian.
 *   kind 0 message: UTF-8 JSON of one `hostRequest` (to the host), `hostReply` or `hostNotice` (from it)
 *   kind 1 output:  `u32 subscription`, `u64 offset`, bytes: what a session printed, `offset` counted from its first byte
 * The first request on a connection is `hello` with the token; any other, or a frame over `frameBytesMax`, closes the connection.
 * Output is sent only within the subscription's credit. A subscriber that falls out of the ring gets `gap` and goes on at its offset.
 */
import { z } from 'zod';
import { sessionExitSchema } from './session.ts';

export const hostProtocolVersion = 1;

/** A frame larger than this is a defect or an attack; the connection is closed. Inputs of up to 1 MB fit. */
export const frameBytesMax = 4 * 1024 * 1024;
export const frameKinds = { message: 0, output: 1 } as const;

/** Input ids of a person's keys begin so: they come in thousands, and nobody asks for one again after some seconds. */
export const keysInputPrefix = 'keys-';

export const spawnSchema = z.strictObject({
  sessionId: z.string().regex(/^[a-z0-9-]{1,64}$/),
  /** Secret mark of everything this session starts, given to the child as MUSTER_INSTANCE. */
  instance: z.string().min(8).max(100),
  file: z.string().min(1),
  args: z.array(z.string()),
  cwd: z.string().min(1),
  /** The whole environment; the host adds only TERM, COLORTERM, MUSTER_SESSION and MUSTER_INSTANCE. */
  env: z.record(z.string(), z.string()),
  cols: z.int().min(2).max(1000),
  rows: z.int().min(2).max(1000),
  /** Directory of the session: the host writes `session.cast` and `tombstone.json` there. */
  dir: z.string().min(1),
  /** Recording stops (with a mark) at this size. 0: no recording. */
  recordingBytesMax: z.int().min(0),
  /** The kernel keeps the session under it, where the host can have it do so. Absent: no limit. */
  memoryBytesMax: z.int().min(1).optional(),
  /** Title in the recording's header, e.g. `claude 2.1.328 j12`. */
  title: z.string().max(200),
});
export type Spawn = z.infer<typeof spawnSchema>;

export const hostSessionSchema = z.object({
  sessionId: z.string(),
  instance: z.string(),
  pid: z.int(),
  startTicks: z.string(),
  spawnedAt: z.number(),
  cols: z.int(),
  rows: z.int(),
  /** Bytes printed so far, and the oldest byte that the ring still has. */
  offset: z.number(),
  ringOffset: z.number(),
  lastOutputAt: z.number().nullable(),
  title: z.string(),
  /** The OSC 7501 records in force, as last reported: id → text after `7501;`. */
  programStatus: z.record(z.string(), z.string()),
  /** Set once it has ended; kept until acknowledged. */
  exit: sessionExitSchema.nullable(),
});
export type HostSession = z.infer<typeof hostSessionSchema>;

export const screenSchema = z.object({
  rows: z.array(z.string()),
  cursor: z.object({ x: z.int(), y: z.int() }),
  alternate: z.boolean(),
});

const bySession = z.strictObject({ sessionId: z.string() });

/** Each method's parameters and result. */
export const hostMethods = {
  hello: {
    params: z.strictObject({ version: z.int(), token: z.string() }),
    result: z.object({
      version: z.int(),
      pid: z.int(),
      startedAt: z.number(),
      bootId: z.string(),
      /** Names the code that runs; how often it was upgraded in place, and why the last time failed, if it did. */
      code: z.string().optional(),
      upgrades: z.int().optional(),
      upgradeFault: z.string().nullable().optional(),
    }),
  },
  /** Asking again with the same sessionId answers with the session that is there (`already: true`) and starts nothing. */
  spawn: { params: spawnSchema, result: z.object({ session: hostSessionSchema, already: z.boolean() }) },
  list: {
    params: z.strictObject({}),
    result: z.object({ sessions: z.array(hostSessionSchema), rssBytes: z.number() }),
  },
  /** Applied at most once per `inputId` and session; `applied: 'before'` says that it had been written already. */
  write: {
    params: z.strictObject({
      sessionId: z.string(),
      inputId: z.string().min(1).max(120),
      data: z.string().max(1_000_000),
    }),
    result: z.object({ applied: z.enum(['now', 'before']), at: z.number() }),
  },
  /** When the given inputs were written, null for those that never were. */
  inputs: {
    params: z.strictObject({ sessionId: z.string(), inputIds: z.array(z.string()).max(100) }),
    result: z.object({ at: z.record(z.string(), z.number().nullable()) }),
  },
  resize: {
    params: z.strictObject({ sessionId: z.string(), cols: z.int().min(2).max(1000), rows: z.int().min(2).max(1000) }),
    result: z.object({}),
  },
  /** The signal goes to the whole process group; after `graceMs` whatever still carries the instance mark is killed. Answers when the last is gone. */
  end: {
    params: z.strictObject({
      sessionId: z.string(),
      signal: z.enum(['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGKILL']),
      graceMs: z.int().min(0).max(60_000),
    }),
    result: z.object({ exit: sessionExitSchema.nullable(), swept: z.int() }),
  },
  /** `data` written into an empty terminal of that size gives the same screen; output from `offset` on continues it. */
  snapshot: {
    params: bySession,
    result: z.object({
      offset: z.number(),
      cols: z.int(),
      rows: z.int(),
      data: z.string(),
      screen: screenSchema,
      title: z.string(),
    }),
  },
  /** The last lines of the terminal's history, as text. */
  tail: {
    params: z.strictObject({ sessionId: z.string(), lines: z.int().min(1).max(5000) }),
    result: z.object({ lines: z.array(z.string()) }),
  },
  subscribe: {
    params: z.strictObject({ sessionId: z.string(), from: z.number().min(0), creditBytes: z.int().min(1) }),
    result: z.object({ subscription: z.int(), from: z.number() }),
  },
  credit: { params: z.strictObject({ subscription: z.int(), bytes: z.int().min(1) }), result: z.object({}) },
  unsubscribe: { params: z.strictObject({ subscription: z.int() }), result: z.object({}) },
  /** From now on this connection gets `signal`, `screen` and `exited` notices for every session. */
  watch: { params: z.strictObject({}), result: z.object({}) },
  /** Adds an `["e"]` entry to the session's recording. */
  note: {
    params: z.strictObject({ sessionId: z.string(), source: z.string(), payload: z.unknown() }),
    result: z.object({}),
  },
  /** Forgets an ended session: its tombstone is removed, its recording stays. */
  acknowledge: { params: bySession, result: z.object({}) },
  /**
   * The host becomes the given program, which goes on with all sessions; the connection breaks then. An answer comes only if it could not:
   * `upgrade-failed` with the reason, and everything goes on as it was.
   */
  upgrade: {
    params: z.strictObject({
      file: z.string().min(1),
      args: z.array(z.string()),
      env: z.record(z.string(), z.string()),
    }),
    result: z.object({}),
  },
  /** Ends the host. With live sessions it refuses unless they are to be ended too. */
  shutdown: { params: z.strictObject({ sessions: z.enum(['end', 'refuse']) }), result: z.object({}) },
} as const;
export type HostMethod = keyof typeof hostMethods;
export type HostParams<M extends HostMethod> = z.infer<(typeof hostMethods)[M]['params']>;
export type HostResult<M extends HostMethod> = z.infer<(typeof hostMethods)[M]['result']>;

export const hostRequestSchema = z.object({ id: z.int(), method: z.string(), params: z.unknown() });
export const hostErrorCodes = [
  'bad-request',
  'unauthorized',
  'version',
  'no-session',
  'not-running',
  'spawn-failed',
  'busy',
  'disk-full',
  'upgrade-failed',
  'internal',
] as const;
export const hostReplySchema = z.union([
  z.object({ id: z.int(), result: z.unknown() }),
  z.object({ id: z.int(), error: z.object({ code: z.enum(hostErrorCodes), message: z.string() }) }),
]);
export type HostErrorCode = (typeof hostErrorCodes)[number];

/** What the host tells without being asked. `offset` is the number of bytes printed before it. */
export const hostNoticeSchema = z.discriminatedUnion('notice', [
  z.object({
    notice: z.literal('signal'),
    sessionId: z.string(),
    at: z.number(),
    offset: z.number(),
    kind: z.enum(['title', 'osc7501', 'notification', 'bell']),
    text: z.string().max(8192),
  }),
  z.object({
    notice: z.literal('screen'),
    sessionId: z.string(),
    at: z.number(),
    offset: z.number(),
    screen: screenSchema,
  }),
  z.object({ notice: z.literal('resized'), sessionId: z.string(), cols: z.int(), rows: z.int() }),
  /** The connection will break in a moment, and a new one finds the same sessions. */
  z.object({ notice: z.literal('upgrading') }),
  z.object({ notice: z.literal('gap'), subscription: z.int(), offset: z.number() }),
  z.object({
    notice: z.literal('exited'),
    sessionId: z.string(),
    exit: sessionExitSchema,
    offset: z.number(),
    swept: z.int(),
  }),
]);
export type HostNotice = z.infer<typeof hostNoticeSchema>;
