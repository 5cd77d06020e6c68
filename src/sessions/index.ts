/** The face of the sessions room on the daemon's side. The PTY host is a process of its own (`host/main.ts`). */
export {
  type Admission,
  type Answer as AdmissionAnswer,
  type InUse,
  openAdmission,
  type Retired,
} from './admission.ts';
export { type Adopted, openAdopted } from './adopted/adopted.ts';
export { type AllSessions, together } from './adopted/together.ts';
export { startHost } from './host-launch.ts';
export { checkKeepsRules, personaOfSession } from './personas/kept.ts';
export { openPersonas, type Personas } from './personas/personas.ts';
export type { PoolPolicy, Reuse } from './pool/plan.ts';
export { openPool, type Pool, type PoolMark, type PoolOptions } from './pool/pool.ts';
export { type ReplayOptions, replayRecording } from './replay.ts';
export {
  openSessions,
  type Sessions,
  type SessionsOptions,
  type StartOutcome,
  type StartSession,
  type TurnEnd,
} from './sessions.ts';
