/** The face of the agents: the adapters that there are, and how to find their programs. */
import type { AgentId } from '../protocol/session.ts';
import type { Agent } from './agent.ts';
import { claude } from './claude/claude.ts';

export { agentEnvironment, findAgent } from './find.ts';

export const agents: ReadonlyMap<AgentId, Agent> = new Map([[claude.id, claude]]);
