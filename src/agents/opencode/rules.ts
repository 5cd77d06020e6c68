/**
 * opencode 1.18's `permission` setting, for this process only: per kind a decision, or a table from patterns to decisions of which the last
 * that fits wins (opencode.ai/docs/permissions). Hence the order: what the mode says, then allow, ask, deny.
 */
import type { PermissionMode, PermissionRule } from '../../protocol/rules.ts';

const decisions = ['allow', 'ask', 'deny'] as const;

const keys: Readonly<Record<string, string>> = {
  shell: 'bash',
  read: 'read',
  edit: 'edit',
  fetch: 'webfetch',
  search: 'websearch',
  agent: 'task',
};
/** Kinds whose patterns are the details that our rules have. */
const patterned = ['shell', 'read', 'edit'];

const byMode: Readonly<Record<PermissionMode, Readonly<Record<string, string>>>> = {
  ask: { bash: 'ask', edit: 'ask' },
  edits: { bash: 'ask', edit: 'allow' },
  all: { bash: 'allow', edit: 'allow', external_directory: 'allow', webfetch: 'allow' },
};

export function whyOpencodeCannot({ tool, domain }: PermissionRule): string | undefined {
  if (keys[tool] === undefined) return 'opencode names tools of MCP servers in a way that depends on its settings';
  return domain === undefined ? undefined : 'opencode has no rules for the domains of web addresses';
}

export function opencodePermission(mode: PermissionMode, rules: readonly PermissionRule[]): object {
  const setting: Record<string, string | Record<string, string>> = { ...byMode[mode] };
  const kept = rules.filter((rule) => whyOpencodeCannot(rule) === undefined);
  for (const decision of decisions) {
    for (const rule of kept.filter((one) => one.decision === decision)) add(setting, rule);
  }
  return setting;
}

function add(
  setting: Record<string, string | Record<string, string>>,
  { decision, tool, command, path }: PermissionRule,
): void {
  const key = keys[tool];
  if (key === undefined) return;
  if (!patterned.includes(tool)) {
    setting[key] = decision;
    return;
  }
  const before = setting[key];
  const table = typeof before === 'string' ? { '*': before } : (before ?? {});
  const pattern = command ?? path ?? '*';
  // A pattern that stands there already would keep its place in the order.
  const { [pattern]: _, ...others } = table;
  const bare = pattern.endsWith(' *') ? { [pattern.slice(0, -2)]: decision } : {};
  setting[key] = { ...others, ...bare, [pattern]: decision };
}
