/** Gemini CLI 0.61, attended, by its window title (the best signal it has) and its screen. Tried on recordings, not yet driven. */
import { randomUUID } from 'node:crypto';
import { oneLine } from '../../base/text.ts';
import type { Agent, LaunchPlan } from '../agent.ts';
import { unmeasuredCommand } from '../commands.ts';
import { boxedText } from '../composer.ts';
import { unkeptAmong } from '../rules.ts';
import { lastRow } from '../screen.ts';
import { interpretShown, type Shown } from '../shown.ts';

const modes: Readonly<Record<LaunchPlan['permissions'], string>> = { ask: 'default', edits: 'auto_edit', all: 'yolo' };

/** `◇  Ready (dir)`, `✦  Working… (dir)`, `✋  Action Required (dir)` */
function readTitle(text: string): Shown | undefined {
  if (text.startsWith('◇')) return { state: 'idle', reason: 'title: Ready' };
  if (text.startsWith('✦')) return { state: 'working', reason: 'title: Working' };
  return text.startsWith('✋') ? { state: 'permission', reason: 'title: Action Required' } : undefined;
}

const asks = /^ *│ (Allow execution of.*|Apply this change\?|Do you want to proceed\?|Allow execution of MCP.*)/;

function readScreen(rows: readonly string[]): Shown | undefined {
  const lower = lastRow(rows, /^▀{20,}/, 5);
  if (lower < 0) {
    const chosen = lastRow(rows, /^ *│ *● \d+\. \S/, 40);
    if (chosen < 0) return undefined;
    const question = lastRow(rows, asks, 40, chosen);
    if (question < 0) return { state: 'setup', reason: 'screen shows a choice' };
    const summary = oneLine((rows[question] ?? '').replaceAll('│', ''), 500);
    return { state: 'permission', reason: 'screen shows a permission dialog', asked: { tool: '', summary } };
  }
  const upper = lastRow(rows, /^▄{20,}/, 12, lower - 1);
  const above = rows.slice(Math.max(0, upper - 6), Math.max(0, upper));
  if (upper < 0) return undefined;
  if (above.some((row) => /\(esc to cancel, \d/.test(row)))
    return { state: 'working', reason: 'screen: esc to cancel' };
  return { state: 'idle', reason: 'screen shows the prompt' };
}

function readComposer(rows: readonly string[]): string | undefined {
  const drawn = rows.map((row) => row.replace(/^[▀▄]{20,}/, (edge) => '─'.repeat(edge.length)));
  const text = boxedText(drawn, { rule: /^─{20,}/, mark: /^ ?[>*]/, footerRows: 5 });
  return text !== undefined && /^Type your message or @path\/to\/file$/.test(text) ? '' : text;
}

export const gemini: Agent = {
  id: 'gemini',
  title: 'Gemini CLI',
  testedRange: '0.61.0',
  isTested: (version) => version === '0.61.0',
  executable: 'gemini',
  versionArgs: ['--version'],
  parseVersion: (output) => /\b(\d+\.\d+\.\d+\S*)/.exec(output)?.[1],
  environment: ['GEMINI_API_KEY', 'GEMINI_MODEL', 'GOOGLE_GEMINI_BASE_URL', 'GOOGLE_API_KEY', 'GOOGLE_CLOUD_PROJECT'],
  personaFile: 'GEMINI.md',
  unkeptRules: (rules) =>
    unkeptAmong(rules, () => 'Muster does not know yet how to say rules to Gemini CLI for one session'),
  prepare: (plan) => {
    const resumeId = plan.resumeId ?? randomUUID();
    const args = [
      ...plan.found.args,
      ...(plan.resumeId === undefined ? ['--session-id', resumeId] : ['--resume', resumeId]),
      '--approval-mode',
      modes[plan.permissions],
      ...(plan.model === undefined ? [] : ['--model', plan.model]),
      ...plan.extraArgs,
    ];
    return Promise.resolve({ file: plan.found.file, args, env: plan.env, watches: [], resumeId });
  },
  memory: () => ({}),
  interpret: interpretShown({ title: readTitle, screen: readScreen }),
  keys: {
    settleMs: 300,
    submit: '\r',
    allow: '1',
    deny: '\u001b',
    interrupt: '\u001b',
    clear: '\u000b\u0015',
    quit: ['/quit', '\r'],
  },
  commandOf: unmeasuredCommand,
  adopted: {
    packages: ['@google/gemini-cli'],
    composer: readComposer,
    environment: [],
    traces: () => ({ watches: [] }),
  },
};
