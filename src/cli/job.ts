/** `job list | show | cancel | retry`. */

import { Fault } from '../base/fault.ts';
import type { ListJobs } from '../protocol/api.ts';
import { connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { attemptTable, jobLines, jobTable } from './render/job.ts';
import { totalsLine } from './status.ts';

export interface ListOptions {
  readonly state?: string;
  readonly limit?: number;
  readonly before?: string;
}

/** A screen full; more are a page away. */
const listLimit = 30;

export async function listJobs(cli: Cli, options: ListOptions): Promise<ExitCode> {
  const limit = options.limit ?? listLimit;
  const query: ListJobs = {
    limit,
    ...(await stateFilter(options.state)),
    ...(options.before === undefined ? {} : { before: options.before }),
  };
  const page = await (await connect(cli.home)).call('listJobs', { query });
  if (cli.json) {
    cli.printJson(page);
    return 0;
  }
  cli.print(...jobTable(cli, page.jobs, Date.now()));
  cli.note(page.totals.total === 0 ? 'no jobs yet' : `${page.jobs.length} shown; ${totalsLine(cli, page.totals)}`);
  if (page.next !== null)
    cli.note(
      `more: muster job list --before ${page.next}${options.state === undefined ? '' : ` --state ${options.state}`}`,
    );
  return 0;
}

async function stateFilter(state: string | undefined): Promise<Pick<ListJobs, 'state'>> {
  if (state === undefined) return {};
  const { jobStates } = await import('../protocol/job.ts');
  const known = jobStates.find((name) => name === state);
  if (known !== undefined) return { state: known };
  throw new Fault('BAD_REQUEST', `--state: "${state}" is no state of a job`, {
    subject: '--state',
    hint: `One of: ${jobStates.join(', ')}`,
  });
}

export async function showJob(cli: Cli, id: string): Promise<ExitCode> {
  const detail = await (await connect(cli.home)).call('showJob', { params: { id } });
  if (cli.json) cli.printJson(detail);
  else cli.print(...jobLines(cli, detail.job, Date.now()), '', ...attemptTable(cli, detail.attempts, Date.now()));
  return 0;
}

export async function cancelJob(cli: Cli, id: string): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('cancelJob', { params: { id }, body: {} });
  if (cli.json) cli.printJson(answer);
  else if (answer.job.state === 'cancelled') cli.print(`${answer.job.id} is cancelled`);
  else cli.print(`${answer.job.id} is asked to end; see: muster job follow ${answer.job.id}`);
  return 0;
}

export async function retryJob(cli: Cli, id: string): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('retryJob', { params: { id }, body: {} });
  if (cli.json) cli.printJson(answer);
  else cli.print(`${answer.job.id} is ${answer.job.state} again; see: muster job follow ${answer.job.id}`);
  return 0;
}
