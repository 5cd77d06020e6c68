/** On what the real agents drew: the recordings are played into a terminal, and the box is read after each piece of output. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import xterm from '@xterm/headless';
import { expect, test } from 'vitest';
import type { AgentId } from '../protocol/session.ts';
import { agents } from './index.ts';

const recordings = join(import.meta.dirname, '../../test/recordings');

/** The rows with faint cells blanked, as the reader of a terminal with colours gives them. */
function unfaintRows(terminal: xterm.Terminal): string[] {
  const { active } = terminal.buffer;
  return Array.from({ length: terminal.rows }, (_, y) => {
    const line = active.getLine(active.baseY + y);
    const cells = Array.from({ length: terminal.cols }, (__, x) => line?.getCell(x));
    return cells
      .map((cell, x) => {
        const ghost = cell?.isDim() || (cell?.isInverse() && cells[x + 1]?.isDim());
        return !cell || ghost ? ' ' : cell.getChars() || (cell.getWidth() === 0 ? '' : ' ');
      })
      .join('')
      .trimEnd();
  });
}

/** Every different text that the box showed, in its order; undefined: no box. */
async function shown(agent: AgentId, file: string): Promise<(string | undefined)[]> {
  const [head = '{}', ...rows] = readFileSync(join(recordings, agent, file), 'utf8').split('\n');
  const { width, height } = JSON.parse(head) as { width: number; height: number };
  const terminal = new xterm.Terminal({ cols: width, rows: height, allowProposedApi: true });
  const texts: (string | undefined)[] = [];
  for (const row of rows.filter((one) => one !== '')) {
    const [, kind, data] = JSON.parse(row) as [number, string, string];
    if (kind !== 'o') continue;
    await new Promise<void>((done) => terminal.write(data, done));
    const text = agents.get(agent)?.adopted.composer(unfaintRows(terminal));
    if (texts.length === 0 || texts.at(-1) !== text) texts.push(text);
  }
  terminal.dispose();
  return texts;
}

test.each(['claude', 'codex', 'qwen'] as const)(
  'the box of %s is empty at its prompt, holds what was typed, and is empty again after Enter',
  async (agent) => {
    const texts = await shown(agent, 'hello.cast');
    const box = texts.filter((text) => text !== undefined);
    expect(box[0]).toBe('');
    expect(box.some((text) => 'FAKE:hello'.startsWith(text.replace(/!$/, '')) && text !== '')).toBe(true);
    expect(box.at(-1)).toBe('');
    expect(box.filter((text) => !/^(FAKE:hello!?)?$/.test(text) && !'FAKE:hello!'.startsWith(text))).toEqual([]);
  },
);

test.each(['claude', 'codex', 'qwen'] as const)('a permission dialog of %s is no input box', async (agent) => {
  const texts = await shown(agent, 'shell_approve.cast');
  expect(texts).toContain(undefined);
  expect(texts.filter((text) => text !== undefined && /proceed|approve|Yes/i.test(text))).toEqual([]);
});
