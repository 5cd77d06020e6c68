/**
 * What Codex 0.169 can keep for one session: it can be started without its web search. Its rules for commands (`*.rules`) are read from
 * CODEX_HOME and from the repository only, which are the user's and the repository's; it has none for paths.
 */
import type { PermissionRule } from '../../protocol/rules.ts';

const isSearchDenied = ({ decision, tool }: PermissionRule): boolean => decision === 'deny' && tool === 'search';

export const codexRuleArgs = (rules: readonly PermissionRule[]): readonly string[] =>
  rules.some(isSearchDenied) ? ['-c', 'web_search="disabled"'] : [];

export function whyCodexCannot(rule: PermissionRule): string | undefined {
  if (isSearchDenied(rule)) return undefined;
  return rule.tool === 'search'
    ? 'Codex can only be started with or without its web search'
    : 'Codex has no rules for a single session but its sandbox, which `permissions` chooses';
}
