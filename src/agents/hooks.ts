/**
 * Hooks in Claude Code's shape, which Codex and Qwen Code share. Each event says what happened; none says how it is now, and each
 * agent leaves some out (docs/agents.md), so they never stand alone.
 *
 * The memory keeps the last tool calls, because a permission request does not name its call: it is found by tool and input.
 */
import type { Evidence, Observation, PermissionAsk, SessionState } from '../protocol/state.ts';
import { isPlanLimit, turnError } from './errors.ts';
import { type Fields, fieldsOf, lineOf, present, textOf } from './reading.ts';

export interface HookDialect {
  /** Claude and Codex announce a call before they ask, Qwen after the yes. */
  readonly preToolUse: 'asked' | 'started';
  /** Tools by which the agent asks the person something. */
  readonly questionTools: readonly string[];
}

export interface RecentCall {
  readonly id: string;
  readonly name: string;
  readonly input: string;
}

export interface HookReading {
  readonly calls: readonly RecentCall[];
  readonly evidence: readonly Evidence[];
}

/** Calls that may still be asked about: agents run a handful side by side. */
const recentCallsKept = 32;

/** Begins the id of a permission whose hook waits for an answer file. */
const askMark = 'ask-';

/** Of a prompt's text so much is looked at. */
const promptReadMax = 8000;

/** Length of the input by which a call is recognised. */
const inputMarkMax = 2000;

type Told = Omit<Evidence, 'source' | 'at' | 'reason'> & { readonly reason?: string };

/** `payload` is the hook's JSON, or the envelope of `ask`. */
export function interpretHook(
  calls: readonly RecentCall[],
  observation: Observation,
  dialect: HookDialect,
): HookReading {
  const outer = fieldsOf(observation.payload);
  const hook = fieldsOf(outer?.hook) ?? outer;
  const event = textOf(hook?.hook_event_name, 60);
  if (!hook || !event) return { calls, evidence: [] };
  const context: Context = { hook, calls, dialect, askName: textOf(outer?.musterAsk, 120), at: observation.at };
  const told = readers[event]?.(context);
  if (!told) return { calls, evidence: [] };
  const ids = present<Pick<Evidence, 'resumeId' | 'transcriptPath'>>({
    resumeId: textOf(hook.session_id, 200),
    transcriptPath: textOf(hook.transcript_path, 4096),
  });
  const evidence: Evidence = {
    source: 'hook',
    at: observation.at,
    ...ids,
    ...told,
    reason: told.reason ?? `hook ${event}`,
  };
  return { calls: rememberCall(calls, hook, event), evidence: [evidence] };
}

interface Context {
  readonly hook: Fields;
  readonly calls: readonly RecentCall[];
  readonly dialect: HookDialect;
  readonly askName: string | undefined;
  readonly at: number;
}

const readers: Readonly<Record<string, (context: Context) => Told | undefined>> = {
  SessionStart: () => ({}),
  SessionEnd: ({ hook }) => ({ reason: `hook SessionEnd ${lineOf(hook.reason, 60) ?? ''}`.trim() }),
  UserPromptSubmit: readPrompt,
  PreToolUse: readPreToolUse,
  PermissionRequest: readPermissionRequest,
  PostToolUse: (context) => readToolEnd(context, true),
  PostToolUseFailure: (context) => readToolEnd(context, false),
  PreCompact: () => ({ state: 'working' }),
  Stop: ({ hook }) => ({
    state: 'done',
    turn: 'ended',
    provisional: true,
    ...present<Pick<Evidence, 'message'>>({ message: textOf(hook.last_assistant_message, 4000) }),
  }),
  StopFailure: readStopFailure,
  Interrupt: () => ({ state: 'idle', turn: 'interrupted' }),
  Notification: ({ hook }) => readNotification(textOf(hook.notification_type, 60)),
};

/** Qwen sends an empty prompt after each tool: no new turn. Claude wraps what was pasted in several lines in a tag of its own. */
function readPrompt({ hook }: Context): Told {
  const told = typeof hook.prompt === 'string' ? hook.prompt.slice(0, promptReadMax) : '';
  const accepted = textOf(told.replace(/<\/?pasted_content[^<>\n]{0,100}>/g, '').trim(), 2000);
  return accepted === undefined ? { state: 'working' } : { state: 'working', turn: 'started', accepted };
}

function readPreToolUse({ hook, dialect }: Context): Told {
  const tool = toolOf(hook, dialect.preToolUse);
  if (!tool) return { state: 'working' };
  const asks = dialect.questionTools.includes(tool.name);
  return { state: asks ? 'question' : 'working', tool, reason: `hook PreToolUse ${tool.name}` };
}

function readToolEnd({ hook }: Context, ok: boolean): Told {
  const tool = toolOf(hook, 'ended');
  return tool
    ? { state: 'working', tool: { ...tool, ok }, reason: `hook PostToolUse ${tool.name}` }
    : { state: 'working' };
}

function readPermissionRequest({ hook, calls, dialect, askName, at }: Context): Told {
  const tool = lineOf(hook.tool_name, 200) ?? '';
  const mark = inputMark(hook.tool_input);
  const callId =
    textOf(hook.tool_use_id, 200) ??
    calls.findLast((call) => call.name === tool && call.input === mark)?.id ??
    calls.findLast((call) => call.name === tool)?.id;
  if (dialect.questionTools.includes(tool)) return { state: 'question', reason: `hook PermissionRequest ${tool}` };
  const permission: PermissionAsk = {
    id: askName === undefined ? (callId ?? `${tool}@${at}`).slice(0, 200) : `${askMark}${askName}`,
    tool,
    summary: summaryOf(hook.tool_input),
    ...(callId === undefined ? {} : { callId }),
  };
  return { state: 'permission', permission, reason: `hook PermissionRequest ${tool}` };
}

function readStopFailure({ hook }: Context): Told {
  const word = lineOf(hook.error, 80);
  const text = textOf(hook.last_assistant_message, 2000) ?? textOf(hook.error_details, 2000) ?? word ?? 'failed';
  const state: SessionState = isPlanLimit(text) ? 'limited' : 'failed';
  return { state, turn: 'ended', error: turnError(word, text), reason: `hook StopFailure ${word ?? ''}`.trim() };
}

function readNotification(type: string | undefined): Told | undefined {
  if (type === 'permission_prompt') return { state: 'permission', reason: 'hook Notification permission_prompt' };
  if (type === 'elicitation_dialog') return { state: 'question', reason: 'hook Notification elicitation_dialog' };
  if (type === 'idle_prompt') return { state: 'idle', reason: 'hook Notification idle_prompt' };
  return undefined;
}

function toolOf(hook: Fields, phase: 'asked' | 'started' | 'ended'): Evidence['tool'] | undefined {
  const id = textOf(hook.tool_use_id, 200);
  const name = lineOf(hook.tool_name, 200);
  return id === undefined || name === undefined ? undefined : { id, name, phase };
}

function rememberCall(calls: readonly RecentCall[], hook: Fields, event: string): readonly RecentCall[] {
  const id = textOf(hook.tool_use_id, 200);
  if (id === undefined) return calls;
  const others = calls.filter((call) => call.id !== id);
  if (event !== 'PreToolUse') return others;
  const call = { id, name: lineOf(hook.tool_name, 200) ?? '', input: inputMark(hook.tool_input) };
  return [...others.slice(1 - recentCallsKept), call];
}

/** A description may be added between announcement and question, the rest of the input stays. */
function inputMark(input: unknown): string {
  const fields = fieldsOf(input);
  if (!fields) return '';
  const { description: _, ...rest } = fields;
  return JSON.stringify(rest).slice(0, inputMarkMax);
}

/** One line for the person who decides: the command, file or address; else the whole input. */
export function summaryOf(input: unknown): string {
  const fields = fieldsOf(input) ?? {};
  for (const key of ['command', 'cmd', 'file_path', 'path', 'absolute_path', 'url', 'query', 'pattern']) {
    const value = Array.isArray(fields[key]) ? fields[key].join(' ') : fields[key];
    const line = lineOf(value, 500);
    if (line !== undefined) return line;
  }
  return lineOf(JSON.stringify(fields), 500) ?? '';
}

/** Name of the answer file that the hook of this request waits for; undefined if it did not come from such a hook. */
export function answerNameOf(permission: PermissionAsk): string | undefined {
  return /^ask-[0-9N]{6,40}-\d{1,10}$/.test(permission.id) ? permission.id.slice(askMark.length) : undefined;
}

/** What a Claude-style PermissionRequest hook prints to decide. */
export const decisionOutput = (decision: 'allow' | 'deny'): string =>
  JSON.stringify({
    hookSpecificOutput: {
      hookEventName: 'PermissionRequest',
      decision:
        decision === 'allow' ? { behavior: 'allow' } : { behavior: 'deny', message: 'The person in charge said no.' },
    },
  });
