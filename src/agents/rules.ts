/**
 * Permission rules in the words of Claude Code, which Qwen Code took over: `Bash(git push:*)`, `Edit(//home/me/tree/src/**)`,
 * `WebFetch(domain:example.org)`, `mcp__server__tool`, in lists `allow`, `ask` and `deny` of which deny wins over ask over allow.
 *
 * A path is given from the root of the file system (`//`): a relative one would be taken from a place that the version decides, and one
 * without a slash at any depth. What a rule can't say in these words is left out and told by the adapter's `unkeptRules`.
 */
import { realpath } from 'node:fs/promises';
import { Fault } from '../base/fault.ts';
import {
  mcpToolForm,
  type PermissionRule,
  type RuleDecision,
  ruleDecisions,
  ruleText,
  type ToolKind,
  type UnkeptRule,
} from '../protocol/rules.ts';

export interface RuleWords {
  /** The agent's names for all tools of a kind, used by rules without a detail. */
  readonly tools: Readonly<Record<ToolKind, readonly string[]>>;
  /** The agent's name that a detail is added to, standing for all tools of the kind. */
  readonly detailed: Readonly<Record<'shell' | 'read' | 'edit' | 'fetch', string>>;
}

export type RuleLists = Readonly<Record<RuleDecision, readonly string[]>>;

/** `keep` says which of the rules this agent can express. */
export async function ruleLists(
  rules: readonly PermissionRule[],
  { words, cwd, keep }: { words: RuleWords; cwd: string; keep: (rule: PermissionRule) => boolean },
): Promise<RuleLists> {
  const roots = [...new Set([cwd, await realpath(cwd).catch(() => cwd)])];
  const kept = rules.filter(keep);
  if (kept.some(({ path }) => path !== undefined)) for (const root of roots) checkRoot(root);
  const list = (decision: RuleDecision): string[] =>
    kept.filter((rule) => rule.decision === decision).flatMap((rule) => sayings(rule, words, roots));
  return Object.fromEntries(ruleDecisions.map((decision) => [decision, list(decision)])) as Record<
    RuleDecision,
    string[]
  >;
}

function sayings(
  { tool, command, path, domain }: PermissionRule,
  words: RuleWords,
  roots: readonly string[],
): string[] {
  const [, server, mcpTool] = mcpToolForm.exec(tool) ?? [];
  if (server !== undefined) return [mcpTool === undefined ? `mcp__${server}` : `mcp__${server}__${mcpTool}`];
  const { shell, fetch } = words.detailed;
  if (command !== undefined) return [`${shell}(${command.replace(/ \*$/, ':*')})`];
  if (domain !== undefined) return [`${fetch}(domain:${domain})`];
  const kind = tool as ToolKind;
  if (path === undefined) return [...words.tools[kind]];
  return roots.map((root) => `${words.detailed[kind === 'read' ? 'read' : 'edit']}(/${root}/${path})`);
}

/** Its characters would be taken for a pattern. */
function checkRoot(root: string): void {
  if (!/[*?[\]{}()!\\]/.test(root)) return;
  throw new Fault('PERSONA_INVALID', `persona: rules with a path can't be said for the worktree ${root}`, {
    subject: 'persona',
    hint: 'Choose a folder for worktrees without the characters *?[]{}()!\\ (config.yaml, worktrees).',
  });
}

/** What `reason` has a word about can't be kept. An allow that is left out only makes the agent ask more often. */
export const unkeptAmong = (
  rules: readonly PermissionRule[],
  reason: (rule: PermissionRule) => string | undefined,
): UnkeptRule[] =>
  rules.flatMap((rule) => {
    const why = reason(rule);
    return why === undefined ? [] : [{ rule: ruleText(rule), reason: why, weaker: rule.decision !== 'allow' }];
  });
