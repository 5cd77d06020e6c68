/**
 * Codex's own rows, version 0.169.0: a composer that begins with ›, a status row above it while it works, and a dialog in the place of
 * both when it asks. While an answer streams the status row may be away, so a composer alone does not say that Codex is idle.
 */

import { oneLine } from '../../base/text.ts';
import type { SessionState } from '../../protocol/state.ts';
import { openText } from '../composer.ts';
import { lastRow } from '../screen.ts';

export interface CodexScreen {
  readonly state: SessionState | undefined;
  readonly reason: string;
  readonly asked?: { readonly tool: string; readonly summary: string };
}

/** `• Working (3s • esc to interrupt)`, `◦ Server is busy, reconnecting 1/3 (1s • esc to interrupt)` */
const status = /^[•◦] \S.*\((?:\d+[hms] ?)+ • esc to interrupt\)/;
const reconnecting = /\breconnecting\b.* \d+\/\d+ \(/i;
const choice = /^[›>] (\d+\.) \S/;
const composer = /^› /;

/** Status row, its detail, queued messages, composer of some lines, footer. */
const bottomReach = 16;
const dialogReach = 24;

export function readCodexScreen(rows: readonly string[]): CodexScreen | undefined {
  const keys = (rows.at(-1) ?? '').trim();
  const chosen = lastRow(rows, choice, dialogReach);
  if (chosen >= 0 && /^Press enter to confirm or esc to (cancel|go back)\b/i.test(keys)) {
    return { state: 'permission', reason: 'screen shows an approval dialog', asked: readQuestion(rows, chosen) };
  }
  if (chosen >= 0 && /^(enter continue · esc back|Press enter to continue\b.*)$/i.test(keys)) {
    return { state: 'setup', reason: 'screen shows a start-up dialog' };
  }
  const box = lastRow(rows, composer, bottomReach);
  if (box < 0) return undefined;
  const working = lastRow(rows, status, bottomReach, box - 1);
  if (working < 0) return { state: undefined, reason: 'screen shows the composer' };
  if (reconnecting.test(rows[working] ?? '')) return { state: 'retrying', reason: 'screen shows a reconnect' };
  return { state: 'working', reason: 'screen: esc to interrupt' };
}

const question = /^ {2}Would you like to (\S+ .*)\?$/;

/** The command after `$`, or the destination of edits; else the question itself. */
function readQuestion(rows: readonly string[], choices: number): { tool: string; summary: string } {
  const start = lastRow(rows, question, dialogReach, choices);
  const asks = question.exec(rows[start] ?? '')?.[1] ?? 'do something';
  const body = rows.slice(start + 1, choices);
  const command = body.findIndex((row) => row.startsWith('  $ '));
  const destination = body.find((row) => row.startsWith('  Destination: '));
  const text = command >= 0 ? body.slice(command).join(' ').replace('$ ', '') : (destination ?? asks);
  return { tool: command >= 0 ? 'command' : destination ? 'edit' : 'other', summary: oneLine(text, 500) };
}

/** A marked choice of a dialog looks like a draft that begins with a number: no box, to be safe. The placeholder is faint; where colours are not known, only the usual one can be told from a draft. */
export function codexComposer(rows: readonly string[]): string | undefined {
  const text = openText(rows, /^[›!](?: |$)/);
  if (text !== undefined && /^\d+\. /.test(text)) return undefined;
  return text === 'Ask Codex to do anything' ? '' : text;
}
