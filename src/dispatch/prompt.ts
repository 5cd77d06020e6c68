/** Builds what an agent is told from what a person asked for. The built prompt is stored with the attempt. */
import type { JobView } from '../protocol/job.ts';
import type { PlacedPersona } from './workspace.ts';

/** The explicit marker of completion; a hint that raises confidence, never by itself an end of turn. */
export const doneMarker = '[MUSTER:DONE]';

/** Longest text a job may have: what fits a terminal paste that every agent takes in one piece. */
export const workTextCharsMax = 20_000;

/**
 * Starts with a plain word, because a first character of `!`, `#`, `/` or `-` switches modes in some agents.
 * The marker is named in the middle of a sentence, so that its echo on the screen is not taken for the real one.
 */
export function buildPrompt(job: Pick<JobView, 'text' | 'verify' | 'allowEmpty'>, persona: PlacedPersona): string {
  return [
    ...(persona.kind === 'prompt' ? ['Who you are:', persona.text.trim(), ''] : []),
    'Task:',
    job.text.trim(),
    '',
    'How this will be judged:',
    job.verify === null
      ? '- The change does what the task says, and the tests of this repository still pass.'
      : `- In a clean checkout of your result this command must succeed: ${job.verify}`,
    ...(job.allowEmpty ? [] : ['- The result must contain a change; a report alone is not enough.']),
    '- Work only in the current folder, which is a git worktree made for this task. You may commit; what you leave uncommitted is committed for you.',
    '- Check your own work before you finish. If you can not do it, say so plainly and stop.',
    '',
    `When all of it is done, end your last message with the line ${doneMarker} and nothing after it.`,
  ].join('\n');
}

/** True if the agent's own last words end with the marker (or its alias); the echoed prompt and quotations do not count. */
export const endsWithMarker = (message: string): boolean => /(?:^|\n)\s*\[(?:MUSTER|SEMO):DONE\]\s*$/.test(message);
