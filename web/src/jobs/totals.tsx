/** How many jobs there are in each state. The parts are added up here, so that a sum that is wrong shows instead of hiding. */
import { type JobState, jobStates, type Totals as TotalsView } from '../../../src/protocol/job.ts';
import { useLive } from '../live/store.tsx';
import { Link } from '../parts/router.tsx';
import { jobFaces } from '../parts/tones.ts';

export const sumOf = (totals: TotalsView): number => jobStates.reduce((sum, state) => sum + totals[state], 0);

export interface TotalsProps {
  /** Only the states that have jobs. */
  readonly compact?: boolean;
  readonly chosen?: JobState | null;
}

export function Totals({ compact, chosen }: TotalsProps) {
  const totals = useLive((state) => state.totals);
  if (totals === null) return null;
  const states = compact === true ? jobStates.filter((state) => totals[state] > 0) : jobStates;
  const sum = sumOf(totals);
  return (
    <nav className="totals" aria-label="Jobs by state" data-testid="totals">
      <Link to="/jobs" className="chip" current={chosen === null}>
        <b>{totals.total}</b> {totals.total === 1 ? 'job' : 'jobs'}
      </Link>
      {states.length > 0 && <span className="soft">=</span>}
      {states.map((state) => (
        <Link
          key={state}
          to={`/jobs?state=${state}`}
          className={`chip tone-${jobFaces[state].tone}`}
          current={chosen === state}
        >
          <b>{totals[state]}</b> {jobFaces[state].word}
        </Link>
      ))}
      {sum !== totals.total && (
        <span className="warning" role="alert">
          the parts add up to {sum}
        </span>
      )}
    </nav>
  );
}
