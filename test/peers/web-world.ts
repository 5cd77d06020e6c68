/** Canned sessions, jobs and screens for `web-api.ts`: complete values with the few fields of interest given by the test. */
import { type AttemptView, attemptPhases, type JobView, jobStates, type Totals } from '../../src/protocol/job.ts';
import type { SessionView } from '../../src/protocol/session.ts';

export function aSession(given: Partial<SessionView> & { readonly id: string }): SessionView {
  const now = Date.now();
  return {
    pool: null,
    kind: 'own',
    place: null,
    role: null,
    agent: 'claude',
    agentVersion: '2.1.328',
    agentTested: true,
    persona: 'worker',
    personaVersion: '3f2a9c0d1e4b5a67',
    unkeptRules: [],
    title: 'Parse dates with a time zone',
    cwd: '/home/dev/worktrees/j1.1',
    pid: 4242,
    state: 'working',
    since: now - 42_000,
    source: 'hook',
    reason: 'hook UserPromptSubmit',
    permission: null,
    error: null,
    resumeId: '9c902ec1-2cea-404d-b9f1-577184413d34',
    turns: 1,
    toolCalls: 7,
    startedAt: now - 240_000,
    lastOutputAt: now - 1_000,
    memoryBytes: 412 * 1024 * 1024,
    exit: null,
    cols: 110,
    rows: 34,
    ...given,
  };
}

export function aJob(given: Partial<JobView> & { readonly id: string }): JobView {
  const now = Date.now();
  return {
    state: 'running',
    text: 'Parse dates with a time zone.\n\nThe test in src/parse/date.test.ts fails since the change of clocks. Find out why, mend it, and say what it was.',
    project: 'calendar',
    projectPath: '/home/dev/calendar',
    persona: 'worker',
    agent: 'claude',
    verify: 'npm test',
    allowEmpty: false,
    baseCommit: '4f1c2d3e5a6b7c8d9e0f4f1c2d3e5a6b7c8d9e0f',
    baseRef: 'main',
    submittedAt: now - 300_000,
    submittedBy: 'dev',
    endedAt: null,
    cancelRequested: false,
    waiting: null,
    attempts: 1,
    phase: 'delivered',
    sessionId: null,
    branch: `muster/${given.id}`,
    outcome: null,
    ...given,
  };
}

export function aDoneJob(given: Partial<JobView> & { readonly id: string }): JobView {
  const commit = 'b7e0c1d2f3a4958677869504a3b2c1d0e9f8a7b6';
  return aJob({
    state: 'done',
    phase: 'settled',
    endedAt: Date.now() - 60_000,
    outcome: {
      kind: 'done',
      branch: `muster/${given.id}`,
      commit,
      files: ['src/parse/date.ts', 'src/parse/date.test.ts'],
      message: 'Offsets were read in local time; they are read in UTC now.',
      verification: {
        command: 'npm test',
        commit,
        exitCode: 0,
        durationMs: 4_210,
        tail: ' ✓ src/parse/date.test.ts (14 tests) 31ms\n\n Test Files  9 passed (9)\n      Tests  112 passed (112)',
      },
    },
    ...given,
  });
}

export function anAttempt(job: JobView): AttemptView {
  return {
    id: `${job.id}.${job.attempts}`,
    fence: job.attempts,
    phase: job.phase ?? attemptPhases[0],
    sessionId: job.sessionId ?? 's-0000000000',
    branch: job.branch ?? `muster/${job.id}`,
    worktree: `/home/dev/worktrees/${job.id}.${job.attempts}`,
    personaVersion: '3f2a9c0d1e4b5a67',
    startedAt: job.submittedAt + 400,
    endedAt: job.endedAt,
    prompt: `${job.text}\n\nWhen everything is done, print the completion marker.`,
    commit: job.outcome?.commit ?? null,
    outcome: job.outcome,
  };
}

export function totalsOf(jobs: Iterable<JobView>): Totals {
  const totals: Totals = { total: 0, queued: 0, running: 0, done: 0, failed: 0, unknown: 0, cancelled: 0 };
  for (const job of jobs) {
    totals.total += 1;
    for (const state of jobStates) if (job.state === state) totals[state] += 1;
  }
  return totals;
}

const esc = '\u001b';
const colour = (code: string, text: string): string => `${esc}[${code}m${text}${esc}[0m`;

/** What a coding agent's screen looks like: a header, some work with true colours, a prompt box at the bottom. */
export function agentScreen({
  title,
  cols,
  rows,
  lines,
}: {
  title: string;
  cols: number;
  rows: number;
  lines: readonly string[];
}): string {
  const rule = colour('38;2;74;86;101', '─'.repeat(cols));
  const top = [
    '',
    ` ${colour('38;2;215;119;87', '▐▛███▜▌')}  ${colour('1', 'Claude Code')} ${colour('38;5;246', 'v2.1.328')}`,
    ` ${colour('38;2;215;119;87', '▝▜█████▛▘')} ${colour('38;5;246', 'Opus · ~/worktrees')}`,
    '',
    ` ${colour('38;5;244', '>')} ${title}`,
    '',
  ];
  const body = [...top, ...lines].slice(0, rows - 5).map((line) => `${line}\r\n`);
  const box = `${esc}[${rows - 3};1H${rule}\r\n ${colour('38;5;246', '>')} \r\n${rule}\r\n ${colour('38;2;120;134;150', '>> accept edits on · ? for shortcuts')}`;
  return `${esc}[?1049h${esc}[2J${esc}[H${body.join('')}${box}`;
}

export const workLines: readonly string[] = [
  ` ${colour('38;2;116;205;152', '●')} ${colour('1', 'Read')}(src/parse/date.ts)`,
  `   ${colour('38;5;246', '└  Read 84 lines')}`,
  ` ${colour('38;2;116;205;152', '●')} ${colour('1', 'Bash')}(npm test -- src/parse)`,
  `   ${colour('38;5;246', '└  ')}${colour('31', '✗ reads the offset of a summer date')}`,
  `   ${colour('38;5;246', '   expected 2026-07-01T10:00:00Z, got 2026-07-01T09:00:00Z')}`,
  ` ${colour('38;2;116;205;152', '●')} ${colour('1', 'Update')}(src/parse/date.ts)`,
  `   ${colour('48;2;32;60;41', '+  const offset = Date.UTC(year, month, day) - local;                   ')}`,
  `   ${colour('48;2;70;34;36', '-  const offset = new Date(year, month, day).getTimezoneOffset();        ')}`,
  '',
  ` ${colour('38;2;215;119;87', '✻ Thinking… (12s · ↑ 1.2k tokens)')}`,
];
