/** What each route does: one request, one call of a module. The rules are in the modules. */
import { Fault } from '../base/fault.ts';
import type { SessionId } from '../base/ids.ts';
import { randomToken } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Dispatch } from '../dispatch/index.ts';
import type { EventOf, Ledger } from '../ledger/index.ts';
import type { AgentStatus, Status } from '../protocol/api.ts';
import type { SessionView } from '../protocol/session.ts';
import type { AllSessions, Personas } from '../sessions/index.ts';
import type { Auth } from './auth.ts';
import type { Handlers } from './http.ts';
import { personaHandlers } from './persona-handlers.ts';
import { worktreeHandlers } from './worktree-handlers.ts';

export interface HandlerSources {
  readonly ledger: Ledger;
  readonly sessions: AllSessions;
  readonly dispatch: Dispatch;
  readonly personas: Personas;
  readonly auth: Auth;
  readonly url: () => string;
  readonly about: { readonly version: string; readonly home: string; readonly startedAt: number };
  readonly config: { readonly path: string; readonly exists: boolean; readonly shown: Record<string, unknown> };
  readonly agents: () => Promise<AgentStatus[]>;
  readonly log: Log;
  /** Called after the answer is on its way. */
  readonly stop: (sessions: 'end' | 'keep') => void;
}

const pageOfJobs = 50;
const pageOfEvents = 200;
const tailLines = 40;
const stopGraceMs = 3000;

export function handlers(sources: HandlerSources): Handlers {
  const { ledger, sessions, dispatch, log } = sources;
  /** Of what was done already: that it can't be written down (a full disk) makes it no failure. */
  const tell = async (event: EventOf): Promise<void> => {
    await ledger
      .record(event)
      .catch((error: unknown) => log.error({ event, error }, 'what was done could not be written to the ledger'));
  };
  return {
    status: () => status(sources),
    submitJob: ({ body }) => dispatch.submit(body),
    listJobs: async ({ query }) => {
      const page = await ledger.jobs({ ...query, limit: query.limit ?? pageOfJobs });
      return { jobs: [...page.jobs], next: page.next, totals: await ledger.totals() };
    },
    showJob: async ({ id }) => ({ job: await ledger.job(id), attempts: [...(await ledger.attempts(id))] }),
    jobEvents: async ({ id, query }) => events(ledger, { ...query, jobId: (await ledger.job(id)).id }),
    whyJob: ({ id }) => ledger.why(id),
    cancelJob: async ({ id }) => ({ job: await dispatch.cancel(id, 'request') }),
    retryJob: async ({ id }) => ({ job: await dispatch.retry(id) }),
    listEvents: ({ query }) => events(ledger, query),
    listSessions: async () => ({ sessions: [...sessions.list()] }),
    showSession: async ({ id }) => ({ session: known(sessions, id) }),
    whySession: async ({ id }) => sessions.why(known(sessions, id).id as SessionId) ?? missing(id),
    tailSession: async ({ id, query }) => ({
      session: known(sessions, id),
      lines: [...(await sessions.tail(id as SessionId, query.lines ?? tailLines))],
    }),
    sendSession: async ({ id, body }) => {
      known(sessions, id);
      return {
        receipt: await sessions.send(id as SessionId, {
          inputId: body.inputId ?? `send-${randomToken(16)}`,
          text: body.text,
          readyMs: body.queueMs ?? 0,
          overDraft: body.overDraft ?? false,
          raw: body.raw ?? false,
        }),
      };
    },
    answerSession: async ({ id, body }) => {
      known(sessions, id);
      const { receipt, asked } = await sessions.answer(id as SessionId, {
        decision: body.decision,
        permissionId: body.permissionId,
      });
      await tell({
        type: 'permission.answered',
        sessionId: id,
        data: { decision: body.decision, asked, receipt },
      });
      return { receipt };
    },
    interruptSession: async ({ id }) => {
      known(sessions, id);
      return { receipt: await sessions.interrupt(id as SessionId) };
    },
    stopSession: async ({ id, body }) => {
      known(sessions, id);
      await sessions.end(id as SessionId, { graceMs: body.graceMs ?? stopGraceMs, force: body.force === true });
      return { session: known(sessions, id) };
    },
    adoptSession: async ({ body }) => {
      const adopted = await sessions.adopt({ target: body.target, agent: body.agent, role: body.role });
      const { id, agent, role, place, pid } = adopted.session;
      if (!adopted.already) await tell({ type: 'session.adopted', sessionId: id, data: { agent, role, place, pid } });
      return adopted;
    },
    releaseSession: async ({ id }) => {
      known(sessions, id);
      const session = await sessions.release(id as SessionId);
      await tell({
        type: 'session.released',
        sessionId: id,
        data: { role: session.role, place: session.place },
      });
      return { session };
    },
    sessionTree: () => sessions.tree(),
    ...personaHandlers(sources.personas),
    ...worktreeHandlers(dispatch.worktrees),
    config: async () => ({ path: sources.config.path, exists: sources.config.exists, config: sources.config.shown }),
    agents: async () => ({ agents: await sources.agents() }),
    loginCode: async () => {
      const { code, expiresAt } = sources.auth.issueCode();
      return { url: `${sources.url()}/login?code=${code}`, expiresAt };
    },
    showHost: async () => ({ host: await sessions.describeHost() }),
    upgradeHost: async () => {
      const { pauseMs, ...host } = await sessions.upgradeHost();
      return { host, pauseMs };
    },
    stopDaemon: async ({ body }) => {
      sources.stop(body.sessions);
      return { ok: true };
    },
  };
}

async function status({ ledger, sessions, about, url }: HandlerSources): Promise<Status> {
  return {
    version: about.version,
    home: about.home,
    url: url(),
    daemon: {
      pid: process.pid,
      startedAt: about.startedAt,
      rssBytes: process.memoryUsage.rss(),
      node: process.version,
    },
    host: { ...sessions.host(), rssBytes: await sessions.hostMemory() },
    jobs: await ledger.totals(),
    waiting: await firstWaiting(ledger),
    sessions: [...sessions.list()],
    lastEvent: await ledger.lastSeq(),
  };
}

async function firstWaiting(ledger: Ledger): Promise<Status['waiting']> {
  const [first] = await ledger.queued({ limit: 1 });
  return first === undefined || first.waiting === null ? null : { jobId: first.id, reason: first.waiting };
}

async function events(
  ledger: Ledger,
  page: { after?: number | undefined; limit?: number | undefined; jobId?: string },
) {
  const limit = page.limit ?? pageOfEvents;
  const found = await ledger.events({ ...page, limit });
  const last = found.at(-1)?.seq;
  // A full page may be the last one.
  const more =
    last !== undefined && found.length === limit && (await ledger.events({ ...page, after: last, limit: 1 }));
  return { events: [...found], next: more && more.length > 0 ? last : null };
}

function known(sessions: AllSessions, id: string): SessionView {
  return sessions.get(id as SessionId) ?? missing(id);
}

function missing(id: string): never {
  throw new Fault('NOT_FOUND', `There is no session ${id}`, { subject: id, hint: '`muster session list` shows them.' });
}
