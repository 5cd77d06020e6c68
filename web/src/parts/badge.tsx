/** State badges: colour, sign and word. While the connection is lost every state is unknown, and the badge says what it was. */

import type { JobState } from '../../../src/protocol/job.ts';
import type { SessionState } from '../../../src/protocol/state.ts';
import { useStale } from '../live/store.tsx';
import { type Face, jobFaces, sessionFaces, type Tone } from './tones.ts';

/** A sign per tone for those who don't see the colour. */
const signs: Readonly<Record<Tone, string>> = {
  person: '!',
  busy: '●',
  good: '✓',
  bad: '×',
  warn: '△',
  quiet: '○',
  unknown: '?',
};

export function SessionBadge({ state }: { readonly state: SessionState }) {
  return <Badge face={sessionFaces[state]} state={state} />;
}

export function JobBadge({ state }: { readonly state: JobState }) {
  return <Badge face={jobFaces[state]} state={state} />;
}

function Badge({ face, state }: { readonly face: Face; readonly state: string }) {
  const stale = useStale();
  const tone = stale ? 'unknown' : face.tone;
  return (
    <span
      className={`badge tone-${tone}`}
      title={face.meaning}
      data-testid="badge"
      data-state={stale ? 'unknown' : state}
    >
      <span className="badge-sign" aria-hidden="true">
        {signs[tone]}
      </span>
      {stale && state !== 'unknown' ? `unknown, was: ${face.word}` : face.word}
    </span>
  );
}
