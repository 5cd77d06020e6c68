/** How a job or an attempt ended, with what proves it. */
import type { Outcome, Verification } from '../../../src/protocol/job.ts';
import { Block, Line } from '../parts/text.tsx';
import { shortDuration } from '../parts/time.tsx';
import { jobFaces } from '../parts/tones.ts';

/** Longer lists are cut with a count; the commit holds all of them. */
const filesShown = 60;

export function OutcomePart({ outcome }: { readonly outcome: Outcome }) {
  const face = jobFaces[outcome.kind];
  return (
    <section className={`outcome tone-${face.tone}`} aria-labelledby="outcome-head" data-testid="outcome">
      <h2 id="outcome-head">Outcome: {face.word}</h2>
      <OutcomeWords outcome={outcome} />
      <dl className="facts">
        {outcome.commit !== null && (
          <>
            <dt>Commit</dt>
            <dd className="mono">{outcome.commit}</dd>
          </>
        )}
        {outcome.kind === 'done' && (
          <>
            <dt>Branch</dt>
            <dd className="mono">
              <Line text={outcome.branch} />
            </dd>
            <dt>Files</dt>
            <dd>
              <Files files={outcome.files} />
            </dd>
          </>
        )}
      </dl>
      {(outcome.kind === 'done' || outcome.kind === 'failed') && outcome.verification !== null && (
        <VerificationPart verification={outcome.verification} />
      )}
      {outcome.kind === 'done' && outcome.verification === null && (
        <p className="soft">No verify command was given: nobody but the agent has checked this.</p>
      )}
    </section>
  );
}

function OutcomeWords({ outcome }: { readonly outcome: Outcome }) {
  switch (outcome.kind) {
    case 'done':
      return outcome.message === '' ? null : (
        <p>
          <Line text={outcome.message} max={2_000} />
        </p>
      );
    case 'failed':
      return (
        <p>
          <code>{outcome.reason}</code> <Line text={outcome.detail} max={2_000} />
        </p>
      );
    case 'unknown':
      return (
        <p>
          <code>{outcome.reason}</code> What was tried: <Line text={outcome.tried} max={2_000} />
        </p>
      );
    case 'cancelled':
      return (
        <p>
          <Line text={outcome.detail} max={2_000} />
        </p>
      );
  }
}

function Files({ files }: { readonly files: readonly string[] }) {
  if (files.length === 0) return <span className="soft">none changed</span>;
  return (
    <ul className="files mono">
      {files.slice(0, filesShown).map((file) => (
        <li key={file}>
          <Line text={file} />
        </li>
      ))}
      {files.length > filesShown && <li className="soft">and {files.length - filesShown} more</li>}
    </ul>
  );
}

function VerificationPart({ verification }: { readonly verification: Verification }) {
  const passed = verification.exitCode === 0;
  return (
    <div className="verification" data-testid="verification">
      <p>
        <span className={`badge tone-${passed ? 'good' : 'bad'}`}>
          {passed ? '✓ verified' : '× verification failed'}
        </span>{' '}
        <code>
          <Line text={verification.command} />
        </code>{' '}
        <span className="soft">
          {verification.exitCode === null ? 'did not end by itself' : `ended with code ${verification.exitCode}`} after{' '}
          {shortDuration(verification.durationMs)}, on commit {verification.commit.slice(0, 12)}
        </span>
      </p>
      {verification.tail.trim() !== '' && (
        <Block text={verification.tail} label="End of what the verify command printed" />
      )}
    </div>
  );
}
