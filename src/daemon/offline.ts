/** What the command line can do without a daemon. */
export { runChecks } from '../doctor/index.ts';
export { replayRecording } from '../sessions/index.ts';
export { readConfig, shownConfig } from './config.ts';
