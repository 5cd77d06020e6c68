/** The end of the demo: what the ledger holds of each job, and what git and the tests say about it. */
import { formatDuration } from '../src/base/clock.ts';
import { oneLine } from '../src/base/text.ts';
import { outcomeText } from '../src/cli/render/job.ts';
import { jobColours, type Paint } from '../src/cli/render/style.ts';
import type { LedgerEvent } from '../src/protocol/job.ts';
import { type Row, verificationText } from './board.ts';
import type { Inspection } from './inspect.ts';

/** The steps of a job's path that a person can feel, each up to the event that ended it. */
const steps: readonly (readonly [string, readonly string[]])[] = [
  ['worktree', ['workspace.prepared']],
  ['start', ['prompt.typing']],
  ['prompt', ['prompt.accepted']],
  ['work', ['turn.ended']],
  ['commit', ['work.captured']],
  ['verify', ['verification.passed', 'verification.failed']],
  ['branch', ['branch.landed']],
];

export function summaryLines(row: Row, inspection: Inspection, paint: Paint): readonly string[] {
  const { job, view } = row;
  if (!view) return [`${paint('bold', job.title)}: not submitted`];
  const lines: readonly (readonly [string, string])[] = [
    ['result', view.outcome ? outcomeText(view.outcome) : 'it has not ended'],
    ['verified', verificationText(row)],
    ['checked', inspectionText(inspection)],
    ['steps', stepText(row.events)],
  ];
  const head = `${paint('bold', job.title)} (${view.id}): ${paint(jobColours[view.state], view.state)}`;
  return [head, ...lines.flatMap(([name, text]) => (text ? [`  ${name.padEnd(9)} ${text}`] : []))];
}

const inspectionText = (inspection: Inspection): string =>
  inspection.kind === 'accepted'
    ? `git and the repository's own tests accept it: "${oneLine(inspection.subject, 60)}", ${inspection.changed}`
    : `NOT accepted: ${oneLine(inspection.reason, 200)}`;

/** `worktree 0.1s · agent start 4.2s · ...`, from the times in the ledger. */
export function stepText(events: readonly LedgerEvent[]): string {
  let since = events[0]?.at ?? 0;
  const parts = steps.flatMap(([name, types]) => {
    const ended = events.find(({ type }) => types.includes(type));
    if (!ended) return [];
    const part = `${name} ${formatDuration(Math.max(0, ended.at - since))}`;
    since = ended.at;
    return [part];
  });
  return parts.join(' · ');
}
