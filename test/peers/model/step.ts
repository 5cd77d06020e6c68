/**
 * What the scripted model can be told to do. A script is a list of steps; step k answers the k-th model request after the prompt that
 * chose the script, counted by the rounds of tool calls since then. Past its last step a script says that it is finished.
 */
import { z } from 'zod';

/** An answer is never held back longer than this: a test that needs more waits for nothing. `hang` is for the endless case. */
const pauseMsMax = 600_000;
const pause = z.int().min(0).max(pauseMsMax);

function oneOrMany<T extends z.ZodType>(schema: T) {
  return z.union([schema, z.array(schema).min(1)]);
}

const errorSchema = z.strictObject({
  status: z.int().min(400).max(599),
  type: z.string(),
  message: z.string(),
  code: z.string().optional(),
  /** Seconds, told to the client as each API tells it. */
  retryAfter: z.number().optional(),
  /** Fails only so often per prompt text, then the step goes through; without it, always. */
  times: z.int().min(1).optional(),
  headers: z.record(z.string(), z.string()).optional(),
});
export type ScriptedError = z.infer<typeof errorSchema>;

export const stepSchema = z.strictObject({
  think: z.string().optional(),
  text: z.string().optional(),
  /** Files to read, relative to the agent's working folder; so are all paths here. */
  read: oneOrMany(z.string()).optional(),
  /** `find` are whole lines, because one of the CLIs edits by patches. */
  edit: oneOrMany(z.strictObject({ path: z.string(), find: z.string().min(1), replace: z.string() })).optional(),
  write: oneOrMany(z.strictObject({ path: z.string(), content: z.string() })).optional(),
  /** Several commands are several calls in one answer. */
  shell: oneOrMany(z.string()).optional(),
  /** A call given literally: `args` for a function, `input` for a free-form tool. */
  tool: oneOrMany(
    z.strictObject({
      name: z.string(),
      args: z.record(z.string(), z.unknown()).optional(),
      input: z.string().optional(),
    }),
  ).optional(),
  /** Before the first byte. */
  delayMs: pause.optional(),
  /** After each piece of streamed text. */
  paceMs: pause.optional(),
  error: errorSchema.optional(),
  /** An error event inside a stream that began with status 200. */
  sseError: z.strictObject({ type: z.string(), message: z.string() }).optional(),
  /** Resets the connection in the middle of the stream. */
  cut: z.boolean().optional(),
  /** Never answers; the connection stays open until the client gives up. */
  hang: z.boolean().optional(),
  /** The stop reason in the API's own words. */
  stop: z.string().optional(),
  /** Ask for a person's approval where the tool has such a field. */
  escalate: z.boolean().optional(),
});
export type Step = z.infer<typeof stepSchema>;

export const scriptSchema = z.array(stepSchema).min(1);
export type Script = z.infer<typeof scriptSchema>;

export const conversationSchema = z.strictObject({
  /** Plain words that the prompt contains; white space and case do not matter. The longest that fits wins. */
  when: z.string().min(3),
  steps: scriptSchema,
});
export type Conversation = z.infer<typeof conversationSchema>;

export const conversationsSchema = z.strictObject({ conversations: z.array(conversationSchema).min(1) });
