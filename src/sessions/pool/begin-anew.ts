/**
 * Begins a new conversation in a session that stays, by the agent's own command. It counts only if it is proved: the agent must tell
 * another id for the conversation than before. What can't be proved is not reused, because the next job would read the last one's.
 */

import { promptStates } from '../../agents/agent.ts';
import { delay } from '../../base/wait.ts';
import type { HostLink } from '../host-link.ts';
import type { LiveSession } from '../live-session.ts';

/** Claude Code answers `/clear` within half a second; the slowest start-up hook seen took two. */
const proofMs = 6000;

export async function beginAnew(session: LiveSession, host: HostLink, now: number): Promise<boolean> {
  const command = session.agent.keys.newConversation;
  const before = session.facts.resumeId;
  if (command === undefined || before === null || session.ended || !promptStates.includes(session.facts.state))
    return false;
  const write = (part: string, data: string): Promise<unknown> =>
    host.call('write', { sessionId: session.record.id, inputId: `anew-${now}-${part}`, data });
  await write('command', command);
  await delay(session.agent.keys.settleMs);
  if (!promptStates.includes(session.facts.state)) return false;
  await write('enter', session.agent.keys.submit);
  const anew = await session.until(() => (session.facts.resumeId !== before ? true : undefined), { ms: proofMs });
  return anew === true;
}
