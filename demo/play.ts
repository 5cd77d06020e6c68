/**
 * Submits the scenario's jobs and follows them to their ends.
 *
 * What is known of a job comes from the ledger: each message of the feed about it makes us read its new events and its view, so that
 * nothing depends on when we listened. The daemon may die meanwhile: the feed waits for it, and submitting is asked again with the same key.
 */
import { Fault } from '../src/base/fault.ts';
import { randomToken } from '../src/base/ids.ts';
import { delay, within } from '../src/base/wait.ts';
import { type Client, connect } from '../src/cli/client.ts';
import { followFeed } from '../src/cli/feed.ts';
import { tryGit } from '../src/platform/git.ts';
import type { FeedMessage } from '../src/protocol/feed.ts';
import type { SessionView } from '../src/protocol/session.ts';
import { isEnded, type Row, tellingLine } from './board.ts';
import { persist } from './keeper.ts';
import type { Live } from './live.ts';
import { submitJob } from './muster.ts';
import type { Scenario } from './scenario.ts';
import type { Stage } from './stage.ts';

export interface Play {
  readonly stage: Stage;
  readonly scenario: Scenario;
  readonly live: Live;
  readonly signal: AbortSignal;
}

interface Cast extends Play {
  readonly rows: readonly Row[];
  /** One per run of the demo: the ledger in the demo's home remembers earlier ones. */
  readonly key: string;
  readonly merged: Set<string>;
}

/** Three jobs take well under a minute; ten on a slow machine not this long. */
const playLimitMs = 15 * 60_000;
const screenEveryMs = 400;
/** Lines of a terminal that are looked through for one that tells something. */
const screenLines = 60;
const eventsPerPage = 1000;

/** All rows, ended; or what was reached when `signal` aborted. */
export async function playJobs(play: Play): Promise<readonly Row[]> {
  const { live, scenario } = play;
  const rows: Row[] = scenario.jobs.map((job) => ({
    job,
    view: undefined,
    session: undefined,
    screen: '',
    events: [],
  }));
  const closed = new AbortController();
  const limit = AbortSignal.timeout(playLimitMs);
  const signal = AbortSignal.any([play.signal, closed.signal, limit]);
  const cast: Cast = { ...play, signal, rows, key: randomToken(8), merged: new Set() };
  live.show(rows);
  const watching = watchScreens(cast);
  try {
    await persist(signal, () => follow(cast));
  } finally {
    closed.abort();
    await watching;
  }
  if (limit.aborted) throw new Fault('TIMED_OUT', `The jobs have not ended after ${playLimitMs / 60_000} minutes`);
  return rows;
}

async function follow(cast: Cast): Promise<void> {
  const { home } = cast.stage;
  const { lastEvent } = await (await connect(home)).call('status');
  await submitReady(cast);
  await followFeed({
    home,
    after: lastEvent,
    signal: cast.signal,
    onLost: () => undefined, // the keeper says so
    onMessage: (message, client) => onMessage(cast, message, client),
  });
}

async function onMessage(cast: Cast, message: FeedMessage, client: Client): Promise<'go-on' | 'stop'> {
  switch (message.type) {
    case 'session':
      takeSession(cast, message.session);
      break;
    case 'hello':
      for (const row of cast.rows) await catchUp(client, row);
      for (const session of message.sessions) takeSession(cast, session);
      await submitReady(cast);
      break;
    case 'event': {
      const row = cast.rows.find(({ view }) => view && view.id === message.event.jobId);
      if (!row) break;
      await catchUp(client, row);
      if (isEnded(row)) await submitReady(cast);
      break;
    }
    case 'session-gone':
      break;
  }
  return cast.rows.every(isEnded) ? 'stop' : 'go-on';
}

function takeSession({ rows }: Cast, session: SessionView): void {
  const row = rows.find(({ view }) => view?.sessionId === session.id);
  if (row) row.session = session;
}

/** Reads what the ledger has of the job beyond what we have seen. */
async function catchUp(client: Client, row: Row): Promise<void> {
  if (!row.view) return;
  const params = { id: row.view.id };
  for (;;) {
    const query = { after: row.events.at(-1)?.seq ?? 0, limit: eventsPerPage };
    const { events } = await client.call('jobEvents', { params, query });
    row.events.push(...events);
    if (events.length < eventsPerPage) break;
  }
  row.view = (await client.call('showJob', { params })).job;
}

async function submitReady(cast: Cast): Promise<void> {
  const ended = new Set(cast.rows.filter(isEnded).map(({ job }) => job.id));
  for (const row of cast.rows) {
    if (row.view || cast.signal.aborted || !row.job.after.every((id) => ended.has(id))) continue;
    for (const id of row.job.after) await mergeBranch(cast, id);
    const place = { repository: cast.stage.repository, key: `demo-${cast.key}-${row.job.id}` };
    row.view = await submitJob(cast.stage.home, row.job, place);
    await catchUp(await connect(cast.stage.home), row);
  }
}

/** As a person would who has looked at the branch and found it good. */
async function mergeBranch({ rows, merged, stage, live }: Cast, id: string): Promise<void> {
  const outcome = rows.find(({ job }) => job.id === id)?.view?.outcome;
  if (merged.has(id) || outcome?.kind !== 'done' || outcome.commit === null) return;
  merged.add(id);
  const inside = { cwd: stage.repository };
  const end = await tryGit(['merge', '--quiet', '--no-edit', outcome.commit], inside);
  if (end.kind === 'ok') return live.note(`Merged ${outcome.branch} into main: the next jobs build on it.`);
  await tryGit(['merge', '--abort'], inside);
  live.note(`${outcome.branch} can not be merged into main; the next jobs start without it.`);
}

/** Looks at the terminals of the sessions that run, for the line that is shown. */
async function watchScreens({ rows, stage, signal }: Cast): Promise<void> {
  while (!signal.aborted) {
    for (const row of rows) {
      const id = row.view?.sessionId;
      if (!id || isEnded(row)) continue;
      // A session that is just starting, or a daemon that is away, has no lines: what was last seen stays.
      const answer = await connect(stage.home)
        .then((client) => client.call('tailSession', { params: { id }, query: { lines: screenLines } }))
        .catch(() => undefined);
      if (answer) row.screen = tellingLine(answer.lines) || row.screen;
    }
    await pause(screenEveryMs, signal);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  await within(Promise.race([aborted, delay(ms)]), ms);
}
