/** `session list | show | send | approve | deny | interrupt | stop`. `attach` and `tail` have files of their own. */
import { randomToken } from '../base/ids.ts';
import { oneLine } from '../base/text.ts';
import type { Receipt } from '../protocol/session.ts';
import { connect } from './client.ts';
import { type Cli, type ExitCode, textArgument } from './context.ts';
import { sessionLines, sessionTable } from './render/session.ts';

/** The daemon waits for proof that an agent took what was typed; this must be longer than its own limit. */
const receiptLimitMs = 120_000;
/** Longest grace (60 s) and the sweep behind it. */
const stopLimitMs = 90_000;

export async function listSessions(cli: Cli): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('listSessions');
  if (cli.json) cli.printJson(answer);
  else if (answer.sessions.length === 0) cli.note('no sessions');
  else cli.print(...sessionTable(cli, answer.sessions, Date.now()));
  return 0;
}

export async function showSession(cli: Cli, id: string): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('showSession', { params: { id } });
  if (cli.json) cli.printJson(answer);
  else cli.print(...sessionLines(cli, answer.session, Date.now()));
  return 0;
}

export async function sendText(
  cli: Cli,
  { id, text, queue, overDraft, raw, inputId = `send-${randomToken(16)}` }: SendOptions,
): Promise<ExitCode> {
  const client = await connect(cli.home);
  const queueMs = queue === undefined ? 0 : queue * 1000;
  const body = {
    text: await textArgument(text),
    inputId,
    ...(queueMs > 0 ? { queueMs } : {}),
    ...(overDraft ? { overDraft } : {}),
    ...(raw ? { raw } : {}),
  };
  const timeoutMs = receiptLimitMs + queueMs;
  const again = `The same command with --input-id ${inputId} types nothing a second time.`;
  return printReceipt(cli, await client.call('sendSession', { params: { id }, body, timeoutMs, again }));
}

export interface SendOptions {
  readonly id: string;
  readonly text: string;
  /** Seconds. */
  readonly queue?: number;
  readonly overDraft?: boolean;
  readonly raw?: boolean;
  /** What is typed under one id is typed once, however often it is asked for. */
  readonly inputId?: string;
}

export interface AnswerOptions {
  readonly decision: 'allow' | 'deny';
  readonly permission?: string;
}

export async function answerPermission(
  cli: Cli,
  id: string,
  { decision, permission }: AnswerOptions,
): Promise<ExitCode> {
  const body = { decision, ...(permission === undefined ? {} : { permissionId: permission }) };
  const client = await connect(cli.home);
  return printReceipt(cli, await client.call('answerSession', { params: { id }, body, timeoutMs: receiptLimitMs }));
}

export async function interruptSession(cli: Cli, id: string): Promise<ExitCode> {
  const client = await connect(cli.home);
  return printReceipt(
    cli,
    await client.call('interruptSession', { params: { id }, body: {}, timeoutMs: receiptLimitMs }),
  );
}

export interface StopOptions {
  readonly grace?: number;
  readonly force?: boolean;
}

export async function stopSession(cli: Cli, id: string, { grace, force }: StopOptions): Promise<ExitCode> {
  const body = { ...(grace === undefined ? {} : { graceMs: grace }), ...(force === true ? { force } : {}) };
  const answer = await (await connect(cli.home)).call('stopSession', { params: { id }, body, timeoutMs: stopLimitMs });
  if (cli.json) cli.printJson(answer);
  else cli.print(...sessionLines(cli, answer.session, Date.now()));
  return 0;
}

const receiptExit: Readonly<Record<Receipt['kind'], ExitCode>> = { accepted: 0, refused: 1, unknown: 4 };

function printReceipt(cli: Cli, answer: { readonly receipt: Receipt }): ExitCode {
  const { receipt } = answer;
  if (cli.json) cli.printJson(answer);
  else cli.print(receiptText(cli, receipt));
  return receiptExit[receipt.kind];
}

function receiptText(cli: Cli, receipt: Receipt): string {
  const after = receipt.queuedMs === undefined ? '' : `, after ${(receipt.queuedMs / 1000).toFixed(1)} s`;
  return `${receiptWords(cli, receipt)}${after}`;
}

function receiptWords({ paint }: Cli, receipt: Receipt): string {
  switch (receipt.kind) {
    case 'accepted':
      return `${paint('green', 'accepted')}: ${oneLine(receipt.reason, 300)} (${receipt.by})`;
    case 'refused':
      return `${paint('red', 'refused')}: ${oneLine(receipt.reason, 300)}; nothing was typed`;
    case 'unknown':
      return `${paint('magenta', 'unknown')}: ${oneLine(receipt.tried, 300)}; it is not typed again`;
  }
}
