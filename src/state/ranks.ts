import type { EvidenceSource } from '../protocol/state.ts';

/** Order of trust, 1 is highest: equal or higher rank replaces, lower may only confirm or correct after a quiet time. */
export const sourceRanks: Readonly<Record<EvidenceSource, number>> = {
  process: 1,
  control: 1,
  stream: 2,
  hook: 3,
  sessionFile: 3,
  input: 3,
  osc7501: 4,
  title: 5,
  notification: 5,
  transcript: 6,
  screen: 7,
};
