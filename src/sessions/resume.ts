/**
 * Going on with a conversation whose process died with its host ([C9], [C10]). Pure: what must be known for it, and what the session's
 * record is afterwards. `sessions.ts` acts on it when a host does not have a session any more.
 *
 * A session is resumed at most once, under its own id, and only by the conversation id that its agent itself told while it ran. Order of
 * what happens: sweep of what carries the old mark, last words out of the agent's files, the renewed record on disk, the new process.
 */
import { z } from 'zod';
import type { Launch, LaunchPlan } from '../agents/agent.ts';
import { permissionModeSchema, permissionRuleSchema } from '../protocol/rules.ts';
import type { Evidence } from '../protocol/state.ts';
import { evidenceSourceSchema } from '../protocol/state.ts';
import { initialFacts, type SessionFacts } from '../state/index.ts';
import { lastBegun } from './begun.ts';
import type { SessionRecord } from './record.ts';

/** How it was started, without its environment: that is asked for anew, because it may hold keys. */
export const startedWithSchema = z.object({
  file: z.string(),
  args: z.array(z.string()),
  permissions: permissionModeSchema,
  rules: z.array(permissionRuleSchema),
  model: z.string().nullable(),
  extraArgs: z.array(z.string()),
});

export type StartedWith = z.infer<typeof startedWithSchema>;

export const resumedSchema = z.object({
  at: z.number(),
  /** Of the process that died. */
  pid: z.int().nullable(),
  /** A turn was running; nobody will end it. */
  cut: z.boolean(),
  /** The input that was typed last into the process that died, and the agent's word that it received it. */
  pasted: z
    .object({
      inputId: z.string(),
      accepted: z.object({ at: z.number(), by: evidenceSourceSchema, reason: z.string() }).nullable(),
    })
    .nullable(),
});

export const resumesMax = 1;

/** The id to go on with, or why there is none to be trusted. */
export function resumable(record: SessionRecord): { readonly resumeId: string } | { readonly not: string } {
  if (record.adopted !== undefined) return { not: 'it is not ours' };
  if (record.endAsked) return { not: 'it was to end' };
  if ((record.resumes ?? 0) >= resumesMax) return { not: 'it was resumed once before' };
  if (record.facts.turn.number === 0) return { not: 'nothing had been said in it' };
  if (record.toldResumeId === undefined) return { not: 'its agent had not told the id of its conversation' };
  if (record.startedWith === undefined) return { not: 'how it was started is not known' };
  return { resumeId: record.toldResumeId };
}

export const relaunchPlan = (
  session: { readonly record: SessionRecord; readonly dir: string },
  { file, args, permissions, rules, model, extraArgs }: StartedWith,
  { env, resumeId }: { readonly env: Readonly<Record<string, string>>; readonly resumeId: string },
): LaunchPlan => ({
  found: { file, args, version: session.record.agentVersion },
  dir: session.dir,
  cwd: session.record.cwd,
  env,
  permissions,
  rules,
  model: model ?? undefined,
  resumeId,
  extraArgs,
});

export const resumeReason = (resumeId: string): string =>
  `the PTY host died; conversation ${resumeId} is gone on with in a new process`;

/** How the turn ended stays; of one that ran it is only known that it was cut. Everything else begins anew. */
export function renewedFacts(before: SessionFacts, resumeId: string, at: number): SessionFacts {
  const evidence: Evidence = { source: 'control', at, reason: resumeReason(resumeId), state: 'starting', resumeId };
  const { turn } = before;
  return {
    ...initialFacts(at),
    evidence,
    resumeId,
    turn: turn.open ? { ...turn, open: false, endedAt: at, end: 'interrupted' } : turn,
    message: turn.open ? null : before.message,
    error: turn.open ? null : before.error,
    changes: [...before.changes, { from: before.state, to: 'starting', at, evidence }],
    recent: [...before.recent, evidence],
  };
}

export function renewedRecord(
  record: SessionRecord,
  { at, resumeId, instance, launch }: { at: number; resumeId: string; instance: string; launch: Launch },
): Partial<SessionRecord> {
  const { turn, recent } = record.facts;
  const pasted = lastBegun(record);
  const proof = recent.find((each) => each.at >= (turn.startedAt ?? 0) && each.source !== 'control');
  const received = pasted !== undefined && (turn.startedAt ?? 0) >= pasted.at && proof !== undefined;
  return {
    instance,
    pid: null,
    startTicks: null,
    watches: [...launch.watches],
    rowsOffset: 0,
    incarnation: (record.incarnation ?? 1) + 1,
    resumes: (record.resumes ?? 0) + 1,
    resumed: {
      at,
      pid: record.pid,
      cut: turn.open,
      pasted: pasted
        ? {
            inputId: pasted.inputId,
            accepted: received
              ? { at: turn.startedAt ?? at, by: proof.source, reason: `${proof.reason}, before the PTY host died` }
              : null,
          }
        : null,
    },
    facts: renewedFacts(record.facts, resumeId, at),
  };
}
