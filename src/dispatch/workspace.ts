/**
 * Where an attempt works: its worktree and branch, the persona in it, and what becomes of the work. Git does the work (`platform`);
 * here are the names (places.ts: folders and branches): the refs `refs/muster/attempts/<attempt>-<time>` and `refs/muster/saved/<attempt>-<time>`.
 */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Fault, messageOf } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { oneLine } from '../base/text.ts';
import type { Ledger } from '../ledger/index.ts';
import { exists } from '../platform/atomic-file.ts';
import { tryGit } from '../platform/git.ts';
import { injectFile, prepareWorktree, recordOf } from '../platform/worktree.ts';
import type { Removal } from '../platform/worktree-removal.ts';
import { reuseWorktree, whyNotReusable } from '../platform/worktree-reuse.ts';
import { type Shared, shareFolders } from '../platform/worktree-share.ts';
import { branchAtCapture, type Captured, captureWork, type Landed, landBranch } from '../platform/worktree-work.ts';
import { type JobView, type LedgerEvent, type Verification, verificationSchema } from '../protocol/job.ts';
import type { PersonaSource } from '../protocol/persona.ts';

import type { AttemptRun } from './attempt.ts';
import type { Places } from './places.ts';
import { removeAndTell } from './removal.ts';

/** A persona and the file, relative to the worktree, from which the job's agent reads it. */
export interface PersonaPlacing {
  readonly name: string;
  readonly path: string;
  readonly text: string;
  readonly version: string;
  readonly sources: readonly PersonaSource[];
  /** Why the agent would not read the file; null: it reads it. */
  readonly unread: string | null;
}

/** Where the persona ended up: in its file, or (that path being the repository's own) to be said in the prompt. */
export type PlacedPersona = Pick<PersonaPlacing, 'name' | 'version' | 'sources'> &
  (
    | { readonly kind: 'file'; readonly path: string }
    | { readonly kind: 'prompt'; readonly text: string; readonly reason: string }
  );

export type PreparedWorkspace =
  | {
      readonly kind: 'prepared';
      readonly persona: PlacedPersona;
      readonly unignored: string | null;
      readonly shared: readonly Shared[];
    }
  | { readonly kind: 'failed'; readonly reason: string };

/** What the events tell about an attempt that came to its end well. */
export interface Story {
  readonly files: string[];
  readonly verification: Verification | null;
  readonly message: string;
}

type Where = Pick<AttemptRun, 'job' | 'attempt'>;

export interface Workspace {
  readonly prepare: (where: Where) => Promise<PreparedWorkspace>;
  /** Why a job can't begin in the worktree of a kept session; undefined: it can. */
  readonly whyNotReusable: (job: JobView, worktree: string) => Promise<string | undefined>;
  readonly placePersona: (where: Where) => Promise<PlacedPersona>;
  readonly capture: (where: Where) => Promise<Captured>;
  readonly land: (where: Where, commit: string) => Promise<Landed>;
  /** The commit that holds what the attempt left; null if it left nothing. */
  readonly save: (where: Where) => Promise<string | null>;
  /** Only of work that has landed; anything else in it is saved first, or it is kept. Never throws. */
  readonly removeWorktree: (where: Where) => Promise<void>;
  readonly story: (where: Where) => Promise<Story>;
}

export interface WorkspaceOptions {
  readonly ledger: Ledger;
  readonly log: Log;
  /** The same for one attempt whenever it is asked. */
  readonly placePersona: (where: Where) => Promise<PersonaPlacing>;
  /** Where the job's agent reads a persona from; known also when the persona itself is gone. */
  readonly personaPath: (job: JobView) => string;
  readonly places: Places;
}

export function openWorkspace({ ledger, log, placePersona, personaPath, places }: WorkspaceOptions): Workspace {
  const place = async (where: Where): Promise<PlacedPersona> => {
    const { name, path, text, version, sources, unread } = await placePersona(where);
    const facts = { name, version, sources };
    if (unread !== null) return { kind: 'prompt', text, reason: unread, ...facts };
    const injected = await injectFile(where.attempt.worktree, path, `${text}\n`);
    return injected.kind === 'written'
      ? { kind: 'file', path, ...facts }
      : { kind: 'prompt', text, reason: injected.reason, ...facts };
  };

  const capture = async (where: Where): Promise<Captured> => {
    await checkPointer(where);
    return captureWork({
      ...placeOf(where),
      worktree: where.attempt.worktree,
      ref: attemptRef(where),
      message: commitMessage(where),
      exclude: await unlessOfTheRepository(where, [personaPath(where.job)]),
    });
  };

  return {
    prepare: async (where) => {
      const plan = {
        repository: where.job.projectPath,
        path: where.attempt.worktree,
        branch: where.attempt.branch,
        base: where.job.baseCommit,
        ignore: [personaPath(where.job)],
      };
      const made = isOwn(where)
        ? await prepareWorktree(plan)
        : await reuseWorktree({ ...plan, saveRef: `refs/muster/saved/${refName(where)}`, exclude: plan.ignore });
      if (made.kind === 'failed') return made;
      const shared = await shareFolders({
        from: where.job.projectPath,
        worktree: where.attempt.worktree,
        paths: places.of(where.job.projectPath).share,
      });
      return { kind: 'prepared', persona: await place(where), unignored: made.unignored, shared };
    },
    whyNotReusable: (job, path) =>
      whyNotReusable({ repository: job.projectPath, path, base: job.baseCommit, exclude: [personaPath(job)] }),
    placePersona: place,
    capture,
    land: async (where, commit) =>
      landBranch({
        repository: where.job.projectPath,
        worktree: where.attempt.worktree,
        branch: where.attempt.branch,
        commit,
        expectedOld: await branchAtCapture(where.job.projectPath, attemptRef(where)),
      }),
    save: async (where) => {
      if (!(await exists(where.attempt.worktree))) return null;
      const captured = await capture(where);
      return captured.kind === 'captured' ? captured.commit : null;
    },
    removeWorktree: async (where) => {
      try {
        await removeAndTell(ledger, {
          removal: await removalOf(where, personaPath(where.job)),
          of: { jobId: where.job.id, attemptId: where.attempt.id, sessionId: where.attempt.sessionId },
          by: 'job',
          why: 'the job is done',
        });
      } catch (error) {
        log.warn(
          { attempt: where.attempt.id, cause: messageOf(error) },
          'a worktree could not be removed; the janitor will',
        );
      }
    },
    story: (where) => storyOf(ledger, where),
  };
}

/** What would be removed, and where it would be saved. */
export async function removalOf(where: Where, personaPath: string): Promise<Removal> {
  return {
    ...placeOf(where),
    repository: where.job.projectPath,
    path: where.attempt.worktree,
    ref: `refs/muster/saved/${refName(where)}`,
    exclude: await unlessOfTheRepository(where, [personaPath]),
  };
}

/**
 * A worktree's `.git` file says where its repository is. An agent that may only write files could point it to one of its own making,
 * whose configuration names commands that our git would run.
 */
async function checkPointer({ job, attempt }: Where): Promise<void> {
  const record = await recordOf(job.projectPath, attempt.worktree);
  const pointer = await readFile(join(attempt.worktree, '.git'), 'utf8').catch(() => '');
  if (record !== undefined && pointer.trim() === `gitdir: ${record}`) return;
  throw new Fault(
    'GIT_FAILED',
    `${attempt.worktree}/.git does not point to its repository any more; nothing is read through it`,
    {
      subject: attempt.worktree,
      hint: 'Look at what the agent did there; its files are still in the folder.',
    },
  );
}

/** A worktree that was made for this job; another one is the pool's, in which an agent waits. */
const isOwn = ({ job, attempt }: Where): boolean => new RegExp(`^${job.id}(-\\d+)?$`).test(basename(attempt.worktree));

/** The time of the claim is part of the name: another home, or a new ledger, has its own j1.1 and must not move this one. */
const refName = ({ attempt }: Where): string => `${attempt.id}-${attempt.startedAt.toString(36)}`;
const attemptRef = (where: Where): string => `refs/muster/attempts/${refName(where)}`;
const placeOf = ({ job, attempt }: Where): { branch: string; base: string } => ({
  branch: attempt.branch,
  base: job.baseCommit,
});

/** A path that the base has is the repository's, not ours: changes to it are part of the work. */
async function unlessOfTheRepository({ job }: Where, paths: readonly string[]): Promise<string[]> {
  const there = await Promise.all(paths.map((path) => resolveBlob(job.projectPath, job.baseCommit, path)));
  return paths.filter((_, index) => !there[index]);
}

async function resolveBlob(repository: string, commit: string, path: string): Promise<boolean> {
  return (await tryGit(['cat-file', '-e', `${commit}:${path}`], { cwd: repository })).kind === 'ok';
}

/** A subject that fits a log, the whole text below it, and where it came from. */
const subjectCharsMax = 72;

function commitMessage({ job, attempt }: Where): string {
  const subject = oneLine(job.text.split('\n')[0] ?? '', subjectCharsMax);
  const rest = oneLine(job.text, job.text.length) === subject ? '' : `\n${job.text.trim()}\n`;
  return `${subject}\n${rest}\nMuster-Job: ${job.id}\nMuster-Attempt: ${attempt.id}\nMuster-Agent: ${job.agent}\n`;
}

/** Events read from the ledger in one go. */
const eventsPage = 1000;
const filesToldMax = 100;

async function storyOf(ledger: Ledger, where: Where): Promise<Story> {
  const events = await eventsOf(ledger, where);
  const last = (type: string): Record<string, unknown> => events.findLast((event) => event.type === type)?.data ?? {};
  const { files } = last('work.captured');
  const { message } = last('turn.ended');
  return {
    files: Array.isArray(files) ? files.filter((file) => typeof file === 'string').slice(0, filesToldMax) : [],
    verification: verificationSchema.safeParse(last('verification.passed')).data ?? null,
    message: typeof message === 'string' ? message : '',
  };
}

async function eventsOf(ledger: Ledger, { job, attempt }: Where): Promise<readonly LedgerEvent[]> {
  const found: LedgerEvent[] = [];
  for (let after = 0; ; ) {
    const page = await ledger.events({ jobId: job.id, after, limit: eventsPage });
    found.push(...page.filter((event) => event.attemptId === attempt.id));
    after = page.at(-1)?.seq ?? after;
    if (page.length < eventsPage) return found;
  }
}
