/**
 * Starts Claude Code with this session's own settings file, and nothing of the user's touched: `--settings` adds to what the user
 * has, for this process only. The trust question of a folder is the user's; a linked worktree is trusted with its repository.
 */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Launch, LaunchPlan } from '../agent.ts';
import { type RuleLists, ruleLists } from '../rules.ts';
import { askSeconds, type HookScripts, writeHookScripts } from '../spool.ts';
import { claudeWords } from './rules.ts';

const toldEvents = [
  'SessionStart',
  'PreToolUse',
  'PostToolUse',
  'PostToolUseFailure',
  'Notification',
  'PreCompact',
] as const;

/** After these no permission request of an earlier moment can be open. */
const closingEvents = ['UserPromptSubmit', 'Stop', 'StopFailure', 'SessionEnd'] as const;

/** A hook that only writes one small file; if the disk hangs, the agent goes on. */
const tellSeconds = 10;

/** Tools that `permissions: all` lets through without the warning dialog of bypassPermissions (which root may not use at all). */
const allTools = ['Bash', 'Edit', 'Write', 'NotebookEdit', 'Read', 'WebFetch', 'WebSearch', 'Skill', 'Task'];

/** `manual` is called `default` by older versions, and newer ones still take that name. */
const modes: Readonly<Record<LaunchPlan['permissions'], string>> = {
  ask: 'default',
  edits: 'acceptEdits',
  all: 'acceptEdits',
};

export async function prepareClaude(plan: LaunchPlan): Promise<Launch> {
  const scripts = await writeHookScripts(plan.dir);
  const settings = join(plan.dir, 'claude-settings.json');
  const lists = await ruleLists(plan.rules ?? [], { words: claudeWords, cwd: plan.cwd, keep: () => true });
  await writeFile(settings, JSON.stringify(sessionSettings(plan, scripts, lists), null, 2), { mode: 0o600 });
  const resumeId = plan.resumeId ?? randomUUID();
  const args = [
    ...plan.found.args,
    ...(plan.resumeId === undefined ? ['--session-id', resumeId] : ['--resume', resumeId]),
    '--settings',
    settings,
    '--permission-mode',
    modes[plan.permissions],
    ...(plan.model === undefined ? [] : ['--model', plan.model]),
    ...plan.extraArgs,
  ];
  const configDir = plan.env.CLAUDE_CONFIG_DIR ?? join(plan.env.HOME ?? homedir(), '.claude');
  return {
    file: plan.found.file,
    args,
    env: { ...plan.env, DISABLE_AUTOUPDATER: '1' },
    watches: [
      { kind: 'spool', dir: scripts.spool, source: 'hook' },
      { kind: 'json-file', path: join(configDir, 'sessions', '{pid}.json'), source: 'sessionFile' },
      { kind: 'rows', path: undefined, source: 'transcript' },
    ],
    resumeId,
  };
}

function sessionSettings(plan: LaunchPlan, scripts: HookScripts, { allow, ask, deny }: RuleLists): object {
  const hook = (command: string, timeout: number): object[] => [{ hooks: [{ type: 'command', command, timeout }] }];
  return {
    hooks: {
      ...Object.fromEntries(toldEvents.map((event) => [event, hook(scripts.tell, tellSeconds)])),
      ...Object.fromEntries(closingEvents.map((event) => [event, hook(scripts.close, tellSeconds)])),
      PermissionRequest: hook(scripts.ask, askSeconds),
    },
    permissions: { allow: [...(plan.permissions === 'all' ? allTools : []), ...allow], ask, deny },
  };
}
