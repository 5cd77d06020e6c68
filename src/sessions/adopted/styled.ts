/**
 * Rows as tmux prints them with their colours (`capture-pane -e`): SGR sequences, links, and line drawing between SO and SI. Gives the
 * plain text, and the text without what is drawn faint: agents write suggestions faint into an empty input box, and a draft never.
 */

export interface ReadRows {
  readonly plain: readonly string[];
  /** Faint characters, and the cursor drawn over the first of them, are blanks. */
  readonly solid: readonly string[];
}

const token =
  /\u001b\[([\d;:]*)m|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b\[[\d;?]*[a-zA-Z]|[\u000e\u000f]|[^\u001b]/gu;

/** The line drawing set of the VT100, as far as boxes need it. */
const drawing: ReadonlyMap<string, string> = new Map(
  [...'q─x│l┌k┐m└j┘n┼t├u┤v┴w┬a▒~·'.matchAll(/(.)(.)/gu)].map(([, code, drawn]) => [code ?? '', drawn ?? '']),
);

interface Pen {
  readonly faint: boolean;
  readonly inverse: boolean;
}

/** Colours run on from row to row. */
export function readStyled(rows: readonly string[]): ReadRows {
  let pen: Pen = { faint: false, inverse: false };
  let lines = false;
  const plain: string[] = [];
  const solid: string[] = [];
  for (const row of rows) {
    const cells: { readonly text: string; readonly pen: Pen }[] = [];
    for (const [piece, codes] of row.matchAll(token)) {
      if (codes !== undefined) pen = penAfter(pen, codes);
      else if (piece === '\u000e') lines = true;
      else if (piece === '\u000f') lines = false;
      else if (!piece.startsWith('\u001b')) cells.push({ text: lines ? (drawing.get(piece) ?? piece) : piece, pen });
    }
    const ghost = (index: number): boolean =>
      cells[index]?.pen.faint === true || (cells[index]?.pen.inverse === true && cells[index + 1]?.pen.faint === true);
    plain.push(
      cells
        .map(({ text }) => text)
        .join('')
        .trimEnd(),
    );
    solid.push(
      cells
        .map(({ text }, index) => (ghost(index) ? ' ' : text))
        .join('')
        .trimEnd(),
    );
  }
  return { plain, solid };
}

/** 38 and 48 take the numbers behind them as a colour. */
function penAfter(pen: Pen, codes: string): Pen {
  let next = pen;
  const list = codes.split(';');
  for (let index = 0; index < list.length; index += 1) {
    const code = list[index] ?? '';
    if (code === '' || code === '0') next = { faint: false, inverse: false };
    else if (code === '2') next = { ...next, faint: true };
    else if (code === '22') next = { ...next, faint: false };
    else if (code === '7') next = { ...next, inverse: true };
    else if (code === '27') next = { ...next, inverse: false };
    else if (code === '38' || code === '48' || code === '58') index += list[index + 1] === '5' ? 2 : 4;
  }
  return next;
}
