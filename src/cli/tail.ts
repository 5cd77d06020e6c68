/**
 * `session tail`: the last lines of a terminal as text. With `--follow` a terminal is redrawn in place as it changes; into a file or pipe
 * only lines that were not there the last time are written, since a TUI has no order in which its lines come to an end.
 */

import { type Client, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { interruptSignal } from './feed.ts';
import { cleanLine } from './render/screen.ts';
import { exitText } from './render/session.ts';
import { fit } from './render/width.ts';

export interface TailOptions {
  readonly lines?: number;
  readonly follow?: boolean;
}

/** A person can't read faster, and the daemon renders the text anew each time. */
const refreshMs = 500;
const defaultLines = 40;

export async function tailSession(cli: Cli, id: string, options: TailOptions): Promise<ExitCode> {
  const client = await connect(cli.home);
  const lines = options.lines ?? defaultLines;
  if (options.follow) return follow(cli, client, { id, lines });
  const answer = await client.call('tailSession', { params: { id }, query: { lines } });
  if (cli.json) cli.printJson(answer);
  else cli.print(...answer.lines.map(cleanLine));
  return 0;
}

async function follow(
  cli: Cli,
  client: Client,
  { id, lines }: { readonly id: string; readonly lines: number },
): Promise<ExitCode> {
  const interrupt = interruptSignal();
  const rows = process.stdout.isTTY ? Math.max(1, Math.min(lines, process.stdout.rows - 2)) : lines;
  let shown: readonly string[] = [];
  try {
    for (;;) {
      const answer = await client.call('tailSession', { params: { id }, query: { lines: rows } });
      const now = answer.lines.map(cleanLine);
      if (now.join('\n') !== shown.join('\n')) {
        if (cli.json) cli.printJson(answer);
        else if (cli.width !== undefined) redraw(cli.width, shown.length, now);
        else cli.print(...newLines(shown, now));
        shown = now;
      }
      const { exit } = answer.session;
      if (exit) cli.note(`${id} ended: ${exitText(exit)}`);
      if (exit || interrupt.signal.aborted) return 0;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, refreshMs);
        interrupt.signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
      });
      if (interrupt.signal.aborted) return 0;
    }
  } finally {
    interrupt.dispose();
  }
}

function redraw(width: number, before: number, lines: readonly string[]): void {
  const up = before === 0 ? '' : `\u001b[${before}A`;
  process.stdout.write(`${up}\r\u001b[J${lines.map((line) => fit(line, width)).join('\n')}\n`);
}

/** The lines of `now` that `before` has not as often. */
export function newLines(before: readonly string[], now: readonly string[]): readonly string[] {
  const left = new Map<string, number>();
  for (const line of before) left.set(line, (left.get(line) ?? 0) + 1);
  return now.filter((line) => {
    const count = left.get(line) ?? 0;
    if (count > 0) left.set(line, count - 1);
    return count === 0;
  });
}
