/**
 * Permission rules of a persona. A rule says allow, ask or deny of a kind of tool, perhaps only for a command, path or domain. Of several
 * that fit, deny wins over ask and ask over allow. A command is the whole command line, or its beginning where it ends in ` *`; a path
 * is a glob from the worktree's root. Rules keep an agent to its task; they are no wall against one that means harm (`sh -c` says
 * anything in other words).
 */
import { z } from 'zod';

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
