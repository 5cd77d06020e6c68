/**
 * Qwen Code's own rows, version 0.15.10: an input box between two rules with a footer, a spinner row above it; while it asks, a framed
 * dialog and "Waiting for user confirmation..." in the place of both. In between two drawings the box is away for some milliseconds.
 */

import { oneLine } from '../../base/text.ts';
import type { PermissionAsk, SessionState } from '../../protocol/state.ts';
import { boxedText } from '../composer.ts';
import { lastRow } from '../screen.ts';

export interface QwenScreen {
  readonly state: SessionState;
  readonly reason: string;
  readonly asked?: Pick<PermissionAsk, 'tool' | 'summary'>;
}

const rule = /^[─━]{20,}/;
const box = /^[>!*] {3}|^[>!*] \S/;
/** `⠏ Some phrase... (1s · ↓ 13 tokens · esc to cancel)`; the end may be on the next row. Inside tmux one to three dots for the glyph. */
const spinner = /^ {2}(?:[\u2801-\u28ff]|\.{0,3} .*\besc to cancel\b)/;
const choice = /^ *│ *› (\d+\. )?\S/;
const asks =
  /^ *│ (Allow execution of: .*|Apply this change\?|Do you want to proceed\?|Would you like to proceed\?|Allow execution of MCP tool .*)/;

/** Rows that box, footer, spinner and a tip can take. */
const boxReach = 12;
const dialogReach = 40;

export function readQwenScreen(rows: readonly string[]): QwenScreen | undefined {
  const chosen = lastRow(rows, choice, dialogReach);
  const lower = lastRow(rows, rule, 6);
  if (lower < 0) return chosen < 0 ? undefined : readDialog(rows, chosen);
  const upper = lastRow(rows, rule, boxReach, lower - 1);
  if (upper < 0 || !box.test(rows[upper + 1] ?? '')) return undefined;
  const above = rows.slice(Math.max(0, upper - 5), upper);
  if (above.some((row) => spinner.test(row))) return { state: 'working', reason: 'screen shows the spinner' };
  return { state: 'idle', reason: 'screen shows the prompt' };
}

function readDialog(rows: readonly string[], chosen: number): QwenScreen | undefined {
  const question = lastRow(rows, asks, dialogReach, chosen);
  if (question >= 0) {
    const summary = oneLine((rows[question] ?? '').replaceAll('│', ''), 500);
    return { state: 'permission', reason: 'screen shows a permission dialog', asked: { tool: '', summary } };
  }
  const frame = rows.slice(Math.max(0, chosen - dialogReach), chosen).join('\n');
  if (
    /How would you like to authenticate|Select Authentication Method|Do you trust this folder|Select Theme/i.test(frame)
  ) {
    return { state: 'setup', reason: 'screen shows a start-up dialog' };
  }
  return { state: 'question', reason: 'screen shows a choice' };
}

/** The placeholder is grey, not faint. */
export function qwenComposer(rows: readonly string[]): string | undefined {
  const text = boxedText(rows, { rule, mark: /^[>*]/, footerRows: 6 });
  return text !== undefined && /^Type your message or @path\/to\/file$/.test(text) ? '' : text;
}
