/** What screen rules share: only the rows at the bottom that the CLI itself draws are looked at, never the conversation above. */
import type { ScreenView } from '../protocol/state.ts';
import { fieldsOf } from './reading.ts';

/** The screen's rows up to the last one that is not blank. */
export function rowsOf(payload: unknown): readonly string[] {
  const view = fieldsOf(payload);
  const rows = Array.isArray(view?.rows) ? view.rows.filter((row): row is string => typeof row === 'string') : [];
  let end = rows.length;
  while (end > 0 && rows[end - 1]?.trim() === '') end -= 1;
  return rows.slice(0, end);
}

export const isScreen = (payload: unknown): payload is ScreenView => Array.isArray(fieldsOf(payload)?.rows);

/** Index of the last row that matches, at or before `from`; -1 if none does within `reach` rows. */
export function lastRow(rows: readonly string[], pattern: RegExp, reach: number, from = rows.length - 1): number {
  for (let index = from; index >= 0 && index > from - reach; index -= 1) {
    if (pattern.test(rows[index] ?? '')) return index;
  }
  return -1;
}
