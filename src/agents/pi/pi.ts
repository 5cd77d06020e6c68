/** Pi 0.73, attended, by its screen alone. It asks for no permission, by design. Tried on recordings, not yet driven. */
import type { Agent } from '../agent.ts';
import { unmeasuredCommand } from '../commands.ts';
import { boxedText } from '../composer.ts';
import { unkeptAmong } from '../rules.ts';
import { lastRow } from '../screen.ts';
import { interpretShown, type Shown } from '../shown.ts';

const rule = /^─{20,}/;

/** A box between two rules, folder and use of the context below, status above. */
function readScreen(rows: readonly string[]): Shown | undefined {
  const footer = lastRow(rows, /%\/\d+(\.\d+)?[kM]\b/, 3);
  const lower = lastRow(rows, rule, 5, footer);
  const upper = lastRow(rows, rule, 14, lower - 1);
  if (footer < 0 || lower < 0 || upper < 0) return undefined;
  const above = rows.slice(Math.max(0, upper - 4), upper);
  if (above.some((row) => /^ [\u2801-\u28ff] Retrying \(\d+\/\d+\) in \d+s/.test(row))) {
    return { state: 'retrying', reason: 'screen shows a retry' };
  }
  if (above.some((row) => /^ [\u2801-\u28ff] \S/.test(row)))
    return { state: 'working', reason: 'screen shows the spinner' };
  return { state: 'idle', reason: 'screen shows the prompt' };
}

export const pi: Agent = {
  id: 'pi',
  title: 'Pi',
  testedRange: '0.73.1',
  isTested: (version) => version === '0.73.1',
  executable: 'pi',
  versionArgs: ['--version'],
  parseVersion: (output) => /\b(\d+\.\d+\.\d+\S*)/.exec(output)?.[1],
  environment: ['PI_*', 'ANTHROPIC_API_KEY', 'OPENAI_API_KEY', 'GEMINI_API_KEY', 'OPENROUTER_API_KEY'],
  personaFile: 'AGENTS.md',
  unkeptRules: (rules) => unkeptAmong(rules, () => 'Pi has no permissions, by design'),
  prepare: (plan) =>
    Promise.resolve({
      file: plan.found.file,
      args: [
        ...plan.found.args,
        ...(plan.resumeId === undefined ? [] : ['--session', plan.resumeId]),
        ...(plan.model === undefined ? [] : ['--model', plan.model]),
        ...plan.extraArgs,
      ],
      env: plan.env,
      watches: [],
      resumeId: plan.resumeId,
    }),
  memory: () => ({}),
  interpret: interpretShown({ title: () => undefined, screen: readScreen }),
  keys: {
    settleMs: 300,
    submit: '\r',
    allow: undefined,
    deny: undefined,
    interrupt: '\u001b',
    clear: '\u000b\u0015',
    quit: ['/quit', '\r'],
  },
  commandOf: unmeasuredCommand,
  adopted: {
    packages: ['@mariozechner/pi-coding-agent'],
    composer: (rows) => boxedText(rows, { rule, mark: /^/, footerRows: 4 }),
    environment: [],
    traces: () => ({ watches: [] }),
  },
};
