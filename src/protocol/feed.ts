/**
 * The two WebSocket conversations.
 *
 * `/api/feed?after=SEQ`: everything that happens, from an event number on. The server first sends `hello` and the sessions as they are,
 * then events and session views as they change. A reader that falls behind is closed with code 4008 and comes back with its last `seq`.
 *
 * `/api/sessions/:id/terminal?mode=view|control`: one session's terminal. The server sends a `snapshot` (what to write into an empty
 * terminal of that size), then raw output as binary messages; `gap` says that output was skipped because this reader was too slow, and
 * a new `snapshot` follows. The reader acknowledges bytes it has drawn; only `control` may send `input` and `resize`.
 */
import { z } from 'zod';
import { eventSchema, totalsSchema } from './job.ts';
import { sessionExitSchema, sessionViewSchema } from './session.ts';

export const feedMessageSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('hello'),
    version: z.string(),
    lastEvent: z.int(),
    totals: totalsSchema,
    sessions: z.array(sessionViewSchema),
  }),
  z.object({ type: z.literal('event'), event: eventSchema, totals: totalsSchema }),
  z.object({ type: z.literal('session'), session: sessionViewSchema }),
  /** It is listed no more: an adopted one was released. */
  z.object({ type: z.literal('session-gone'), sessionId: z.string() }),
]);
export type FeedMessage = z.infer<typeof feedMessageSchema>;

export const terminalFromServerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('snapshot'), cols: z.int(), rows: z.int(), data: z.string(), offset: z.number() }),
  z.object({ type: z.literal('resized'), cols: z.int(), rows: z.int() }),
  z.object({ type: z.literal('gap') }),
  z.object({ type: z.literal('exited'), exit: sessionExitSchema }),
  z.object({ type: z.literal('refused'), reason: z.string() }),
]);
export type TerminalFromServer = z.infer<typeof terminalFromServerSchema>;

export const terminalFromClientSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('input'), data: z.string().max(1_000_000) }),
  z.object({ type: z.literal('resize'), cols: z.int().min(2).max(1000), rows: z.int().min(2).max(1000) }),
  z.object({ type: z.literal('ack'), bytes: z.number().min(0) }),
]);
export type TerminalFromClient = z.infer<typeof terminalFromClientSchema>;
