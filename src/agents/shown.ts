/** For agents of which we use only what they show: title and screen, and the end of the process. */
import type { Evidence, Observation, PermissionAsk, SessionState } from '../protocol/state.ts';
import type { Interpretation } from './agent.ts';
import { interpretProcess } from './process.ts';
import { isScreen, rowsOf } from './screen.ts';

export interface Shown {
  readonly state: SessionState;
  readonly reason: string;
  readonly asked?: Pick<PermissionAsk, 'tool' | 'summary'>;
}

export interface ShownReaders {
  /** The title's text; undefined: it says nothing. */
  readonly title: (text: string) => Shown | undefined;
  /** The screen's rows up to the last that is not blank. */
  readonly screen: (rows: readonly string[]) => Shown | undefined;
}

export const interpretShown =
  (readers: ShownReaders) =>
  (memory: Readonly<Record<string, unknown>>, observation: Observation): Interpretation => ({
    memory,
    evidence: readShown(readers, observation),
  });

function readShown(readers: ShownReaders, { source, payload, at }: Observation): readonly Evidence[] {
  if (source === 'process') return interpretProcess({ source, payload, at });
  if (source === 'title') return typeof payload === 'string' ? evidenceOf('title', at, readers.title(payload)) : [];
  if (source === 'screen' && isScreen(payload)) return evidenceOf('screen', at, readers.screen(rowsOf(payload)));
  return [];
}

function evidenceOf(source: 'title' | 'screen', at: number, shown: Shown | undefined): readonly Evidence[] {
  if (!shown) return [{ source, at, reason: `${source} shows nothing known` }];
  const permission =
    shown.state === 'permission' ? { permission: { id: `p${at}`, tool: '', summary: '', ...shown.asked } } : {};
  return [{ source, at, state: shown.state, reason: shown.reason, ...permission }];
}
