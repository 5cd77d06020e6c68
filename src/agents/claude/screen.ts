/**
 * Claude Code's own rows, versions 2.1.197 to 2.1.328. At its prompt it draws an input box between two rules, with a footer below
 * and a spinner above; a dialog takes the place of box and footer. Text of the conversation can hold any of the words, so each rule
 * asks for the place as well.
 */
import type { SessionState } from '../../protocol/state.ts';
import { boxedText } from '../composer.ts';
import { lastRow } from '../screen.ts';

export interface ClaudeScreen {
  readonly state: SessionState;
  readonly reason: string;
}

const rule = /^[─━]{20,}/;
const boxRow = /^❯/;
const spinner = /^[·✢✳✶✻✽*✺✹✸✷●] \S.*…/;
const retry = /^[·✢✳✶✻✽*✺✹✸✷●] .*\bretrying in \d+\s?s\b.*\battempt \d+\/\d+/i;

/** Rows that the box, the footer and a few lines of typed text can take. */
const boxReach = 14;
/** A dialog is at most this high on the tallest usual screen. */
const dialogReach = 30;

export function readClaudeScreen(rows: readonly string[]): ClaudeScreen | undefined {
  return readBox(rows) ?? readDialog(rows);
}

function readBox(rows: readonly string[]): ClaudeScreen | undefined {
  const lower = lastRow(rows, rule, 5);
  if (lower < 2) return undefined;
  const upper = lastRow(rows, rule, boxReach, lower - 1);
  if (upper < 0 || !boxRow.test(rows[upper + 1] ?? '')) return undefined;
  const above = rows.slice(Math.max(0, upper - 4), upper);
  if (above.some((row) => retry.test(row))) return { state: 'retrying', reason: 'screen shows a retry' };
  const footer = rows.slice(lower + 1);
  if (footer.some((row) => /\besc to interrupt\b/.test(row)))
    return { state: 'working', reason: 'screen: esc to interrupt' };
  if (above.some((row) => spinner.test(row))) return { state: 'working', reason: 'screen shows the spinner' };
  return { state: 'idle', reason: 'screen shows the prompt' };
}

const choice = /^\s*❯ (\d+\.)? ?\S/;

/** The last row of a dialog names its keys; the row marked by ❯ is one of its choices. */
function readDialog(rows: readonly string[]): ClaudeScreen | undefined {
  const keys = rows.at(-1) ?? '';
  if (lastRow(rows, choice, dialogReach) < 0) return undefined;
  if (/^ {0,3}Enter to confirm\b/.test(keys)) return { state: 'setup', reason: 'screen shows a start-up dialog' };
  if (/^ {0,3}Enter to select\b/.test(keys)) return { state: 'question', reason: 'screen shows a question' };
  if (/^ {0,3}Esc to cancel\b/.test(keys)) return { state: 'permission', reason: 'screen shows a permission dialog' };
  return undefined;
}

/** In shell mode the mark is `!`. Suggestions stand faint in the empty box; where colours are not known, the words by which they begin tell. */
export function claudeComposer(rows: readonly string[]): string | undefined {
  const text = boxedText(rows, { rule, mark: /^[❯!]/, footerRows: 5 });
  return text !== undefined && /^Try "[^"]*"$/.test(text) ? '' : text;
}
