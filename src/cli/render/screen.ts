import { manyLines } from '../../base/text.ts';

/** Widest terminal there is, in characters, with room for combining marks. */
const lineMax = 4000;

/** One row of a session's screen, harmless: no control characters; leading blanks, which make the layout, stay. */
export const cleanLine = (line: string): string => manyLines(line, lineMax).replaceAll('\n', ' ').trimEnd();
