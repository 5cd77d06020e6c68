import { expect, test } from 'vitest';
import { readStyled } from './styled.ts';

const e = '\u001b';

test('colours, links and line drawing are read away; what is faint, and the cursor on it, is blank in the solid rows', () => {
  const rows = [
    `${e}[38;5;2m❯${e}[39m ${e}[7mT${e}[27m${e}[2mry this${e}[22m`,
    `a ${e}[2mfaint`,
    `still faint${e}[0m not`,
    `${e}]8;;http://x${e}\\link${e}]8;;${e}\\ \u000elqk\u000f 한글`,
  ];
  expect(readStyled(rows)).toEqual({
    plain: ['❯ Try this', 'a faint', 'still faint not', 'link ┌─┐ 한글'],
    solid: ['❯', 'a', '            not', 'link ┌─┐ 한글'],
  });
});

test('numbers of a colour are no other attribute', () => {
  expect(readStyled([`${e}[38;2;2;2;2mseen${e}[48;5;2m too`]).solid).toEqual(['seen too']);
});
