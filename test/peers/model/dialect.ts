/**
 * What an API dialect must know: how to read a request, and how to write an answer. Dialects are pure; the server does the waiting,
 * the pacing and the breaking off.
 */
import { randomBytes } from 'node:crypto';
import type { ScriptedError } from './step.ts';
import type { Tool, ToolCall } from './tools.ts';

export const apis = ['anthropic', 'responses', 'chat', 'gemini'] as const;
export type Api = (typeof apis)[number];

/** One message of the conversation so far. `calls` counts the tool calls that the assistant made in it. */
export interface Turn {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly text: string;
  readonly calls: number;
}

/** What is to be said, in no API's words. */
export interface Reply {
  readonly think: string | undefined;
  readonly text: string;
  readonly calls: readonly ToolCall[];
  readonly stop: string | undefined;
  /** Said in the stream instead of everything above. */
  readonly failure: { readonly type: string; readonly message: string } | undefined;
}

/** One server-sent event. `spoken` marks a piece of the model's own words, after which the pace is kept. */
export interface Frame {
  readonly event?: string;
  readonly data: unknown;
  readonly spoken?: boolean;
  readonly pauseMs?: number;
}

export interface Dialect {
  readonly api: Api;
  readonly turns: (body: unknown) => readonly Turn[];
  readonly tools: (body: unknown) => readonly Tool[];
  /** The JSON schema that the answer must have, if the request names one; `true` where it only asks for JSON. */
  readonly wantsJson: (body: unknown) => unknown;
  readonly plain: (reply: Reply, request: AnsweredRequest) => unknown;
  readonly stream: (reply: Reply, request: AnsweredRequest) => Iterable<Frame>;
  readonly error: (error: ScriptedError, requestId: string) => unknown;
}

export interface AnsweredRequest {
  readonly model: string;
  readonly body: unknown;
}

/** The same for every answer, so that totals in tests are plain arithmetic. */
export const usage = { input: 1200, output: 40 } as const;

/** A client that is told of a failure in mid-stream has had this long to show the beginning. */
export const failurePauseMs = 300;

const pieceLength = 24;

/** Text in the small pieces in which a model streams it. */
export const pieces = (text: string): readonly string[] =>
  text.match(new RegExp(`[\\s\\S]{1,${pieceLength}}`, 'g')) ?? [];

export const randomId = (prefix: string): string => prefix + randomBytes(9).toString('hex');
