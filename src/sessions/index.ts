/** The face of the sessions room on the daemon's side. The PTY host is a process of its own (`host/main.ts`). */
export { startHost } from './host-launch.ts';
export { builtinPersona, findPersona, listPersonas, type Persona } from './personas.ts';
export { type ReplayedChange, type ReplayOptions, replayRecording } from './replay.ts';
export {
  openSessions,
  type Readiness,
  type Sessions,
  type SessionsOptions,
  type StartOutcome,
  type StartSession,
  type TurnEnd,
} from './sessions.ts';
