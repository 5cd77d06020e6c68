/**
 * Shows what happens to one job until it ends. History first (paged), then the feed behind the last event shown; after each `hello` the
 * job is asked for once more, so that an end that came while nobody listened is seen.
 */
import { type Answer, type Client, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { followFeed, interruptSignal } from './feed.ts';
import { eventLine, jobLines, outcomeText } from './render/job.ts';
import { jobColours } from './render/style.ts';

type Detail = Answer<'showJob'>;

/** Ctrl-C while following: the shell's number for an interrupted command. */
const interrupted: ExitCode = 130;
const pageSize = 1000;
const ends: ReadonlySet<string> = new Set(['job.done', 'job.failed', 'job.unknown', 'job.cancelled']);

/** `job follow ID`. */
export async function followCommand(cli: Cli, id: string): Promise<ExitCode> {
  const { job } = await (await connect(cli.home)).call('showJob', { params: { id } });
  if (!cli.json) cli.print(...jobLines(cli, job, Date.now()).slice(0, 1));
  return followJob(cli, job.id);
}

/** 0 if the job is done, 1 if it ended otherwise, 130 if the person left. */
export async function followJob(cli: Cli, id: string): Promise<ExitCode> {
  const interrupt = interruptSignal();
  try {
    let seen = await showEvents(cli, await connect(cli.home), { id, after: 0 });
    let ended: Detail | undefined;
    const end = await followFeed({
      home: cli.home,
      after: seen,
      signal: interrupt.signal,
      onLost: (reason) => cli.note(`the daemon is away (${reason}); waiting for it. Ctrl-C leaves, the job goes on`),
      onMessage: async (message, client) => {
        if (message.type === 'event' && message.event.jobId === id && message.event.seq > seen) {
          seen = message.event.seq;
          show(cli, message.event);
        }
        if (
          message.type === 'hello' ||
          (message.type === 'event' && message.event.jobId === id && ends.has(message.event.type))
        ) {
          ended = await endedDetail(client, id);
          if (ended) seen = await showEvents(cli, client, { id, after: seen });
        }
        return ended ? 'stop' : 'go-on';
      },
    });
    if (end === 'aborted' || !ended) {
      cli.note(`left ${id}; it goes on. Come back: muster job follow ${id}   End it: muster job cancel ${id}`);
      return interrupted;
    }
    return reportEnd(cli, ended);
  } finally {
    interrupt.dispose();
  }
}

function show(cli: Cli, event: Answer<'listEvents'>['events'][number]): void {
  if (cli.json) cli.printJson(event);
  else cli.print(eventLine(cli, event, { now: Date.now(), withJob: false }));
}

/** Shows what the ledger has of the job behind `after`; gives the number of the last one shown. */
async function showEvents(
  cli: Cli,
  client: Client,
  { id, after }: { readonly id: string; readonly after: number },
): Promise<number> {
  let seen = after;
  for (;;) {
    const page = await client.call('jobEvents', { params: { id }, query: { after: seen, limit: pageSize } });
    for (const event of page.events) {
      show(cli, event);
      seen = event.seq;
    }
    if (page.next === null || page.events.length === 0) return seen;
  }
}

async function endedDetail(client: Client, id: string): Promise<Detail | undefined> {
  const detail = await client.call('showJob', { params: { id } });
  return detail.job.state === 'queued' || detail.job.state === 'running' ? undefined : detail;
}

function reportEnd(cli: Cli, detail: Detail): ExitCode {
  const { job } = detail;
  if (cli.json) cli.printJson(detail);
  else {
    const how = job.outcome ? `: ${outcomeText(job.outcome)}` : '';
    cli.print(`${job.id} ${cli.paint(jobColours[job.state], job.state)}${how}`);
    if (job.state !== 'done') cli.note(`why: muster why ${job.id}   again: muster job retry ${job.id}`);
  }
  return job.state === 'done' ? 0 : 1;
}
