#!/usr/bin/env node
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
/**
 * A scripted coding agent for tests that need a hundred turns in a minute: a real program on a real PTY that speaks as Claude Code
 * 2.1.328 does (hooks from `--settings`, OSC 7501, session file, title, input box, permission dialog), and does what the prompt says.
 * The real agents have tests of their own; this one is for everything behind the adapter.
 *
 * Lines of the prompt that begin with `@`, in order: `@wait MS` · `@write PATH TEXT` · `@run COMMAND` (shell) · `@ask COMMAND` (the
 * same, after a permission) · `@commit MESSAGE` · `@say TEXT` · `@fail KIND TEXT` (the turn ends with an error) · `@crash` (SIGKILL to
 * itself) · `@eat MB` (takes so much memory and keeps it until it ends) · `@lines COUNT MS [PATH]` (prints numbered lines, one every MS, until that file is there) · `@exit CODE` · `@orphan` (starts a process in a session of its own, which outlives it) · `@question TEXT` (a choice, until a
 * digit is pressed).
 * A pasted `!` or `/` is a command, as in Claude Code, and no prompt; `/clear` begins a new conversation. `--resume ID` goes on with a conversation that it knows.
 * Environment: SCRIPTED_AGENT_HOLDS_MB takes so much memory from the start; SCRIPTED_AGENT_TOTALS a file that gets a row with what it printed when it ends; SCRIPTED_AGENT_LOG a file that gets one JSON row per accepted prompt (and the same with `.strays` one per key that a dialog
 * or a shell got); SCRIPTED_AGENT_DEAF=1 never reacts to Enter; SCRIPTED_AGENT_BLIND=1 drops what is pasted;
 * SCRIPTED_AGENT_START_MS before the prompt is drawn.
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

interface HookSettings {
  readonly hooks?: Readonly<Record<string, readonly { readonly hooks: readonly { readonly command: string }[] }[]>>;
}

const { values } = parseArgs({
  strict: false,
  options: {
    version: { type: 'boolean' },
    settings: { type: 'string' },
    'session-id': { type: 'string' },
    resume: { type: 'string' },
  },
});
if (values.version === true) {
  process.stdout.write('2.1.328 (Claude Code)\n');
  process.exit(0);
}

const settings = (
  typeof values.settings === 'string' ? JSON.parse(readFileSync(values.settings, 'utf8')) : {}
) as HookSettings;
let conversation = String(values['session-id'] ?? values.resume ?? 'none');
const sessionFile = join(
  process.env.CLAUDE_CONFIG_DIR ?? join(process.env.HOME ?? '/', '.claude'),
  'sessions',
  `${process.pid}.json`,
);
/** Its prompts, so that a resumed process knows what was said before. */
const memory = join(dirname(sessionFile), '..', 'scripted', `${conversation}.ndjson`);
if (typeof values.resume === 'string' && !existsSync(memory)) {
  process.stdout.write(`No conversation found with session ID: ${conversation}\r\n`);
  process.exit(1);
}
const remembered = existsSync(memory)
  ? readFileSync(memory, 'utf8')
      .split('\n')
      .filter((line) => line !== '').length
  : 0;
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const columns = (): number => process.stdout.columns ?? 80;

let footer = '? for shortcuts';
let log: string[] = [remembered > 0 ? `scripted agent, ${remembered} prompts before` : 'scripted agent'];
let dialog: string[] | undefined;
let busy = false;
let interrupted = false;
let onKey: ((key: string) => void) | undefined;
let typed = '';
let pasting = false;

function draw(): void {
  const rule = '─'.repeat(columns());
  const tail = dialog ?? [rule, ...boxRows(), rule, `  ${footer}`];
  const room = Math.max(1, (process.stdout.rows ?? 24) - tail.length);
  process.stdout.write(`\u001b[?2026h\u001b[H\u001b[2J${[...log.slice(-room), ...tail].join('\r\n')}\u001b[?2026l`);
}

/** Long pastes are one placeholder, as in Claude Code. */
function boxRows(): string[] {
  const lines = typed.split('\n');
  if (lines.length > 8 || typed.length > 1000) return [`❯ [Pasted text #1 +${lines.length - 1} lines]`];
  return lines.map((line, index) => `${index > 0 ? '  ' : '❯ '}${line}`);
}

function status(state: string, file: string, kind = ''): void {
  process.stdout.write(`\u001b]7501;state=${state}:app=claude-code${kind}\u001b\\`);
  mkdirSync(dirname(sessionFile), { recursive: true });
  writeFileSync(
    sessionFile,
    JSON.stringify({
      pid: process.pid,
      sessionId: conversation,
      status: file,
      ...(file === 'waiting' ? { waitingFor: kind.includes('question') ? 'an answer' : 'permission prompt' } : {}),
    }),
  );
}

function startHook(event: string, payload: object): { child: ChildProcess; output: () => string }[] {
  const commands = settings.hooks?.[event]?.flatMap((entry) => entry.hooks.map((hook) => hook.command)) ?? [];
  return commands.map((command) => {
    const child = spawn('/bin/sh', ['-c', command], { stdio: ['pipe', 'pipe', 'ignore'] });
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stdin?.end(
      JSON.stringify({ session_id: conversation, cwd: process.cwd(), hook_event_name: event, ...payload }),
    );
    return { child, output: () => output };
  });
}

async function hook(event: string, payload: object = {}): Promise<void> {
  await Promise.all(startHook(event, payload).map(({ child }) => new Promise((done) => child.on('exit', done))));
}

/** Asks as the dialog and as the hook; whoever answers first decides. */
async function permitted(command: string, id: string): Promise<boolean> {
  await hook('PreToolUse', { tool_name: 'Bash', tool_input: { command }, tool_use_id: id });
  dialog = [
    'Bash command',
    `  ${command}`,
    'Do you want to proceed?',
    '❯ 1. Yes',
    '  2. No',
    ' Esc to cancel · Tab to amend',
  ];
  status('blocked', 'waiting', `:kind=permission:msg=${Buffer.from(`approve Bash: ${command}`).toString('base64')}`);
  draw();
  const asked = startHook('PermissionRequest', { tool_name: 'Bash', tool_input: { command } });
  const byHook = asked.map(
    ({ child, output }) =>
      new Promise<boolean | undefined>((done) =>
        child.on('exit', () =>
          done(output().includes('"allow"') ? true : output().includes('"deny"') ? false : undefined),
        ),
      ),
  );
  const byKey = new Promise<boolean>((done) => {
    onKey = (key) => {
      if (key === '1' || key === '\r') done(true);
      if (key === '\u001b') done(false);
      else if (!['1', '\r'].includes(key)) stray('permission', key);
    };
  });
  const never = new Promise<never>(() => undefined);
  const answer = await Promise.race([byKey, ...byHook.map((one) => one.then((decided) => decided ?? never))]);
  onKey = undefined;
  dialog = undefined;
  for (const { child } of asked) child.kill('SIGKILL');
  status('working', 'busy');
  return answer;
}

async function question(text: string): Promise<void> {
  await hook('PreToolUse', { tool_name: 'AskUserQuestion', tool_input: { text }, tool_use_id: `toolu_${Date.now()}` });
  dialog = [text, '❯ 1. This', '  2. That', 'Enter to select · ↑/↓ to navigate · Esc to cancel'];
  status('blocked', 'waiting', ':kind=question');
  draw();
  const answer = await new Promise<string>((done) => {
    onKey = (key) => (/^[12]$/.test(key) ? done(key) : stray('question', key));
  });
  onKey = undefined;
  dialog = undefined;
  status('working', 'busy');
  await hook('PostToolUse', { tool_name: 'AskUserQuestion', tool_input: { text }, tool_use_id: 'toolu_question' });
  log.push(`● chose ${answer}`);
}

/** What should never have been typed there. */
function stray(where: string, text: string): void {
  if (process.env.SCRIPTED_AGENT_LOG)
    appendFileSync(`${process.env.SCRIPTED_AGENT_LOG}.strays`, `${JSON.stringify({ at: Date.now(), where, text })}\n`);
}

async function tool(command: string, ask: boolean): Promise<void> {
  const id = `toolu_${Date.now()}`;
  if (ask && !(await permitted(command, id))) {
    log.push(`● denied: ${command}`);
    return;
  }
  const ran = spawnSync('/bin/sh', ['-c', command], { encoding: 'utf8' });
  log.push(`● ran: ${command}`, ...`${ran.stdout}${ran.stderr}`.split('\n').slice(0, 5));
  await hook('PostToolUse', { tool_name: 'Bash', tool_input: { command }, tool_use_id: id });
}

const eaten: Buffer[] = [Buffer.alloc(Number(process.env.SCRIPTED_AGENT_HOLDS_MB ?? 0) * 1024 * 1024, 1)];
let linesPrinted = 0;

/** What its terminal gets: a line feed becomes two bytes there. */
let bytesPrinted = 0;
if (process.env.SCRIPTED_AGENT_TOTALS) {
  const totals = process.env.SCRIPTED_AGENT_TOTALS;
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = (text: string) => {
    bytesPrinted += Buffer.byteLength(text) + text.split('\n').length - 1;
    return write(text);
  };
  process.on('exit', () => {
    const row = { session: process.env.MUSTER_SESSION, pid: process.pid, bytes: bytesPrinted, lines: linesPrinted };
    appendFileSync(totals, `${JSON.stringify(row)}\n`);
  });
}

/** Each line is the next number of this process, so that whoever reads them sees at once if one is missing or doubled. */
async function printLines(count: number, everyMs: number, enough = ''): Promise<void> {
  for (let left = count; left > 0 && !interrupted && !existsSync(enough); left -= 1) {
    linesPrinted += 1;
    process.stdout.write(`\u001b[Hline ${linesPrinted} of ${process.pid} ${'·'.repeat(linesPrinted % 40)}\u001b[K\r\n`);
    if (everyMs > 0) await pause(everyMs);
  }
  log.push(`● printed ${linesPrinted} lines`);
}

async function act(line: string): Promise<{ failed: string; text: string } | undefined> {
  const [, verb = '', rest = ''] = /^@(\w+)\s*(.*)$/.exec(line) ?? [];
  const [first = '', ...more] = rest.split(' ');
  if (verb === 'wait')
    for (let left = Number(rest); left > 0 && !interrupted; left -= 20) await pause(Math.min(left, 20));
  else if (verb === 'write') {
    mkdirSync(dirname(resolve(first)), { recursive: true });
    writeFileSync(resolve(first), `${more.join(' ')}\n`);
  } else if (verb === 'run' || verb === 'ask') await tool(rest, verb === 'ask');
  else if (verb === 'commit') {
    spawnSync('git', ['add', '-A']);
    spawnSync('git', ['-c', 'user.name=Agent', '-c', 'user.email=agent@localhost', 'commit', '-qm', rest]);
  } else if (verb === 'question') await question(rest);
  else if (verb === 'say') log.push(`● ${rest}`);
  else if (verb === 'fail') return { failed: first, text: more.join(' ') };
  else if (verb === 'crash') process.kill(process.pid, 'SIGKILL');
  else if (verb === 'eat') eaten.push(Buffer.alloc(Number(rest) * 1024 * 1024, 1));
  else if (verb === 'lines') await printLines(Number(first), Number(more[0] ?? 0), more[1]);
  else if (verb === 'exit') process.exit(Number(rest));
  else if (verb === 'orphan') spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }).unref();
  return undefined;
}

async function turn(prompt: string): Promise<void> {
  busy = true;
  interrupted = false;
  if (process.env.SCRIPTED_AGENT_LOG)
    appendFileSync(
      process.env.SCRIPTED_AGENT_LOG,
      `${JSON.stringify({ at: Date.now(), pid: process.pid, conversation, prompt, remembered })}\n`,
    );
  mkdirSync(dirname(memory), { recursive: true });
  appendFileSync(memory, `${JSON.stringify(prompt)}\n`);
  footer = 'esc to interrupt';
  log = [
    ...log,
    ...prompt
      .split('\n')
      .slice(0, 3)
      .map((line) => `> ${line.slice(0, 200)}`),
  ];
  status('working', 'busy');
  draw();
  await hook('UserPromptSubmit', { prompt });
  let failure: { failed: string; text: string } | undefined;
  for (const line of prompt.split('\n').filter((one) => one.startsWith('@'))) {
    if (interrupted || failure) break;
    failure = await act(line);
    draw();
  }
  footer = '? for shortcuts';
  busy = false;
  if (interrupted) {
    status('idle', 'idle');
    log.push('  Interrupted');
  } else if (failure) {
    await hook('StopFailure', { error: failure.failed, last_assistant_message: failure.text });
    status('error', 'idle', `:msg=${Buffer.from(failure.text).toString('base64')}`);
  } else {
    log.push('● All done.', '  [MUSTER:DONE]');
    await hook('Stop', { last_assistant_message: 'All done.\n[MUSTER:DONE]' });
    status('done', 'idle');
  }
  draw();
}

/** As `/clear` does: the process stays, the conversation is another. */
async function beginAnew(): Promise<void> {
  conversation = randomUUID();
  log = ['scripted agent'];
  await hook('SessionStart', { source: 'clear' });
  status('idle', 'idle');
  draw();
}

function submit(): void {
  const text = typed;
  typed = '';
  if (process.env.SCRIPTED_AGENT_DEAF === '1' || text.trim() === '') return;
  if (text.trim() === '/clear' && !busy) void beginAnew();
  else if (/^!|^\s*\/[^\s/]*(\s|$)/.test(text)) stray('command', text);
  else if (busy) stray('turn', text);
  else void turn(text);
}

function key(text: string): void {
  if (onKey) return onKey(text);
  if (text === '\r') submit();
  else if (text === '\u001b' && busy) interrupted = true;
  else if (text === '\u0003') leave();
  else if (text === '\u0015') typed = typed.slice(0, typed.endsWith('\n') ? -1 : typed.lastIndexOf('\n') + 1);
  else if (text === '\u007f') typed = typed.slice(0, -1);
  else if (text >= ' ') typed += text;
}

let unfinished = '';
function take(chunk: string): void {
  const all = unfinished + chunk;
  // A sequence that was cut between two reads is waited for; a lone Escape is a key.
  unfinished = (pasting ? /\u001b(?:\[[\d;]*)?$/ : /\u001b(?:\[[?>=]?[\d;]*|\][^\u0007\u001b]*)$/).exec(all)?.[0] ?? '';
  for (let rest = all.slice(0, all.length - unfinished.length); rest !== ''; ) {
    const paste = /^\u001b\[20([01])~/.exec(rest);
    const answer = /^\u001b(?:\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\[[?>=]?[\d;]*[a-zA-Z])/.exec(rest);
    if (paste) pasting = paste[1] === '0';
    else if (!answer && pasting) typed += process.env.SCRIPTED_AGENT_BLIND === '1' ? '' : rest[0];
    else if (!answer) key(rest[0] ?? '');
    rest = rest.slice(paste?.[0].length ?? answer?.[0].length ?? 1);
  }
  if (!dialog) draw();
}

function leave(): void {
  rmSync(sessionFile, { force: true });
  void hook('SessionEnd', { reason: 'other' }).finally(() => process.exit(0));
}

process.on('SIGTERM', leave);
process.on('SIGHUP', () => process.exit(129));
process.stdout.on('resize', draw);
if (process.stdin.isTTY) process.stdin.setRawMode(true);
process.stdin.setEncoding('utf8').on('data', (chunk: string) => take(chunk));
await pause(Number(process.env.SCRIPTED_AGENT_START_MS ?? 0));
process.stdout.write('\u001b[?2004h\u001b]0;✳ Claude Code\u0007\u001b]7501;?\u001b\\\u001b[c');
await hook('SessionStart', { source: values.resume === undefined ? 'startup' : 'resume' });
status('idle', 'idle');
draw();
