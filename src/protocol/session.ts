/** What the faces see of a session. */
import { z } from 'zod';
import { unkeptRuleSchema } from './rules.ts';
import {
  evidenceSchema,
  evidenceSourceSchema,
  permissionAskSchema,
  sessionStateSchema,
  turnErrorSchema,
} from './state.ts';

export const agentIds = ['claude', 'codex', 'qwen', 'gemini', 'opencode', 'pi'] as const;
export type AgentId = (typeof agentIds)[number];

/**
 * What became of one input. accepted: the agent showed that it received it · refused: nothing was typed · unknown: typed, and no proof
 * came in time (it is never typed again). `queuedMs`: how long it waited for the agent's prompt before.
 */
const queuedMs = z.number().optional();
export const receiptSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('accepted'), at: z.number(), by: evidenceSourceSchema, reason: z.string(), queuedMs }),
  z.object({ kind: z.literal('refused'), at: z.number(), reason: z.string(), queuedMs }),
  z.object({ kind: z.literal('unknown'), at: z.number(), tried: z.string(), queuedMs }),
]);
export type Receipt = z.infer<typeof receiptSchema>;

export const sessionExitSchema = z.object({ code: z.int().nullable(), signal: z.string().nullable(), at: z.number() });
export type SessionExit = z.infer<typeof sessionExitSchema>;

/** own: on a PTY of ours · tmux, cmux: started by a person in a terminal of theirs, and adopted. */
export const sessionKinds = ['own', 'tmux', 'cmux'] as const;

export const sessionViewSchema = z.object({
  id: z.string(),
  /** Kept by a pool: warm stands ready before any job, cold stayed after one. */
  pool: z.enum(['warm', 'cold']).nullable(),
  kind: z.enum(sessionKinds),
  /** Where an adopted one lives, as `session adopt` takes it: `tmux:work/%3`, `cmux:UUID`. */
  place: z.string().nullable(),
  /** What an adopted one is called: `Codex 1`. */
  role: z.string().nullable(),
  agent: z.string(),
  agentVersion: z.string(),
  /** False if the version is outside the range that the adapter was tested with. */
  agentTested: z.boolean(),
  persona: z.string(),
  /** Null where it has none: adopted, or older than versions. */
  personaVersion: z.string().nullable(),
  /** Rules of its persona that its agent has no means to keep. */
  unkeptRules: z.array(unkeptRuleSchema),
  title: z.string(),
  cwd: z.string(),
  pid: z.int().nullable(),
  state: sessionStateSchema,
  since: z.number(),
  source: evidenceSourceSchema,
  reason: z.string(),
  permission: permissionAskSchema.nullable(),
  error: turnErrorSchema.nullable(),
  resumeId: z.string().nullable(),
  turns: z.int(),
  toolCalls: z.int(),
  startedAt: z.number(),
  lastOutputAt: z.number().nullable(),
  /** Of everything that carries its mark, as last measured; null before the first time and after its end. */
  memoryBytes: z.number().nullable(),
  exit: sessionExitSchema.nullable(),
  /** How often its conversation was gone on with in a new process, after the PTY host had died; absent: never. */
  resumes: z.int().optional(),
  cols: z.int(),
  rows: z.int(),
});
export type SessionView = z.infer<typeof sessionViewSchema>;

/** One step in a session's story: the state it went to and the evidence that made it. */
export const stateChangeSchema = z.object({
  from: sessionStateSchema,
  to: sessionStateSchema,
  at: z.number(),
  evidence: evidenceSchema,
});
export type StateChange = z.infer<typeof stateChangeSchema>;

export const sessionWhySchema = z.object({
  session: sessionViewSchema,
  changes: z.array(stateChangeSchema),
  evidence: z.array(evidenceSchema),
});
export type SessionWhy = z.infer<typeof sessionWhySchema>;
