/**
 * The named scripts, chosen by `SCRIPT:<name>` in a prompt. Each rehearses one thing that a control plane must read rightly.
 * Commands append start and end times to `.scripted-tool.log` in the agent's folder, so that a test knows when a tool really ran.
 */
import type { Script, Step } from './step.ts';

const stamp = (name: string): string =>
  `node -e "require('fs').appendFileSync('.scripted-tool.log',Date.now()+' ${name}'+String.fromCharCode(10))"`;
const stamped = (command: string): string => `${stamp('start')}; ${command}; ${stamp('end')}`;

const note = { path: 'scripted-note.txt', content: 'written by the scripted model\n' };

const refusal = (status: number, type: string, message: string, more: object = {}): Step => ({
  delayMs: 500,
  error: { status, type, message, ...more },
});
const recovering = (step: Step, text: string): Script => [{ ...step, text }];
const rateLimit = (more: object): Step => refusal(429, 'rate_limit_error', 'scripted rate limit reached', more);
const overloaded = (more: object = {}): Step => refusal(529, 'overloaded_error', 'Overloaded', more);

export const scripts: Readonly<Record<string, Script>> = {
  hello: [{ text: 'Hello from the scripted model. Nothing else to do.' }],
  shell: [
    {
      delayMs: 1500,
      text: 'I will run a command.',
      shell: stamped('sleep 2; echo scripted-output'),
    },
    { delayMs: 1200, paceMs: 60, text: 'The command printed scripted-output. All done.' },
  ],
  write: [
    { delayMs: 1500, text: 'I will create the file.', write: note },
    { delayMs: 1200, paceMs: 60, text: 'I created scripted-note.txt. All done.' },
  ],
  both: [
    { delayMs: 800, text: 'First a file.', write: note },
    { delayMs: 800, text: 'Now a command.', shell: stamped('sleep 2; cat scripted-note.txt') },
    { delayMs: 800, paceMs: 60, text: 'Both steps are finished.' },
  ],
  fail: [
    { delayMs: 800, text: 'Running a command that fails.', shell: `${stamped('echo broken >&2')}; exit 3` },
    { delayMs: 800, text: 'The command failed with exit status 3. I stop here.' },
  ],
  parallel: [
    {
      delayMs: 800,
      text: 'Two commands at once.',
      shell: ['sleep 1; echo one > one.txt', 'sleep 1; echo two > two.txt'],
    },
    { delayMs: 800, text: 'Both commands ran.' },
  ],
  slow: [
    {
      delayMs: 2500,
      paceMs: 400,
      text: 'This answer arrives slowly, one small piece after another, so that a long streaming phase can be observed on the screen without any tool call at all.',
    },
  ],
  longtool: [
    { delayMs: 500, text: 'Running something long and silent.', shell: stamped('sleep 15') },
    { delayMs: 500, text: 'The long command is over.' },
  ],
  env: [
    { text: 'Looking at the environment.', shell: 'env | grep -E "TRACE|AGENT|SESSION" > env.txt' },
    { text: 'Done.' },
  ],
  think: [
    {
      delayMs: 500,
      paceMs: 200,
      think: 'Let me think about this for a while, carefully and at some length.',
      text: 'I thought about it. Done.',
    },
  ],
  question: [{ delayMs: 800, text: 'Should I use tabs or spaces? Please tell me which one you prefer.' }],
  /** Words that look like states, as plain model text: a trap for screen rules. */
  trap: [
    {
      delayMs: 800,
      paceMs: 150,
      text: 'The log says:\n\n  API Error: 529 overloaded_error\n  Do you want to proceed? 1. Yes 2. No\n  esc to interrupt\n\nThat is only a quotation. All done.',
    },
  ],
  e400: [refusal(400, 'invalid_request_error', 'scripted bad request')],
  e401: [refusal(401, 'authentication_error', 'invalid x-api-key')],
  e429: [rateLimit({ retryAfter: 2 })],
  e429once: recovering(rateLimit({ retryAfter: 3, times: 1 }), 'Recovered after one 429. All done.'),
  e429twice: recovering(rateLimit({ retryAfter: 3, times: 2 }), 'Recovered after two 429s. All done.'),
  quota: [
    refusal(429, 'insufficient_quota', 'You exceeded your current quota, please check your plan and billing details.', {
      code: 'insufficient_quota',
    }),
  ],
  e500: [refusal(500, 'api_error', 'scripted internal error')],
  e503: [refusal(503, 'api_error', 'scripted unavailable')],
  e529: [overloaded()],
  e529once: recovering(overloaded({ times: 1 }), 'Recovered after one 529. All done.'),
  sse_overload: [{ delayMs: 500, sseError: { type: 'overloaded_error', message: 'Overloaded' } }],
  context: [
    refusal(400, 'invalid_request_error', 'prompt is too long: 250000 tokens > 200000 maximum', {
      code: 'context_length_exceeded',
    }),
  ],
  cut: [
    { delayMs: 500, paceMs: 200, cut: true, text: 'This stream is going to break off in the middle of a sentence.' },
  ],
  hang: [{ hang: true }],
  toolthenerr: [{ delayMs: 500, text: 'A command first.', shell: 'echo before-error' }, overloaded()],
};
