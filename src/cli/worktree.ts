/** `worktree list | show | remove | prune`. */
import { formatDuration } from '../base/clock.ts';
import { oneLine } from '../base/text.ts';
import type { WorktreeRemoval, WorktreeView } from '../protocol/worktree.ts';
import { connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { type Cell, tableLines } from './render/table.ts';
import { localTime } from './render/time.ts';

/** Measuring and saving read whole trees. */
const limitMs = 10 * 60_000;
const textMax = 300;

export async function listWorktrees(cli: Cli): Promise<ExitCode> {
  const list = await (await connect(cli.home)).call('listWorktrees', { timeoutMs: limitMs });
  if (cli.json) {
    cli.printJson(list);
    return 0;
  }
  const now = Date.now();
  cli.print(
    ...tableLines({
      ...cli,
      columns: [
        { title: 'WORKTREE' },
        { title: 'OUTCOME' },
        { title: 'SIZE' },
        { title: 'AGE' },
        { title: 'PROJECT', flexible: true },
        { title: 'IN IT', flexible: true },
        { title: 'PATH', flexible: true },
      ],
      rows: list.worktrees.map((one) => [
        one.id ?? '?',
        one.outcome ?? '',
        sizeText(one.bytes),
        one.createdAt === null ? '' : formatDuration(Math.max(0, now - one.createdAt)),
        oneLine(one.project ?? '', textMax),
        verdictCell(one),
        oneLine(one.path, 1000),
      ]),
    }),
  );
  const { keepDays, maxGigabytes } = list.limits;
  cli.note(
    `${list.worktrees.length} worktrees, ${sizeText(list.bytes)}; kept for ${keepDays} days, at most ${maxGigabytes} GB`,
  );
  return 0;
}

function verdictCell({ verdict }: WorktreeView): Cell {
  switch (verdict.kind) {
    case 'clean':
      return 'nothing of its own';
    case 'saves':
      return { text: oneLine(verdict.what, textMax), colour: 'yellow' };
    case 'keeps':
      return { text: `stays: ${oneLine(verdict.reason, textMax)}`, colour: 'dim' };
  }
}

const units = ['KB', 'MB', 'GB', 'TB'];

export function sizeText(bytes: number | null): string {
  if (bytes === null) return '?';
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export async function showWorktree(cli: Cli, id: string): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('showWorktree', { params: { id }, timeoutMs: limitMs });
  if (cli.json) cli.printJson(answer);
  else cli.print(...worktreeLines(answer.worktree));
  return 0;
}

function worktreeLines(one: WorktreeView): readonly string[] {
  const now = Date.now();
  const { verdict } = one;
  const rows: readonly (readonly [string, string | null])[] = [
    ['worktree', one.id],
    ['path', one.path],
    ['project', one.projectPath],
    ['outcome', one.outcome],
    ['branch', one.branch ?? (one.head === null ? null : `none: HEAD is detached at ${one.head.slice(0, 10)}`)],
    ['size', sizeText(one.bytes)],
    ['made', one.createdAt === null ? null : localTime(one.createdAt, now)],
    ['ended', one.endedAt === null ? null : localTime(one.endedAt, now)],
    ['kept until', one.keptUntil === null ? null : localTime(one.keptUntil, now)],
    ['changed', one.changed === 0 ? null : `${one.changed} files`],
    ['new', one.untracked === 0 ? null : `${one.untracked} files`],
    ['unpushed', one.unpushed === 0 ? null : `${one.unpushed} commits, which stay on the branch`],
    ['stashes', one.stashes === 0 ? null : `${one.stashes}, which stay in the repository`],
    ['under way', one.operation],
    ['inside', one.nested.length === 0 ? null : `repositories: ${one.nested.join(', ')}`],
    ['in use', one.uses.length === 0 ? null : one.uses.map(({ text }) => text).join(', ')],
    [
      'removal',
      verdict.kind === 'clean'
        ? 'nothing in it stands nowhere else'
        : verdict.kind === 'saves'
          ? `saves first: ${verdict.what}`
          : `not now: ${verdict.reason}`,
    ],
  ];
  return rows.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(11)} ${oneLine(value, 2000)}`]));
}

interface RemoveOptions {
  readonly dryRun?: boolean;
  readonly discardNested?: boolean;
}

/** 1 if it is kept. */
export async function removeWorktree(cli: Cli, id: string, options: RemoveOptions): Promise<ExitCode> {
  const body = { dryRun: options.dryRun === true, discardNested: options.discardNested === true };
  const client = await connect(cli.home);
  const answer = await client.call('removeWorktree', { params: { id }, body, timeoutMs: limitMs });
  if (cli.json) cli.printJson(answer);
  else cli.print(removalLine(cli, answer.removal));
  return answer.removal.result.kind === 'kept' ? 1 : 0;
}

export async function pruneWorktrees(cli: Cli, options: Pick<RemoveOptions, 'dryRun'>): Promise<ExitCode> {
  const body = { dryRun: options.dryRun === true };
  const answer = await (await connect(cli.home)).call('pruneWorktrees', { body, timeoutMs: limitMs });
  if (cli.json) cli.printJson(answer);
  else if (answer.removals.length === 0) cli.note('nothing is due');
  else cli.print(...answer.removals.map((removal) => removalLine(cli, removal)));
  return 0;
}

function removalLine({ paint }: Cli, { id, why, bytes, result }: WorktreeRemoval): string {
  const about = `${id}  ${sizeText(bytes)}  ${oneLine(why, textMax)}`;
  switch (result.kind) {
    case 'removed':
      return `${paint('green', 'removed')}  ${about}${result.saved === null ? '' : `; saved under ${result.saved}`}`;
    case 'kept':
      return `${paint('yellow', 'kept')}     ${about}; ${oneLine(result.reason, textMax)}`;
    case 'would-remove':
      return `would go  ${about}${result.saves === null ? '' : `; saves ${oneLine(result.saves, textMax)}`}`;
  }
}
