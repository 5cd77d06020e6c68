export { initialFacts, type SessionFacts, sessionFactsSchema } from './facts.ts';
export { type Fused, fuse, isSettled, nextTickAt, tick, unknownAfterRestart } from './fuse.ts';
export * as stateLimits from './limits.ts';
export { sourceRanks } from './ranks.ts';
export { finalStates, type Passage, restStates, transitions, turnStates, waitingStates } from './transitions.ts';
