/**
 * How each state looks: its tone (a colour, never the only sign) and what it means in one sentence. The order of trust and the rules behind
 * the states are the daemon's; here is only their face.
 */
import type { JobState } from '../../../src/protocol/job.ts';
import type { SessionState } from '../../../src/protocol/state.ts';

/** person: waits for somebody · busy: at work · good · bad · warn: needs an eye · quiet: nothing going on · unknown: nobody can say. */
export type Tone = 'person' | 'busy' | 'good' | 'bad' | 'warn' | 'quiet' | 'unknown';

export interface Face {
  readonly tone: Tone;
  readonly word: string;
  readonly meaning: string;
}

export const sessionFaces: Readonly<Record<SessionState, Face>> = {
  starting: { tone: 'busy', word: 'starting', meaning: 'Launched, not yet at its prompt.' },
  setup: { tone: 'person', word: 'needs setup', meaning: 'At a trust, login or onboarding screen.' },
  idle: { tone: 'quiet', word: 'idle', meaning: 'At its prompt, no turn since it started.' },
  working: { tone: 'busy', word: 'working', meaning: 'A turn is running.' },
  permission: { tone: 'person', word: 'asks permission', meaning: 'Waits for a yes or no to one tool call.' },
  question: { tone: 'person', word: 'asks a question', meaning: 'Waits for an answer to a question.' },
  retrying: { tone: 'warn', word: 'retrying', meaning: 'The model call failed and is tried again.' },
  limited: { tone: 'warn', word: 'limited', meaning: 'Stopped by a usage limit.' },
  done: { tone: 'good', word: 'turn done', meaning: 'The last turn ended well; at its prompt.' },
  failed: { tone: 'bad', word: 'turn failed', meaning: 'The last turn ended with an error; at its prompt.' },
  stalled: { tone: 'warn', word: 'stalled', meaning: 'A turn is running and nothing has been heard for too long.' },
  exited: { tone: 'quiet', word: 'exited', meaning: 'Ended with code 0, or as asked.' },
  crashed: {
    tone: 'bad',
    word: 'crashed',
    meaning: 'Ended by itself with another code, or by a signal that nobody here sent.',
  },
  unknown: { tone: 'unknown', word: 'unknown', meaning: 'No evidence yet.' },
};

export const jobFaces: Readonly<Record<JobState, Face>> = {
  queued: { tone: 'quiet', word: 'queued', meaning: 'Waits for its turn.' },
  running: { tone: 'busy', word: 'running', meaning: 'An attempt is under way.' },
  done: { tone: 'good', word: 'done', meaning: 'Ended with evidence.' },
  failed: { tone: 'bad', word: 'failed', meaning: 'Ended without what was wanted; the reason is known.' },
  unknown: { tone: 'unknown', word: 'unknown', meaning: 'How it ended is not known; a person should look.' },
  cancelled: { tone: 'quiet', word: 'cancelled', meaning: 'Stopped because somebody asked for it.' },
};

/** Sessions that wait for a person. */
export const needsPerson = (state: SessionState): boolean => sessionFaces[state].tone === 'person';

export const hasEnded = (state: SessionState): boolean => state === 'exited' || state === 'crashed';
