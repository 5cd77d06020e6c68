/**
 * A table that fits the terminal. Columns are as wide as their widest cell; where that is too much, the columns marked `flexible` give
 * way evenly down to `flexibleMin`, and as a last resort every line is cut at the edge. Cells are plain text: colour is added after
 * measuring. Off a terminal (`width` undefined) nothing is cut, so that `grep` and `awk` see everything.
 */
import type { Colour, Paint } from './style.ts';
import { displayWidth, fit, pad } from './width.ts';

export interface Column {
  readonly title: string;
  readonly flexible?: boolean;
}
export type Cell = string | { readonly text: string; readonly colour: Colour };

const gap = '  ';
const flexibleMin = 8;

const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);

export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
  readonly width: number | undefined;
  readonly paint: Paint;
}

/** Lines without a line end. Not even a title if there are no rows. */
export function tableLines({ columns, rows, width, paint }: Table): readonly string[] {
  if (rows.length === 0) return [];
  const widths = columnWidths(columns, rows, width);
  const titles = columns.map(({ title }): Cell => ({ text: title, colour: 'dim' }));
  return [titles, ...rows].map((cells) => line(cells, widths, { width, paint }));
}

function columnWidths(columns: readonly Column[], rows: readonly (readonly Cell[])[], width: number | undefined) {
  const natural = columns.map((column, index) =>
    Math.max(displayWidth(column.title), ...rows.map((row) => displayWidth(textOf(row[index] ?? '')))),
  );
  if (width === undefined) return natural;
  const flexible = columns.flatMap((column, index) => (column.flexible ? [index] : []));
  const widths = [...natural];
  let excess = total(widths) - width;
  while (excess > 0) {
    const widest = flexible.reduce(
      (best, index) => ((widths[index] ?? 0) > (widths[best] ?? 0) ? index : best),
      flexible[0] ?? 0,
    );
    if ((widths[widest] ?? 0) <= flexibleMin || flexible.length === 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
  return widths;
}

const total = (widths: readonly number[]): number =>
  widths.reduce((sum, width) => sum + width, 0) + gap.length * Math.max(0, widths.length - 1);

function line(
  cells: readonly Cell[],
  widths: readonly number[],
  { width, paint }: { readonly width: number | undefined; readonly paint: Paint },
): string {
  let left = width ?? Number.POSITIVE_INFINITY;
  const parts = cells.map((cell, index) => {
    const columns = Math.max(0, Math.min(widths[index] ?? 0, left));
    left -= columns + gap.length;
    const text = fit(textOf(cell), columns);
    const padded = index === cells.length - 1 ? text : pad(text, columns);
    return typeof cell === 'string' ? padded : paint(cell.colour, text) + padded.slice(text.length);
  });
  const visible = parts.filter((part, index) => index === 0 || part !== '' || cells[index] === '');
  return visible.join(gap).trimEnd();
}
