/** What the configuration says about a project's pool. */
import { z } from 'zod';
import type { PoolPolicy } from '../sessions/index.ts';

const policySchema = z.strictObject({
  /** Sessions that stand ready for each persona. */
  warm: z.record(z.string(), z.int().min(0).max(50)).default({ fe: 1, be: 1, qa: 1 }),
  /** Who may go on in a session: jobs of the same persona, any job of the project, or none (a session per job). */
  reuse: z.enum(['persona', 'any', 'never']).default('persona'),
  warmMax: z.int().min(0).max(100).default(3),
  coldMax: z.int().min(0).max(100).default(3),
  idleMinutes: z.number().min(0.1).max(10_080).default(10),
  /** Agents drift: after so many tool calls a session finishes its turn and is replaced. */
  toolCalls: z.int().min(1).max(1_000_000).default(800),
  ageHours: z.number().min(0.1).max(720).default(24),
});

/** A project has a pool only if it says so: it starts agents on the person's account before there is any work. */
export const poolSchema = z.union([z.literal(true), policySchema]);

export function policyOf(given: z.infer<typeof poolSchema>): PoolPolicy {
  const { idleMinutes, ageHours, toolCalls, ...rest } = policySchema.parse(given === true ? {} : given);
  return { ...rest, idleMs: idleMinutes * 60_000, ageMs: ageHours * 3_600_000, toolCallsMax: toolCalls };
}
