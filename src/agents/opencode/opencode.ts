/**
 * opencode 1.18, attended, by its screen alone: its title names the conversation only. Events of its plugins are read where a recording has
 * them; we start no plugin, because that makes opencode install a package. Tried on recordings, not yet driven.
 */
import type { Agent, AgentMemory } from '../agent.ts';
import { unmeasuredCommand } from '../commands.ts';
import { unkeptAmong } from '../rules.ts';
import { lastRow } from '../screen.ts';
import { interpretShown, type Shown } from '../shown.ts';
import { interpretEvent } from './events.ts';
import { opencodePermission, whyOpencodeCannot } from './rules.ts';

/** The footer is the last row; a dialog stands in the place of box and footer. */
function readScreen(rows: readonly string[]): Shown | undefined {
  const question = lastRow(rows, /^ *┃ {2}△ Permission required/, 30);
  const choices = lastRow(rows, /^ *┃ .*\bAllow once\b.*\bReject\b/, 6);
  if (question >= 0 && choices > question) return { state: 'permission', reason: 'screen shows a permission dialog' };
  const footer = lastRow(rows, /\bctrl\+p commands\b/, 12);
  if (footer < 0 || lastRow(rows, /^ *╹▀{10,}/, 4, footer - 1) < 0) return undefined;
  if (!/[⬝■].*\besc (again to )?interrupt\b/.test(rows[footer] ?? '')) {
    return { state: 'idle', reason: 'screen shows the prompt' };
  }
  if (/\[retrying\b|\battempt #\d+\]/.test(rows[footer] ?? ''))
    return { state: 'retrying', reason: 'screen shows a retry' };
  return { state: 'working', reason: 'screen: esc interrupt' };
}

/** Its screen may be seconds behind its events: a prompt that is still drawn is no news then. */
const unlessBusy = (memory: AgentMemory, shown: Shown | undefined): Shown | undefined =>
  memory.busy === true && shown?.state === 'idle' ? undefined : shown;

export const opencode: Agent = {
  id: 'opencode',
  title: 'opencode',
  testedRange: '1.18.33',
  isTested: (version) => version === '1.18.33',
  executable: 'opencode',
  versionArgs: ['--version'],
  parseVersion: (output) => /\b(\d+\.\d+\.\d+\S*)/.exec(output)?.[1],
  environment: ['OPENCODE_*', 'ANTHROPIC_API_KEY', 'OPENAI_API_KEY', 'OPENROUTER_API_KEY', 'GEMINI_API_KEY'],
  personaFile: 'AGENTS.md',
  unkeptRules: (rules) => unkeptAmong(rules, whyOpencodeCannot),
  prepare: (plan) =>
    Promise.resolve({
      file: plan.found.file,
      args: [
        ...plan.found.args,
        ...(plan.resumeId === undefined ? [] : ['--session', plan.resumeId]),
        ...(plan.model === undefined ? [] : ['--model', plan.model]),
        ...plan.extraArgs,
      ],
      env: {
        ...plan.env,
        OPENCODE_PERMISSION: JSON.stringify(opencodePermission(plan.permissions, plan.rules ?? [])),
        OPENCODE_DISABLE_AUTOUPDATE: '1',
      },
      watches: [],
      resumeId: plan.resumeId,
    }),
  memory: () => ({}),
  interpret: (memory, observation) =>
    observation.source === 'hook'
      ? interpretEvent(memory, observation)
      : interpretShown({ title: () => undefined, screen: (rows) => unlessBusy(memory, readScreen(rows)) })(
          memory,
          observation,
        ),
  keys: {
    settleMs: 300,
    submit: '\r',
    allow: '\r',
    deny: '\u001b',
    interrupt: '\u001b\u001b',
    clear: '\u000b\u0015',
    quit: ['/exit', '\r'],
  },
  commandOf: unmeasuredCommand,
  adopted: {
    packages: ['opencode-ai'],
    // Its box is drawn in ways that were not measured: nothing is typed into one that was not started by us.
    composer: () => undefined,
    environment: [],
    traces: () => ({ watches: [] }),
  },
};
