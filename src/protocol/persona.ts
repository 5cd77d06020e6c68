/** Personas as they cross a process line: what one is when everything that it extends is put together, and where it came from. */
import { z } from 'zod';
import { permissionModeSchema, permissionRuleSchema, unkeptRuleSchema } from './rules.ts';
import { agentIds } from './session.ts';

export const personaOrigins = ['built-in', 'home', 'project'] as const;
export type PersonaOrigin = (typeof personaOrigins)[number];

export const personaSourceSchema = z.object({
  name: z.string(),
  origin: z.enum(personaOrigins),
  /** Null where it is built in. */
  path: z.string().nullable(),
});
export type PersonaSource = z.infer<typeof personaSourceSchema>;

export const personaLimitsSchema = z.object({
  toolCalls: z.int().optional(),
  ageMinutes: z.number().optional(),
});

export const resolvedPersonaSchema = z.object({
  name: z.string(),
  /** The first 16 hexadecimal digits of the SHA-256 of all that follows, except the sources. */
  version: z.string(),
  description: z.string().nullable(),
  agent: z.enum(agentIds).nullable(),
  model: z.string().nullable(),
  /** Null: as the configuration says for the agent. */
  permissions: permissionModeSchema.nullable(),
  rules: z.array(permissionRuleSchema),
  /** What becomes of a start with an agent that can't keep a rule and would do more than it says. */
  unkeptRules: z.enum(['refuse', 'tell']),
  /** Globs from the repository's root; empty: the whole repository. */
  scopePatterns: z.array(z.string()),
  /** The kinds of tools it may use; null: all. What is not named is among the rules as deny. */
  tools: z.array(z.string()).nullable(),
  skills: z.array(z.string()),
  limits: personaLimitsSchema,
  /** What the agent reads. */
  text: z.string(),
  /** Itself first, then what it extends. */
  sources: z.array(personaSourceSchema),
});
export type ResolvedPersona = z.infer<typeof resolvedPersonaSchema>;

/** Whether the personas of a project are read: `none` has none, `changed` was trusted when its folder held something else. */
export const projectTrustSchema = z.object({
  /** The repository's root. */
  path: z.string(),
  folder: z.string(),
  state: z.enum(['none', 'untrusted', 'trusted', 'changed']),
  /** Of the folder as it is now; empty where there is none. */
  hash: z.string(),
  names: z.array(z.string()),
  trustedAt: z.number().nullable(),
});
export type ProjectTrust = z.infer<typeof projectTrustSchema>;

export const personaProblemSchema = z.object({ code: z.string(), message: z.string() });

/** One line of the list. A file that can't be used is listed with what is wrong with it. */
export const listedPersonaSchema = z.object({
  name: z.string(),
  origin: z.enum(personaOrigins),
  path: z.string().nullable(),
  /** Null if it is in force; else what is in its place. */
  hiddenBy: z.string().nullable(),
  persona: resolvedPersonaSchema.nullable(),
  problem: personaProblemSchema.nullable(),
});
export type ListedPersona = z.infer<typeof listedPersonaSchema>;

export const agentRulesSchema = z.object({ agent: z.enum(agentIds), unkept: z.array(unkeptRuleSchema) });

export const personaDetailSchema = z.object({
  persona: resolvedPersonaSchema,
  /** The file as it is written; null where it is built in. */
  source: z.string().nullable(),
  /** For the agent that it names, or for every agent. */
  agents: z.array(agentRulesSchema),
});
export type PersonaDetail = z.infer<typeof personaDetailSchema>;

export const personaListSchema = z.object({
  personas: z.array(listedPersonaSchema),
  folder: z.string(),
  project: projectTrustSchema.nullable(),
});
export type PersonaList = z.infer<typeof personaListSchema>;
