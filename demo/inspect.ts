/** The demo does not take Muster's word for it: real git and the repository's own tests, in a fresh clone of each branch. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../src/base/fault.ts';
import { type CommandResult, runCommand } from '../src/platform/command.ts';
import { git, gitLine, resolveCommit } from '../src/platform/git.ts';
import type { Row } from './board.ts';

export type Inspection =
  | { readonly kind: 'accepted'; readonly subject: string; readonly changed: string }
  | { readonly kind: 'refused'; readonly reason: string };

const testLimitMs = 120_000;
const outputBytesMax = 1024 * 1024;

/** Is there a commit on the job's branch, and do the repository's tests accept it? */
export async function inspectBranch(row: Row, repository: string, test: string): Promise<Inspection> {
  const outcome = row.view?.outcome;
  if (outcome?.kind !== 'done' || outcome.commit === null) return { kind: 'refused', reason: 'there is no commit' };
  const { branch, commit } = outcome;
  const head = await resolveCommit(repository, `refs/heads/${branch}`);
  if (head !== commit) return { kind: 'refused', reason: `${branch} is at ${head ?? 'nothing'}, not at ${commit}` };
  const folder = await mkdtemp(join(tmpdir(), 'muster-demo-'));
  try {
    await git(['clone', '--quiet', '--branch', branch, repository, folder], { cwd: repository });
    const end = await runCommand({
      command: test,
      cwd: folder,
      env: testEnvironment(process.env),
      timeoutMs: testLimitMs,
      outputBytesMax,
    });
    if (end.kind !== 'exited' || end.code !== 0) return { kind: 'refused', reason: `${test}: ${wordsFor(end)}` };
    const subject = await gitLine(['log', '-1', '--format=%s', commit], { cwd: repository });
    const changed = await gitLine(['diff', '--shortstat', row.view?.baseCommit ?? `${commit}~1`, commit], {
      cwd: repository,
    });
    return { kind: 'accepted', subject, changed: changed.trim() };
  } catch (error) {
    return { kind: 'refused', reason: messageOf(error) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const testEnvironment = ({ PATH = '', HOME = '' }: NodeJS.ProcessEnv): Record<string, string> => ({
  PATH,
  HOME,
  CI: 'true',
});

function wordsFor(end: CommandResult): string {
  switch (end.kind) {
    case 'exited':
      return `exit code ${end.code}`;
    case 'signalled':
      return `ended by ${end.signal}`;
    case 'could-not-run':
      return end.reason;
    case 'timed-out':
    case 'aborted':
      return end.kind;
  }
}
