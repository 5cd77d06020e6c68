/** The face of the ledger: jobs, attempts and events, kept for good. */
export type { Advance, Claim, Settle } from './attempts.ts';
export { type EventOf, eventBytesMax } from './events.ts';
export type { NewJob, NewProject } from './jobs.ts';
export { type Ledger, type LedgerOptions, openLedger } from './ledger.ts';
export { type EventsPage, type JobsPage, pageMax } from './reads.ts';
export { attemptTransitions, endedStates, jobTransitions } from './states.ts';
export type { Attempt, OpenAttempt, Project } from './views.ts';
export { explainJob } from './why.ts';
