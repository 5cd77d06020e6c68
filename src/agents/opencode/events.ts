/**
 * opencode's own events, as its plugins and its server give them: `{event, properties}`. Only those of the first session that speaks count:
 * sub-agents have sessions of their own. An end is told twice, by `session.status` idle and by `session.idle`; the second one is used.
 */
import type { Evidence, Observation } from '../../protocol/state.ts';
import type { AgentMemory, Interpretation } from '../agent.ts';
import { turnError } from '../errors.ts';
import { type Fields, fieldsOf, lineOf, listOf, numberOf, textOf } from '../reading.ts';

type Told = Omit<Evidence, 'source' | 'at' | 'reason'>;

export function interpretEvent(memory: AgentMemory, { payload, at }: Observation): Interpretation {
  const fields = fieldsOf(payload);
  const event = lineOf(fields?.event, 60);
  if (!fields || event === undefined) return { memory, evidence: [] };
  const properties = fieldsOf(fields.properties) ?? {};
  const session = textOf(properties.sessionID, 200);
  const own = textOf(memory.session, 200) ?? session;
  if (session !== undefined && session !== own) return { memory, evidence: [] };
  const told = readEvent(event, fields, properties);
  if (!told) return { memory, evidence: [] };
  const resumeId = own === undefined ? {} : { resumeId: own };
  return {
    memory: {
      ...memory,
      ...(own === undefined ? {} : { session: own }),
      busy: told.turn !== 'ended' && told.turn !== 'interrupted',
    },
    evidence: [{ source: 'hook', at, ...resumeId, ...told, reason: `event ${event}` }],
  };
}

function readEvent(event: string, fields: Fields, properties: Fields): Told | undefined {
  switch (event) {
    // Made when the first prompt is entered, seconds before it is busy.
    case 'session.created':
      return { state: 'working', turn: 'started' };
    case 'session.status':
      return readStatus(fieldsOf(properties.status) ?? {});
    case 'session.idle':
      return { state: 'done', turn: 'ended', provisional: true };
    case 'session.error':
      return readError(fieldsOf(properties.error) ?? {});
    case 'permission.asked':
      return { state: 'permission', permission: permissionOf(properties, 'id') };
    case 'permission.replied':
      return { state: 'working', permission: permissionOf(properties, 'requestID') };
    case 'tool.execute.before':
      return readTool(fields, 'asked');
    case 'tool.execute.after':
      return readTool(fields, 'ended');
    default:
      return undefined;
  }
}

function readStatus(status: Fields): Told | undefined {
  if (status.type === 'busy') return { state: 'working' };
  if (status.type !== 'retry') return undefined;
  return { state: 'retrying', error: turnError(undefined, textOf(status.message, 500) ?? 'the model call failed') };
}

function readError(error: Fields): Told {
  if (error.name === 'MessageAbortedError') return { state: 'idle', turn: 'interrupted' };
  const detail = fieldsOf(error.data) ?? {};
  const text = textOf(detail.message, 2000) ?? lineOf(error.name, 200) ?? 'failed';
  return { state: 'failed', turn: 'ended', error: turnError(undefined, text, numberOf(detail.statusCode)) };
}

const permissionOf = (properties: Fields, key: string): NonNullable<Evidence['permission']> => ({
  id: textOf(properties[key], 200) ?? '',
  tool: lineOf(properties.permission, 200) ?? '',
  summary: lineOf(listOf(properties.patterns).join('; '), 500) ?? '',
});

function readTool(fields: Fields, phase: 'asked' | 'ended'): Told | undefined {
  const id = textOf(fields.callID, 200);
  return id === undefined ? undefined : { tool: { id, name: lineOf(fields.tool_name, 200) ?? '', phase } };
}
