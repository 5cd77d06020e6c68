import { expect, test } from 'vitest';
import { painter } from '../src/cli/render/style.ts';
import { displayWidth } from '../src/cli/render/width.ts';
import type { JobView, LedgerEvent } from '../src/protocol/job.ts';
import { boardLines, type Row, tellingLine } from './board.ts';
import { stepText } from './summary.ts';

const paint = painter(false);

const view: JobView = {
  id: 'j1',
  state: 'running',
  text: 'mend it',
  project: 'repository',
  projectPath: '/r',
  persona: 'dev',
  agent: 'qwen',
  verify: 'node --test',
  allowEmpty: false,
  baseCommit: 'b',
  baseRef: 'main',
  submittedAt: 1000,
  submittedBy: 'test',
  endedAt: null,
  cancelRequested: false,
  waiting: null,
  attempts: 1,
  phase: 'delivered',
  sessionId: 's-1',
  branch: 'muster/j1',
  outcome: null,
};
const job = { id: 'fix', title: 'a failing test', text: 'mend it', after: [] };
const row: Row = { job, view, session: undefined, screen: 'running the tests', events: [] };
const event = (seq: number, at: number, type: string): LedgerEvent => {
  return { seq, at, type, jobId: 'j1', attemptId: null, sessionId: null, data: {} };
};

test('a job is three lines: how it stands, why we think so, what its screen says', () => {
  const rows = [{ ...row, events: [event(1, 1000, 'prompt.accepted')] }];
  expect(boardLines(rows, { width: 80, paint, now: 5000 })).toEqual([
    'a failing test  delivered    4.0s     j1  muster/j1',
    '  prompt.accepted',
    '  screen: running the tests',
    '',
  ]);
});

test('a job that waits for others says for which', () => {
  const waiting = { ...row, view: undefined, job: { ...job, after: ['fix', 'tool'] } };
  expect(boardLines([waiting], { width: 80, paint, now: 5000 })).toEqual([
    'a failing test  waiting',
    '  comes after: fix, tool',
    '',
    '',
  ]);
});

test('no line is wider than the terminal, and nothing from outside can act on it', () => {
  const hostile = { ...row, screen: `\u001b[2J\u0007${'넓은 글자 '.repeat(60)}` };
  const lines = boardLines([hostile], { width: 40, paint, now: 5000 });
  expect(lines.filter((line) => displayWidth(line) > 40)).toEqual([]);
  expect(lines.join('')).not.toMatch(/[\u001b\u0007]/);
});

test('the telling line of a terminal is the last one about the work, without frames, input line and footer', () => {
  expect(
    tellingLine([
      '✦ Now all tests again.',
      '╭──────────────────────────────────────────╮',
      '│ ✓  Shell node --test                     │',
      '╰──────────────────────────────────────────╯',
      '',
      '╭──────────────────────────────────────────╮',
      '│ >   Type your message or @path/to/file   │',
      '╰──────────────────────────────────────────╯',
      '  YOLO mode (shift + tab to cycle)',
      '',
    ]),
  ).toBe('✓ Shell node --test');
  expect(tellingLine(['', '│ │'])).toBe('');
});

test('the steps of a job are the times between the events of its ledger', () => {
  const events = [
    event(1, 1000, 'job.submitted'),
    event(2, 1100, 'workspace.prepared'),
    event(3, 5100, 'prompt.typing'),
    event(4, 5600, 'prompt.accepted'),
    event(5, 20600, 'turn.ended'),
  ];
  expect(stepText(events)).toBe('worktree 0.1s · start 4.0s · prompt 0.5s · work 15s');
});
