/**
 * Starts Codex without touching CODEX_HOME: everything is an override for this process. `--no-daemon` keeps its TUI from copying itself
 * and from leaving background processes. The folder is trusted for this session only, because the operator gave the job for it;
 * nothing is saved, and hooks of the repository keep needing their own review. Our hooks would need that review too, so there are none.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Launch, LaunchPlan } from '../agent.ts';
import { codexRuleArgs } from './rules.ts';

/** `on-request` asks where the sandbox forbids; read-only forbids every write, workspace-write those outside the worktree. */
const modes: Readonly<Record<LaunchPlan['permissions'], readonly string[]>> = {
  ask: ['-a', 'on-request', '-s', 'read-only'],
  edits: ['-a', 'on-request', '-s', 'workspace-write'],
  all: ['-a', 'never', '-s', 'danger-full-access'],
};

export async function prepareCodex(plan: LaunchPlan): Promise<Launch> {
  const args = [
    ...plan.found.args,
    ...(plan.resumeId === undefined ? [] : ['resume', plan.resumeId]),
    '--no-daemon',
    ...modes[plan.permissions],
    '-c',
    'check_for_update_on_startup=false',
    '-c',
    `projects={${JSON.stringify(plan.cwd)}={trust_level="trusted"}}`,
    ...codexRuleArgs(plan.rules ?? []),
    ...(plan.model === undefined ? [] : ['-m', plan.model]),
    ...plan.extraArgs,
  ];
  const home = plan.env.CODEX_HOME ?? join(plan.env.HOME ?? homedir(), '.codex');
  return {
    file: plan.found.file,
    args,
    env: plan.env,
    watches: [
      {
        kind: 'rows',
        path: undefined,
        source: 'transcript',
        find: {
          dir: join(home, 'sessions'),
          depth: 3,
          suffix: '.jsonl',
          nameHas: plan.resumeId,
          firstRowHas: plan.resumeId === undefined ? `"cwd":${JSON.stringify(plan.cwd)}` : undefined,
        },
      },
    ],
    resumeId: plan.resumeId,
  };
}
