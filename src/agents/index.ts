/** The face of the agents: the adapters that there are, and how to find their programs. */
import type { AgentId } from '../protocol/session.ts';
import type { Agent } from './agent.ts';
import { claude } from './claude/claude.ts';
import { codex } from './codex/codex.ts';
import { gemini } from './gemini/gemini.ts';
import { opencode } from './opencode/opencode.ts';
import { pi } from './pi/pi.ts';
import { qwen } from './qwen/qwen.ts';

export { withoutOpenEnd } from './commands.ts';
export { agentEnvironment, findAgent } from './find.ts';
export { findRows } from './rows-search.ts';
export { isAsking } from './spool.ts';

export const agents: ReadonlyMap<AgentId, Agent> = new Map(
  [claude, codex, qwen, gemini, opencode, pi].map((agent) => [agent.id, agent]),
);
