/** Reads what stands in an agent's input box: a person's draft must be known before anything is typed, and what we typed before Enter is. */
import { lastRow } from './screen.ts';

/** A box between two rules, as Claude Code, Qwen Code and Pi draw it; `mark` is what its first row begins with. */
export function boxedText(
  rows: readonly string[],
  { rule, mark, footerRows }: { readonly rule: RegExp; readonly mark: RegExp; readonly footerRows: number },
): string | undefined {
  const drawn = trimEnd(rows);
  const lower = lastRow(drawn, rule, footerRows + 1);
  const upper = lastRow(drawn, rule, boxReach, lower - 1);
  const first = drawn[upper + 1] ?? '';
  if (lower < 2 || upper < 0 || !mark.test(first)) return undefined;
  return plain([first.replace(mark, ''), ...drawn.slice(upper + 2, lower)]);
}

/** A box without a lower edge: from the row that begins with `mark` to the last blank one, which stands above the footer. */
export function openText(rows: readonly string[], mark: RegExp): string | undefined {
  const drawn = trimEnd(rows);
  const start = lastRow(drawn, mark, boxReach);
  if (start < 0) return undefined;
  const rest = drawn.slice(start + 1);
  // A draft may hold blank rows itself; the footer holds none.
  const end = rest.findLastIndex((row) => row.trim() === '');
  return plain([(drawn[start] ?? '').replace(mark, ''), ...rest.slice(0, end < 0 ? rest.length : end)]);
}

/** Rows that a long draft can take before the agents scroll inside the box. */
const boxReach = 40;

const trimEnd = (rows: readonly string[]): readonly string[] =>
  rows.slice(0, rows.findLastIndex((row) => row.trim() !== '') + 1);

/** Zero-width marks and no-break spaces stand for nothing that a person typed. */
const plain = (rows: readonly string[]): string =>
  rows
    .map((row) =>
      row
        .replace(/[\u200b\u2060\ufeff]/g, '')
        .replace(/\u00a0/g, ' ')
        .trim(),
    )
    .join('\n')
    .trim();
