/** Writing events: numbered inside the step's transaction, so that numbers have no gaps, and bounded, because their texts come from outside. */
import { sql, type Transaction } from 'kysely';
import { assert } from '../base/assert.ts';
import { clip } from '../base/text.ts';
import { type EventType, eventTypes, type LedgerEvent } from '../protocol/job.ts';
import type { LedgerSchema } from './schema.ts';
import { eventOf, numberOf } from './views.ts';

export interface EventOf {
  readonly type: EventType;
  readonly jobId?: string | undefined;
  readonly attemptId?: string | undefined;
  readonly sessionId?: string | undefined;
  /** JSON values only. Larger than `eventBytesMax` as JSON, its longest texts are clipped and `clipped: true` is added. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/** [L18] An event is a fact with its evidence, not a store of output: 64 KB hold the end of a test run, and a million events stay readable. */
export const eventBytesMax = 64 * 1024;

/** Must run inside the step's transaction. */
export async function appendEvent(trx: Transaction<LedgerSchema>, at: number, event: EventOf): Promise<LedgerEvent> {
  assert(eventTypes.includes(event.type), `event type ${event.type} is in the list`);
  const job = event.jobId === undefined ? null : numberOf('j', event.jobId);
  assert(job !== undefined, `job id of an event is well formed`);
  const row = await trx
    .insertInto('event')
    .values({
      seq: sql<number>`(select coalesce(max(seq), 0) + 1 from event)`,
      at,
      type: event.type,
      job,
      attempt: event.attemptId ?? null,
      session: event.sessionId ?? null,
      data: boundedJson(event.data ?? {}),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return eventOf(row);
}

/** JSON of at most `eventBytesMax` bytes: texts are clipped to ever shorter lengths; what is too wide even then is left out altogether. */
export function boundedJson(data: Readonly<Record<string, unknown>>): string {
  const whole = JSON.stringify(data);
  if (Buffer.byteLength(whole) <= eventBytesMax) return whole;
  for (const textMax of [16_000, 4000, 1000, 200]) {
    const clipped = JSON.stringify({ ...data, clipped: true }, (_key, value: unknown) =>
      typeof value === 'string' ? clip(value, textMax) : value,
    );
    if (Buffer.byteLength(clipped) <= eventBytesMax) return clipped;
  }
  return JSON.stringify({
    clipped: true,
    keys: Object.keys(data)
      .slice(0, 20)
      .map((key) => clip(key, 100)),
  });
}
