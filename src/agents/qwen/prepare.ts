/**
 * Starts Qwen Code with this session's own hooks. They stand in a file of the lowest settings layer ("system defaults"), named by an
 * environment variable for this process only; Qwen adds hooks of all layers together, so the user's own keep running and win nowhere
 * less. Folder trust is off unless the user turned it on.
 */
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../base/fault.ts';
import type { PermissionRule } from '../../protocol/rules.ts';
import type { Launch, LaunchPlan } from '../agent.ts';
import { type Fields, fieldsOf } from '../reading.ts';
import { ruleLists } from '../rules.ts';
import { type HookScripts, writeHookScripts } from '../spool.ts';
import { qwenWords, whyQwenCannot } from './rules.ts';

const events = [
  'SessionStart',
  'SessionEnd',
  'UserPromptSubmit',
  'PreToolUse',
  'PermissionRequest',
  'PostToolUse',
  'PostToolUseFailure',
  'Stop',
  'StopFailure',
  'Notification',
  'PreCompact',
] as const;

/** Milliseconds, as Qwen wants it. */
const hookMs = 10_000;

const modes: Readonly<Record<LaunchPlan['permissions'], string>> = { ask: 'default', edits: 'auto-edit', all: 'yolo' };

export async function prepareQwen(plan: LaunchPlan): Promise<Launch> {
  const scripts = await writeHookScripts(plan.dir);
  const settings = join(plan.dir, 'qwen-defaults.json');
  await writeFile(settings, JSON.stringify(await sessionDefaults(plan, scripts), null, 2), { mode: 0o600 });
  const resumeId = plan.resumeId ?? randomUUID();
  const args = [
    ...plan.found.args,
    ...(plan.resumeId === undefined ? ['--session-id', resumeId] : ['--resume', resumeId]),
    '--approval-mode',
    modes[plan.permissions],
    ...(plan.model === undefined ? [] : ['--model', plan.model]),
    ...plan.extraArgs,
  ];
  return {
    file: plan.found.file,
    args,
    env: { ...plan.env, QWEN_CODE_SYSTEM_DEFAULTS_PATH: settings },
    watches: [{ kind: 'spool', dir: scripts.spool, source: 'hook' }],
    resumeId,
  };
}

/** What the machine's own defaults say stays in force: our hooks are added to them. */
async function sessionDefaults(plan: LaunchPlan, scripts: HookScripts): Promise<object> {
  const given = await readDefaults(plan.env.QWEN_CODE_SYSTEM_DEFAULTS_PATH ?? '/etc/qwen-code/system-defaults.json');
  const givenHooks = fieldsOf(given.hooks) ?? {};
  const hook = { hooks: [{ type: 'command', command: scripts.tell, timeout: hookMs }] };
  const hooks = events.map((event): [string, unknown] => {
    const others: unknown = givenHooks[event];
    return [event, [...listOf(others), hook]];
  });
  return {
    ...given,
    // In the middle of a job no agent replaces itself; who has switched it on in their own settings still gets it.
    general: { enableAutoUpdate: false, ...fieldsOf(given.general) },
    hooks: { ...givenHooks, ...Object.fromEntries(hooks) },
    permissions: await sessionPermissions(plan, fieldsOf(given.permissions) ?? {}),
  };
}

/** Qwen joins these lists of all layers, so that the user's own stay in force, and so do the machine's. */
async function sessionPermissions(plan: LaunchPlan, given: Fields): Promise<Fields> {
  const keep = (rule: PermissionRule): boolean => whyQwenCannot(rule, plan.permissions) === undefined;
  const lists = await ruleLists(plan.rules ?? [], { words: qwenWords, cwd: plan.cwd, keep });
  const added = Object.entries(lists).filter(([, rules]) => rules.length > 0);
  return { ...given, ...Object.fromEntries(added.map(([name, rules]) => [name, [...listOf(given[name]), ...rules]])) };
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);

async function readDefaults(path: string): Promise<Fields> {
  try {
    return fieldsOf(JSON.parse(await readFile(path, 'utf8'))) ?? {};
  } catch (error) {
    // Absent, as nearly everywhere, or with comments, which Qwen itself then reports when it starts without us.
    if (isErrno(error, 'ENOENT') || error instanceof SyntaxError) return {};
    throw error;
  }
}
