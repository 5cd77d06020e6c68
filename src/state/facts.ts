/**
 * Everything concluded about one session, as plain JSON: it is kept with the session and read back after a restart.
 * `fuse` and `tick` are the only ones that make new facts; nothing changes facts in place.
 */
import { z } from 'zod';
import { stateChangeSchema } from '../protocol/session.ts';
import {
  evidenceSchema,
  evidenceSourceSchema,
  permissionAskSchema,
  sessionStateSchema,
  turnErrorSchema,
} from '../protocol/state.ts';

const turnSchema = z.object({
  /** 0 before the first. */
  number: z.int(),
  open: z.boolean(),
  startedAt: z.number().nullable(),
  /** The prompt as the agent received it, where a source tells. */
  accepted: z.string().nullable(),
  endedAt: z.number().nullable(),
  /** `interrupted` also where the prompt came back and nothing has told why. */
  end: z.enum(['ended', 'failed', 'interrupted']).nullable(),
});

const toolsSchema = z.object({
  /** Distinct calls: asked for, run to an end, of those failed. A denied call was asked and never ran. */
  asked: z.int(),
  ran: z.int(),
  failed: z.int(),
  /** The latest `toolCallsKept` of them, oldest first. */
  calls: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      phase: z.enum(['asked', 'started', 'ended']),
      ok: z.boolean().nullable(),
    }),
  ),
});

/** A claim that may not change the state at once and waits out its quiet time. */
const pendingSchema = z.object({ evidence: evidenceSchema, since: z.number(), dueAt: z.number() });

export const sessionFactsSchema = z.object({
  launchedAt: z.number(),
  state: sessionStateSchema,
  since: z.number(),
  /** What made the state. */
  evidence: evidenceSchema,
  /** The most trusted source that has claimed this state, and when it last did. */
  holder: z.object({ source: evidenceSourceSchema, at: z.number() }),
  /** Sources that themselves have claimed this state since it began. */
  claimedBy: z.array(evidenceSourceSchema),
  /** Until then a failure or retry may still overrule the end of the turn. */
  provisionalUntil: z.number().nullable(),
  pending: pendingSchema.nullable(),
  permission: permissionAskSchema.nullable(),
  turn: turnSchema,
  tools: toolsSchema,
  /** Of the current or last turn. */
  error: turnErrorSchema.nullable(),
  message: z.string().nullable(),
  resumeId: z.string().nullable(),
  transcriptPath: z.string().nullable(),
  /** When anything at all was last observed. */
  lastEvidenceAt: z.number(),
  /** The last evidence of each source. */
  last: z.partialRecord(evidenceSourceSchema, evidenceSchema),
  /** Latest last; at most `changesKept` and `evidenceKept`. */
  changes: z.array(stateChangeSchema),
  recent: z.array(evidenceSchema),
});
export type SessionFacts = z.infer<typeof sessionFactsSchema>;
export type PendingClaim = z.infer<typeof pendingSchema>;

/** A session that was just launched. */
export function initialFacts(at: number): SessionFacts {
  const evidence = { source: 'control', at, reason: 'launched', state: 'starting' } as const;
  return {
    launchedAt: at,
    state: 'starting',
    since: at,
    evidence,
    holder: { source: 'control', at },
    claimedBy: ['control'],
    provisionalUntil: null,
    pending: null,
    permission: null,
    turn: { number: 0, open: false, startedAt: null, accepted: null, endedAt: null, end: null },
    tools: { asked: 0, ran: 0, failed: 0, calls: [] },
    error: null,
    message: null,
    resumeId: null,
    transcriptPath: null,
    lastEvidenceAt: at,
    last: {},
    changes: [],
    recent: [evidence],
  };
}
