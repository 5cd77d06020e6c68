#!/usr/bin/env node
/**
 * A small agent for a terminal that a person owns: it draws Claude Code's box with what stands in it (a faint suggestion when nothing
 * does), understands bracketed paste, and swallows an Enter that comes too soon after one. No hooks, no OSC 7501: what a tmux pane shows.
 *
 * Lines of the prompt that begin with `@`: `@wait MS` · `@ask` (a permission dialog until 1 or Escape) · `@say TEXT` · `@exit CODE`.
 * Environment: PANE_AGENT_LOG gets one JSON row per prompt; PANE_AGENT_SWALLOW_MS (how long after a paste Enter is lost, default 0);
 * PANE_AGENT_DEAF=1 never reacts to Enter; CLAUDE_CONFIG_DIR, if set, gets the session file.
 */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const { env, stdout, stdin } = process;
const suggestion = '\u001b[7mT\u001b[27m\u001b[2mry "fix the failing test"\u001b[22m';
let log: string[] = ['pane agent'];
let typed = '';
let busy = false;
let interrupted = false;
let dialog: string[] | undefined;
let onKey: ((key: string) => void) | undefined;
let pasting = false;
let pastedAt = 0;

function draw(): void {
  const rule = '─'.repeat(stdout.columns ?? 80);
  const box =
    typed === '' ? [`❯ ${suggestion}`] : typed.split('\n').map((row, index) => (index === 0 ? `❯ ${row}` : `  ${row}`));
  const tail = dialog ?? [rule, ...box, rule, `  ${busy ? 'esc to interrupt' : '? for shortcuts'}`];
  const room = Math.max(1, (stdout.rows ?? 24) - tail.length);
  const shown = [...log.slice(-room), ...tail];
  const row = dialog ? shown.length : shown.length - 2;
  const column = typed === '' ? 3 : (typed.split('\n').at(-1)?.length ?? 0) + 3;
  stdout.write(`\u001b[H\u001b[2J${shown.join('\r\n')}\u001b[${row};${column}H`);
}

function tell(status: string): void {
  if (env.CLAUDE_CONFIG_DIR === undefined) return;
  const dir = join(env.CLAUDE_CONFIG_DIR, 'sessions');
  mkdirSync(dir, { recursive: true });
  writeFileSync(
    join(dir, `${process.pid}.json`),
    JSON.stringify({ pid: process.pid, sessionId: 'conversation-1', status }),
  );
}

async function turn(prompt: string): Promise<void> {
  busy = true;
  interrupted = false;
  if (env.PANE_AGENT_LOG) appendFileSync(env.PANE_AGENT_LOG, `${JSON.stringify({ pid: process.pid, prompt })}\n`);
  log.push(
    ...prompt
      .split('\n')
      .slice(0, 2)
      .map((line) => `> ${line}`),
  );
  tell('busy');
  draw();
  for (const line of prompt.split('\n')) {
    const [, verb, rest = ''] = /^@(\w+) ?(.*)$/.exec(line) ?? [];
    if (verb === 'wait') for (let left = Number(rest); left > 0 && !interrupted; left -= 20) await pause(20);
    if (verb === 'ask') await ask();
    if (verb === 'say') log.push(`● ${rest}`);
    if (verb === 'exit') process.exit(Number(rest));
  }
  busy = false;
  log.push('● All done.');
  tell('idle');
  draw();
}

async function ask(): Promise<void> {
  dialog = [
    'Bash command',
    '  true',
    'Do you want to proceed?',
    '❯ 1. Yes',
    '  2. No',
    ' Esc to cancel · Tab to amend',
  ];
  draw();
  const yes = await new Promise<boolean>((done) => {
    onKey = (key) => {
      if (key === '1' || key === '\u001b') done(key === '1');
    };
  });
  onKey = undefined;
  dialog = undefined;
  log.push(yes ? '● allowed' : '● denied');
  draw();
}

function key(text: string): void {
  if (onKey) return onKey(text);
  if (text === '\r') {
    if (env.PANE_AGENT_DEAF === '1' || busy || typed.trim() === '') return;
    if (Date.now() - pastedAt < Number(env.PANE_AGENT_SWALLOW_MS ?? 0)) return;
    const prompt = typed;
    typed = '';
    void turn(prompt);
  } else if (text === '\u001b' && busy) interrupted = true;
  else if (text === '\u001a') process.kill(process.pid, 'SIGSTOP');
  else if (text === '\u0015') typed = '';
  else if (text >= ' ' || text === '\n') typed += text;
  draw();
}

stdin.setEncoding('utf8').on('data', (chunk: string) => {
  for (let rest = chunk; rest !== ''; ) {
    const paste = /^\u001b\[20([01])~/.exec(rest);
    if (paste) {
      pasting = paste[1] === '0';
      if (!pasting) pastedAt = Date.now();
      draw();
    } else if (pasting) typed += rest[0] ?? '';
    else key(rest[0] ?? '');
    rest = rest.slice(paste?.[0].length ?? 1);
  }
});
if (stdin.isTTY) stdin.setRawMode(true);
stdout.on('resize', draw);
stdout.write('\u001b[?2004h\u001b]0;✳ Claude Code\u0007');
tell('idle');
draw();
