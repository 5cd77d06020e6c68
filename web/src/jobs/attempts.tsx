/** Each try at a job, newest first, with how far it came. */
import { type AttemptView, attemptPhases } from '../../../src/protocol/job.ts';
import { Link, sessionPath } from '../parts/router.tsx';
import { Block, Line } from '../parts/text.tsx';
import { Ago, At, shortDuration } from '../parts/time.tsx';
import { phaseWords, summariseOutcome } from './summary.ts';

export function Attempts({ attempts }: { readonly attempts: readonly AttemptView[] }) {
  if (attempts.length === 0) return null;
  const newest = [...attempts].sort((a, b) => b.fence - a.fence);
  return (
    <section aria-labelledby="attempts-head" data-testid="attempts">
      <h2 id="attempts-head">{attempts.length === 1 ? 'Attempt' : `${attempts.length} attempts`}</h2>
      {newest.map((attempt) => (
        <Attempt key={attempt.id} attempt={attempt} />
      ))}
    </section>
  );
}

function Attempt({ attempt }: { readonly attempt: AttemptView }) {
  return (
    <div className="attempt" data-testid="attempt" data-phase={attempt.phase}>
      <p>
        <strong>{attempt.id}</strong> <At at={attempt.startedAt} />
        <span className="soft">
          {' '}
          {attempt.endedAt === null ? (
            <>running for {<Ago at={attempt.startedAt} />}</>
          ) : (
            `took ${shortDuration(attempt.endedAt - attempt.startedAt)}`
          )}
          , session <Link to={sessionPath(attempt.sessionId)}>{attempt.sessionId}</Link>
        </span>
      </p>
      <Phases attempt={attempt} />
      {attempt.outcome !== null && (
        <p className="soft">
          {attempt.outcome.kind}: <Line text={summariseOutcome(attempt.outcome)} />
        </p>
      )}
      {attempt.prompt !== null && (
        <details>
          <summary>The prompt as it was given</summary>
          <Block text={attempt.prompt} label={`Prompt of attempt ${attempt.id}`} />
        </details>
      )}
    </div>
  );
}

/** A failed attempt jumps to `settled` from where it was; only its outcome, not its phase, says that all went well. */
function Phases({ attempt }: { readonly attempt: AttemptView }) {
  const reached = attemptPhases.indexOf(attempt.phase);
  const settled = attempt.phase === 'settled';
  const good = !settled || attempt.outcome?.kind === 'done';
  return (
    <ol className={`phases${good ? '' : ' cut'}`} aria-label={`Phase: ${attempt.phase}, ${phaseWords[attempt.phase]}`}>
      {attemptPhases.map((phase, index) => (
        <li
          key={phase}
          title={phaseWords[phase]}
          data-reached={good ? index <= reached : phase === 'settled'}
          aria-current={index === reached ? 'step' : undefined}
        >
          {phase}
        </li>
      ))}
    </ol>
  );
}
