/** Every event of a job in the order in which it happened. Read in pages until there is no next one. */

import { oneLine } from '../../../src/base/text.ts';
import type { LedgerEvent } from '../../../src/protocol/job.ts';
import { type Api, describeFailure, type Reply } from '../live/api.ts';
import { useQuery } from '../live/store.tsx';
import { Line } from '../parts/text.tsx';
import { clockTime, dayTime } from '../parts/time.tsx';

const pageSize = 500;
/** A job with more events than this is shown from its start, with a word about the rest. */
const pagesMax = 4;

export function Timeline({ jobId, revision }: { readonly jobId: string; readonly revision: number }) {
  const asked = useQuery(`events ${jobId}`, revision, (api) => readEvents(api, jobId));
  return (
    <section aria-labelledby="timeline-head">
      <h2 id="timeline-head">What happened</h2>
      {asked.failure !== null && <p className="callout tone-bad">{describeFailure(asked.failure)}</p>}
      {asked.value !== null && (
        <ol className="timeline" data-testid="timeline">
          {asked.value.events.map((event) => (
            <Event key={event.seq} event={event} />
          ))}
        </ol>
      )}
      {asked.value?.cut === true && (
        <p className="soft">
          The rest: <code>muster why {jobId}</code>
        </p>
      )}
    </section>
  );
}

interface Events {
  readonly events: readonly LedgerEvent[];
  readonly cut: boolean;
}

async function readEvents(api: Api, id: string): Promise<Reply<Events>> {
  const events: LedgerEvent[] = [];
  let after: number | null = 0;
  for (let page = 0; page < pagesMax && after !== null; page += 1) {
    const reply: Reply<{ events: LedgerEvent[]; next: number | null }> = await api.call('jobEvents', {
      id,
      query: { after, limit: pageSize },
    });
    if (reply.kind !== 'ok') return reply;
    events.push(...reply.value.events);
    after = reply.value.next;
  }
  return { kind: 'ok', value: { events, cut: after !== null } };
}

function Event({ event }: { readonly event: LedgerEvent }) {
  return (
    <li data-seq={event.seq} data-type={event.type}>
      <time
        className="time"
        dateTime={new Date(event.at).toISOString()}
        title={`${dayTime(event.at, 0)} · event ${event.seq}`}
      >
        {clockTime(event.at)}
      </time>
      <span className="timeline-type">{event.type}</span>
      <span className="timeline-what">
        <Line text={describe(event)} max={300} />
      </span>
    </li>
  );
}

/** A value longer than this is a text that stands elsewhere on the page. */
const valueMax = 80;

/** The simple values of an event's data, in the order in which they were written: `base commit 4f1c2d3e5a6b`. */
function describe(event: LedgerEvent): string {
  const parts = Object.entries(event.data).flatMap(([name, value]) => {
    const simple = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
    return simple && value !== '' ? [`${words(name)} ${oneLine(shortHash(String(value)), valueMax)}`] : [];
  });
  return parts.join(' · ');
}

const words = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

const shortHash = (value: string): string => (/^[0-9a-f]{40}$/.test(value) ? value.slice(0, 12) : value);
