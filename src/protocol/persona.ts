/**
 * Personas as they cross a process line: what one is when everything it extends is put together, and its permission rules.
 *
 * A rule says allow, ask or deny of a kind of tool, perhaps only for a command, path or domain. Of several that fit, deny wins over ask and
 * ask over allow. A command is the whole command line, or its beginning where it ends in ` *`; a path is a glob from the worktree's
 * root. Rules keep an agent to its task; they are no wall against one that means harm (`sh -c` says anything in other words).
 */
import { z } from 'zod';
import { agentIds } from './session.ts';

export const permissionModes = ['ask', 'edits', 'all'] as const;
export const permissionModeSchema = z.enum(permissionModes);
export type PermissionMode = z.infer<typeof permissionModeSchema>;

/** shell: commands · read, edit: files · fetch: a web address · search: the web · agent: agents that the agent starts itself. */
export const toolKinds = ['shell', 'read', 'edit', 'fetch', 'search', 'agent'] as const;
export type ToolKind = (typeof toolKinds)[number];

/** A tool of an MCP server, `mcp:server/tool`, or all of its tools, `mcp:server`. */
export const mcpToolForm = /^mcp:([A-Za-z0-9][A-Za-z0-9_-]{0,63})(?:\/([A-Za-z0-9_-]{1,64}))?$/;

export const ruleDecisions = ['allow', 'ask', 'deny'] as const;
export type RuleDecision = (typeof ruleDecisions)[number];

export const permissionRuleSchema = z.object({
  decision: z.enum(ruleDecisions),
  /** One of `toolKinds`, or of the form `mcpToolForm`. */
  tool: z.string(),
  /** With tool shell only. */
  command: z.string().optional(),
  /** With tool read or edit only. */
  path: z.string().optional(),
  /** With tool fetch only; its subdomains are meant too. */
  domain: z.string().optional(),
});
export type PermissionRule = z.infer<typeof permissionRuleSchema>;

/** A rule for people: `deny shell "git push *"`. */
export function ruleText({ decision, tool, command, path, domain }: PermissionRule): string {
  const what = command ?? path ?? domain;
  return `${decision} ${tool}${what === undefined ? '' : ` "${what}"`}`;
}

/** A rule that an agent has no means to keep. */
export const unkeptRuleSchema = z.object({
  rule: z.string(),
  reason: z.string(),
  /** True: the agent may do more than the rule says. False: it asks more often than it would have to. */
  weaker: z.boolean(),
});
export type UnkeptRule = z.infer<typeof unkeptRuleSchema>;

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
