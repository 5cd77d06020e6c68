/** `why`: the chain of facts behind a job's outcome or a session's state, oldest first, and what follows from it. */
import { Fault } from '../base/fault.ts';
import { oneLine } from '../base/text.ts';
import { type Answer, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { jobColours, sessionColours } from './render/style.ts';
import { localTime } from './render/time.ts';

export async function why(cli: Cli, id: string): Promise<ExitCode> {
  if (/^j\d+$/.test(id)) {
    const answer = await (await connect(cli.home)).call('whyJob', { params: { id } });
    if (cli.json) cli.printJson(answer);
    else cli.print(...jobWhyLines(cli, answer, Date.now()));
    return 0;
  }
  if (id.startsWith('s-')) {
    const answer = await (await connect(cli.home)).call('whySession', { params: { id } });
    if (cli.json) cli.printJson(answer);
    else cli.print(...sessionWhyLines(cli, answer, Date.now()));
    return 0;
  }
  throw new Fault('NOT_FOUND', `No job or session has the id "${oneLine(id, 60)}"`, {
    subject: 'id',
    hint: 'Jobs are called j12, sessions s-4k2v8q0m1x. See: muster job list, muster session list',
  });
}

function jobWhyLines(
  { paint }: Cli,
  { job, attempts, steps, conclusion }: Answer<'whyJob'>,
  now: number,
): readonly string[] {
  const tries = attempts.length === 1 ? '1 attempt' : `${attempts.length} attempts`;
  return [
    `${job.id} ${paint(jobColours[job.state], job.state)}, ${tries}: ${oneLine(job.text, 200)}`,
    ...steps.map(({ at, what, evidence }) => {
      const because = evidence === '' ? '' : paint('dim', `  [${oneLine(evidence, 300)}]`);
      return `  ${localTime(at, now)}  ${oneLine(what, 300)}${because}`;
    }),
    paint('bold', oneLine(conclusion, 1000)),
  ];
}

function sessionWhyLines(
  { paint }: Cli,
  { session, changes, evidence }: Answer<'whySession'>,
  now: number,
): readonly string[] {
  const changeLines = changes.map(
    ({ from, to, at, evidence: made }) =>
      `  ${localTime(at, now)}  ${from} → ${paint(sessionColours[to], to)}  ${paint('dim', `[${made.source}: ${oneLine(made.reason, 300)}]`)}`,
  );
  const evidenceLines = evidence.map(
    ({ at, source, reason, state }) =>
      `  ${localTime(at, now)}  ${source.padEnd(12)}  ${oneLine(reason, 300)}${state === undefined ? '' : `  (claims ${state})`}`,
  );
  return [
    ...(changeLines.length === 0 ? [] : ['changes of state:', ...changeLines]),
    ...(evidenceLines.length === 0 ? [] : ['last evidence:', ...evidenceLines]),
    paint(
      'bold',
      `${session.id} is ${session.state} since ${localTime(session.since, now)}, by ${session.source}: ${oneLine(session.reason, 300)}`,
    ),
  ];
}
