/** What the configuration says about agents and personas, as dispatch needs it: which agent, which persona, how a session starts. */
import { createHash } from 'node:crypto';
import type { Agent, FoundAgent } from '../agents/agent.ts';
import { agentEnvironment, agents, findAgent } from '../agents/index.ts';
import { Fault } from '../base/fault.ts';
import type { SessionId } from '../base/ids.ts';
import { oneLine } from '../base/text.ts';
import type { AttemptRun, DispatchOptions } from '../dispatch/index.ts';
import { cleanEnvironment } from '../gates/index.ts';
import type { Home } from '../platform/home.ts';
import type { AgentStatus } from '../protocol/api.ts';
import type { JobView } from '../protocol/job.ts';
import type { ResolvedPersona } from '../protocol/persona.ts';
import type { AgentId } from '../protocol/session.ts';
import {
  checkKeepsRules,
  type Personas,
  type PoolMark,
  personaOfSession,
  type Sessions,
  type StartOutcome,
  type StartSession,
} from '../sessions/index.ts';
import type { AgentConfig, Config } from './config.ts';

export interface Fleet {
  readonly chooseAgent: (wanted: string | undefined) => Promise<AgentId>;
  readonly agentOfPersona: (name: string, project: string) => Promise<AgentId | undefined>;
  readonly checkPersona: (name: string, project: string, agent: AgentId) => Promise<void>;
  /** Where the job's agent reads a persona from, relative to its worktree. */
  readonly personaPath: (job: JobView) => string;
  readonly placePersona: DispatchOptions['placePersona'];
  readonly environmentOf: (agent: Agent) => Readonly<Record<string, string>>;
  /** `pool`: the session may stay for jobs to come. */
  readonly startSession: (sessions: Sessions, run: AttemptRun, pool: boolean) => Promise<StartOutcome>;
  /** A session without a job, in a worktree that is there. */
  readonly startPooled: (sessions: Sessions, entry: PooledStart) => Promise<StartOutcome>;
  /** The persona as it is now, and the agent that its jobs get. */
  readonly personaNow: (project: string, name: string) => Promise<PersonaNow | undefined>;
  readonly placePooledPersona: (project: string, name: string) => Promise<{ path: string; text: string } | undefined>;
  readonly agentStatus: () => Promise<AgentStatus[]>;
  /** For verify commands: what a build needs, and no keys. */
  readonly commandEnvironment: Readonly<Record<string, string>>;
}

export interface PersonaNow {
  readonly personaVersion: string;
  /** Hash of all that a session of it is started with, but its words: sessions with the same have the same rights. */
  readonly launch: string;
  readonly agent: AgentId;
}

export interface PooledStart {
  readonly id: SessionId;
  readonly mark: PoolMark;
  readonly worktree: string;
}

const noConfig: AgentConfig = { env: {}, permissions: 'ask', args: [] };
const titleCharsMax = 60;

export interface FleetOptions {
  readonly home: Home;
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly personas: Personas;
}

export function openFleet({ home, config, env, personas }: FleetOptions): Fleet {
  const configOf = (id: AgentId): AgentConfig => config.agents[id] ?? noConfig;
  const find = (agent: Agent): Promise<FoundAgent | undefined> => {
    const { command } = configOf(agent.id);
    return findAgent(agent, { path: env.PATH ?? '', env: sessionEnvironment(agent), ...(command ? { command } : {}) });
  };
  const sessionEnvironment = (agent: Agent): Record<string, string> => ({
    ...agentEnvironment(agent, env),
    ...configOf(agent.id).env,
  });

  const personaOf = (job: JobView, attempt: AttemptRun['attempt']): Promise<ResolvedPersona> =>
    personaOfSession(
      { home, personas },
      { sessionId: attempt.sessionId as SessionId, project: job.projectPath, name: job.persona },
    );

  const chooseAgent = async (wanted: string | undefined): Promise<AgentId> => {
    const name = wanted ?? config.defaults.agent;
    if (name === undefined) return firstInstalled();
    const agent = agents.get(name as AgentId);
    if (!agent)
      throw new Fault('AGENT_UNKNOWN', `agent: there is no "${name}"; allowed are ${[...agents.keys()].join(', ')}`, {
        subject: 'agent',
      });
    if (!(await find(agent))) {
      throw new Fault(
        'AGENT_MISSING',
        `agent: ${agent.title} is not installed: no working "${configOf(agent.id).command?.join(' ') ?? agent.executable}"`,
        {
          subject: 'agent',
          hint: `Install it, or name its program in config.yaml under agents.${agent.id}.command.`,
        },
      );
    }
    return agent.id;
  };
  const firstInstalled = async (): Promise<AgentId> => {
    for (const agent of agents.values()) if (await find(agent)) return agent.id;
    throw new Fault('AGENT_MISSING', `agent: none of ${[...agents.keys()].join(', ')} is installed`, {
      subject: 'agent',
      hint: 'Install one, or name its program in config.yaml under agents.<name>.command.',
    });
  };

  const start = async (
    sessions: Sessions,
    agent: Agent,
    persona: ResolvedPersona,
    how: Pick<StartSession, 'id' | 'title' | 'cwd' | 'pool'>,
  ): Promise<StartOutcome> => {
    const found = await find(agent);
    if (!found) return { kind: 'failed', reason: `${agent.title} is not installed any more` };
    const settings = configOf(agent.id);
    const permissions = persona.permissions ?? settings.permissions;
    checkKeepsRules(agent, persona, permissions);
    return sessions.start({
      ...how,
      agent,
      found,
      persona: persona.name,
      personaVersion: persona.version,
      rules: persona.rules,
      env: sessionEnvironment(agent),
      permissions,
      model: persona.model ?? settings.model,
      resumeId: undefined,
      extraArgs: settings.args,
    });
  };
  const launchOf = (agent: Agent, persona: ResolvedPersona): string => {
    const settings = configOf(agent.id);
    const started = [
      agent.id,
      settings.command ?? null,
      settings.args,
      Object.entries(settings.env).toSorted(([a], [b]) => (a < b ? -1 : 1)),
      persona.permissions ?? settings.permissions,
      persona.model ?? settings.model ?? null,
      persona.rules,
    ];
    return createHash('sha256').update(JSON.stringify(started)).digest('hex').slice(0, 16);
  };
  const personaNow = async (project: string, name: string): Promise<PersonaNow | undefined> => {
    try {
      const persona = await personas.resolve(project, name);
      const agent = agentWithId(await chooseAgent(persona.agent ?? undefined));
      return { personaVersion: persona.version, launch: launchOf(agent, persona), agent: agent.id };
    } catch (error) {
      // Unknown, invalid, or of an agent that is not there: no session can be started for it.
      if (error instanceof Fault) return undefined;
      throw error;
    }
  };

  return {
    chooseAgent,
    agentOfPersona: async (name, project) => (await personas.resolve(project, name)).agent ?? undefined,
    checkPersona: async (name, project, id) => {
      const agent = agents.get(id);
      const persona = await personas.resolve(project, name);
      if (agent) checkKeepsRules(agent, persona, persona.permissions ?? configOf(id).permissions);
    },
    personaPath: (job) => agentOf(job).personaFile,
    placePersona: async ({ job, attempt }) => {
      const ofSession = await personaOf(job, attempt);
      const isAnother = ofSession.name !== job.persona;
      // A pool that may give any session: what it read at its start are the other one's words.
      const { text, name, version, sources } = isAnother
        ? await personas.resolve(job.projectPath, job.persona)
        : ofSession;
      const unread = isAnother ? `the session was started as "${ofSession.name}"` : null;
      return { path: agentOf(job).personaFile, text, name, version, sources, unread };
    },
    environmentOf: sessionEnvironment,
    startSession: async (sessions, { job, attempt }, pool) => {
      const persona = await personaOf(job, attempt);
      const mark = {
        project: job.projectPath,
        persona: persona.name,
        personaVersion: persona.version,
        launch: launchOf(agentOf(job), persona),
        kind: 'cold',
      } as const;
      return start(sessions, agentOf(job), persona, {
        id: attempt.sessionId as SessionId,
        title: oneLine(`${job.id} ${job.text}`, titleCharsMax),
        cwd: attempt.worktree,
        ...(pool ? { pool: mark } : {}),
      });
    },
    startPooled: async (sessions, { id, mark, worktree }) => {
      const now = await personaNow(mark.project, mark.persona);
      const agent = now && agents.get(now.agent);
      if (!agent) return { kind: 'failed', reason: `there is no persona ${mark.persona} any more` };
      const persona = await personaOfSession(
        { home, personas },
        { sessionId: id, project: mark.project, name: mark.persona },
      );
      return start(sessions, agent, persona, { id, title: `ready for ${mark.persona}`, cwd: worktree, pool: mark });
    },
    personaNow,
    placePooledPersona: async (project, name) => {
      const now = await personaNow(project, name);
      const agent = now && agents.get(now.agent);
      return agent && { path: agent.personaFile, text: (await personas.resolve(project, name)).text };
    },
    agentStatus: () => Promise.all([...agents.values()].map(async (agent) => statusOf(agent, await find(agent)))),
    commandEnvironment: cleanEnvironment(env),
  };
}

const agentOf = (job: JobView): Agent => agentWithId(job.agent, `${job.id} wants `);

function agentWithId(id: string, who = ''): Agent {
  const agent = agents.get(id as AgentId);
  if (!agent)
    throw new Fault('AGENT_UNKNOWN', `agent: ${who}"${id}", for which there is no adapter`, { subject: 'agent' });
  return agent;
}

function statusOf(agent: Agent, found: FoundAgent | undefined): AgentStatus {
  const tested = found !== undefined && agent.isTested(found.version);
  return {
    id: agent.id,
    title: agent.title,
    found: found !== undefined,
    path: found?.file ?? null,
    version: found?.version ?? null,
    testedRange: agent.testedRange,
    tested,
    detail:
      found === undefined
        ? `no working "${agent.executable}"`
        : tested
          ? 'tested version'
          : `works as far as it is like ${agent.testedRange}`,
  };
}
