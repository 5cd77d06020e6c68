import type { Evidence, Observation } from '../protocol/state.ts';
import { fieldsOf, lineOf, numberOf } from './reading.ts';

/** The end of the process, the same for every agent: code 0 or as we asked is `exited`, everything else `crashed`. */
export function interpretProcess(observation: Observation): readonly Evidence[] {
  const fields = fieldsOf(observation.payload);
  if (!fields) return [];
  const code = numberOf(fields.code);
  const signal = signalOf(fields.signal);
  if (code === undefined && signal === undefined)
    return fields.code === null && fields.signal === null ? [gone(observation.at, fields.asked === true)] : [];
  const well = fields.asked === true || (code === 0 && signal === undefined);
  const how = signal === undefined ? `code ${code}` : `signal ${signal}`;
  const reason = `process ended with ${how}${fields.asked === true ? ', as asked' : ''}`;
  return [{ source: 'process', at: observation.at, reason, state: well ? 'exited' : 'crashed', turn: 'interrupted' }];
}

/** It never ran, or ended where nobody could see it. */
const gone = (at: number, asked: boolean): Evidence => ({
  source: 'process',
  at,
  reason: 'the process is not there; how it ended is not known',
  state: asked ? 'exited' : 'crashed',
  turn: 'interrupted',
});

/** A name or a number; hosts write null or 0 where there was none. */
function signalOf(value: unknown): string | undefined {
  if (typeof value === 'number') return value === 0 ? undefined : String(value);
  return lineOf(value, 20);
}
