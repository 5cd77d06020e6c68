/** `events [--follow]`: the ledger's events, all or of one job. */
import type { LedgerEvent } from '../protocol/job.ts';
import { type Client, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { followFeed, interruptSignal } from './feed.ts';
import { eventLine } from './render/job.ts';

export interface EventsOptions {
  readonly after?: number;
  readonly limit?: number;
  readonly job?: string;
  readonly follow?: boolean;
}

const defaultLimit = 100;

export async function events(cli: Cli, options: EventsOptions): Promise<ExitCode> {
  const client = await connect(cli.home);
  if (options.follow) return followEvents(cli, options, options.after ?? (await client.call('status')).lastEvent);
  const limit = options.limit ?? defaultLimit;
  const query = { after: options.after ?? (await startOf(client, options.job, limit)), limit };
  const page =
    options.job === undefined
      ? await client.call('listEvents', { query })
      : await client.call('jobEvents', { params: { id: options.job }, query });
  if (cli.json) {
    cli.printJson(page);
    return 0;
  }
  for (const event of page.events) show(cli, event);
  if (page.next !== null)
    cli.note(`more: muster events --after ${page.next}${options.job === undefined ? '' : ` --job ${options.job}`}`);
  return 0;
}

/** A job's events from its first; of everything only the newest, since the oldest are seldom wanted. */
const startOf = async (client: Client, job: string | undefined, limit: number): Promise<number> =>
  job === undefined ? Math.max(0, (await client.call('status')).lastEvent - limit) : 0;

function show(cli: Cli, event: LedgerEvent): void {
  if (cli.json) cli.printJson(event);
  else cli.print(eventLine(cli, event, { now: Date.now(), withJob: true }));
}

async function followEvents(cli: Cli, { job }: EventsOptions, after: number): Promise<ExitCode> {
  const interrupt = interruptSignal();
  try {
    await followFeed({
      home: cli.home,
      after,
      signal: interrupt.signal,
      onLost: (reason) => cli.note(`the daemon is away (${reason}); waiting for it`),
      onMessage: async (message) => {
        if (message.type === 'event' && (job === undefined || message.event.jobId === job)) show(cli, message.event);
        return 'go-on';
      },
    });
    return 0;
  } finally {
    interrupt.dispose();
  }
}
