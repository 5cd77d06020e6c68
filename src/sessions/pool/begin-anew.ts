/**
 * Begins a new conversation in a session that stays, by the agent's own command. It counts only if it is proved: the agent must tell
 * another id for the conversation than before. What can't be proved is not reused, because the next job would read the last one's.
 */

import type { Keyboard } from '../input.ts';
import type { LiveSession } from '../live-session.ts';
import { typeCommand } from '../prompt.ts';

/** Claude Code answers `/clear` within half a second; the slowest start-up hook seen took two. */
const proofMs = 6000;

export async function beginAnew(session: LiveSession, keyboard: Keyboard, clock: () => number): Promise<boolean> {
  const text = session.agent.keys.newConversation;
  const before = session.facts.resumeId;
  if (text === undefined || before === null) return false;
  if (!(await typeCommand(session, keyboard, { inputId: `anew-${clock()}`, text }, clock))) return false;
  const anew = await session.until(() => (session.facts.resumeId !== before ? true : undefined), { ms: proofMs });
  return anew === true;
}
