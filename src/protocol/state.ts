/**
 * What is known about a session: its state, and the observations from which the state was concluded.
 *
 * An `Observation` is raw: something one source showed at one instant. An agent's adapter turns it into `Evidence`: what it
 * claims about the session. `state` folds evidence into one state. Everything in an observation is untrusted text.
 */
import { z } from 'zod';

/**
 * starting  launched, not yet at its prompt              setup     at a trust, login or onboarding screen
 * idle      at its prompt, no turn since                 working   a turn is running
 * permission waits for a yes or no to one tool call      question  waits for an answer to a question it asked by its tool
 * retrying  a turn is running, the model call failed and is tried again      limited   stopped by a usage limit
 * done      the last turn ended well, at its prompt      failed    the last turn ended with an error, at its prompt
 * stalled   a turn is running and nothing has been heard for too long        exited    ended with code 0 or as we asked
 * crashed   ended by itself with another code, or by a signal we did not send
 * unknown   no evidence since the control plane (re)started, or sources that can't be reached
 */
export const sessionStates = [
  'starting',
  'setup',
  'idle',
  'working',
  'permission',
  'question',
  'retrying',
  'limited',
  'done',
  'failed',
  'stalled',
  'exited',
  'crashed',
  'unknown',
] as const;
export const sessionStateSchema = z.enum(sessionStates);
export type SessionState = z.infer<typeof sessionStateSchema>;

/** Where evidence can come from; the order of trust is `state/ranks.ts`. */
export const evidenceSources = [
  'process',
  'stream',
  'hook',
  'sessionFile',
  'osc7501',
  'title',
  'notification',
  'transcript',
  'screen',
  'input',
  'control',
] as const;
export const evidenceSourceSchema = z.enum(evidenceSources);
export type EvidenceSource = z.infer<typeof evidenceSourceSchema>;

/** Raw, as a source showed it. `payload` has the shape that the source gives (recordings keep it as it is). */
export interface Observation {
  readonly at: number;
  readonly source: EvidenceSource;
  /**
   * process: `{code, signal, asked}` · hook: the hook's JSON · sessionFile: its JSON · osc7501: the sequence's text after `7501;` ·
   * title and notification: the text · transcript: one row's JSON · screen: `ScreenView` · input: `{inputId, phase}`
   */
  readonly payload: unknown;
}

/** The visible rows of a terminal, trailing blanks cut, and the cursor (0-based). */
export interface ScreenView {
  readonly rows: readonly string[];
  readonly cursor: { readonly x: number; readonly y: number };
  readonly alternate: boolean;
}

export const toolCallSchema = z.object({
  id: z.string().max(200),
  name: z.string().max(200),
  phase: z.enum(['asked', 'started', 'ended']),
  ok: z.boolean().optional(),
});
export type ToolCall = z.infer<typeof toolCallSchema>;

export const permissionAskSchema = z.object({
  /** Made by us from what the source gives; an answer must name it. */
  id: z.string().max(200),
  tool: z.string().max(200),
  /** One line: the command, the file, the URL. */
  summary: z.string().max(500),
  /** Id of the tool call that it is about, where the source tells. */
  callId: z.string().max(200).optional(),
  /** Who told it first in these words; words of two sources about one question differ. */
  by: evidenceSourceSchema.optional(),
});
export type PermissionAsk = z.infer<typeof permissionAskSchema>;

export const turnErrorSchema = z.object({
  kind: z.enum([
    'rate-limit',
    'usage-limit',
    'overloaded',
    'authentication',
    'invalid-request',
    'context-full',
    'policy-refusal',
    'network',
    'server',
    'other',
  ]),
  http: z.int().optional(),
  retryInMs: z.number().optional(),
  message: z.string().max(500),
});
export type TurnError = z.infer<typeof turnErrorSchema>;

/** One claim about a session. Only `source`, `at` and `reason` are always there. */
export const evidenceSchema = z.object({
  source: evidenceSourceSchema,
  at: z.number(),
  /** What was seen, in a few words a person understands: `hook Stop`, `7501 blocked permission`. */
  reason: z.string().max(300),
  state: sessionStateSchema.optional(),
  /** This end may be overruled within 300 ms. */
  provisional: z.boolean().optional(),
  /** A turn began or ended here; `accepted` is the prompt's text as the agent received it. */
  turn: z.enum(['started', 'ended', 'interrupted']).optional(),
  accepted: z.string().max(2000).optional(),
  tool: toolCallSchema.optional(),
  permission: permissionAskSchema.optional(),
  error: turnErrorSchema.optional(),
  /** The agent's own id of the conversation, by which it can be resumed. */
  resumeId: z.string().max(200).optional(),
  /** Where the agent writes the conversation. */
  transcriptPath: z.string().max(4096).optional(),
  /** The agent's last words of the turn, clipped. */
  message: z.string().max(4000).optional(),
});
export type Evidence = z.infer<typeof evidenceSchema>;
