/**
 * Where the worktrees of a project lie and what their branches are called: as the configuration says for the project, else for all.
 * A path is `{root}/{persona}/{job}`, with `-2` and so on for later attempts, or `{root}/{persona}/muster-pool-...`.
 */
import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, isErrno } from '../base/fault.ts';
import { resolveCommit } from '../platform/git.ts';
import { branchRef } from '../platform/worktree.ts';
import type { JobView } from '../protocol/job.ts';

export interface WorktreeSettings {
  /** Absolute. */
  readonly root: string;
  /** Template of a branch's name. */
  readonly branch: string;
  /** Ignored folders of dependencies to copy from the person's tree. */
  readonly share: readonly string[];
}

export interface Places {
  readonly of: (projectPath: string) => WorktreeSettings;
  /** Every root that is configured, the default one first. */
  readonly roots: readonly string[];
  /** Repositories that the configuration names. */
  readonly projects: readonly string[];
}

/** A worktree that a pool makes before there is a job for it. Nobody else gives a folder such a name. */
export const poolFolder = (token: string): string => `muster-pool-${token}`;
export const isPoolFolder = (name: string): boolean => /^muster-pool-[0-9a-z]{8}$/.test(name);
/** Its name until November 2026, which a person may give to a folder too: it takes a warm session's record to tell whose it is. */
export const isFormerPoolFolder = (name: string): boolean => /^pool-[0-9a-z]{8}$/.test(name);

export const worktreePath = (job: JobView, { root }: WorktreeSettings): string =>
  join(root, job.persona, job.attempts === 0 ? job.id : `${job.id}-${job.attempts + 1}`);

/** Every folder at the place where a worktree would lie. A root that is not there has none. */
export async function foldersTwoDeep(roots: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    roots.map(async (root) => {
      const personas = (await entriesOf(root)).filter((one) => one.isDirectory());
      const folders = await Promise.all(
        personas.map(async ({ name }) => (await entriesOf(join(root, name))).map((job) => join(root, name, job.name))),
      );
      return folders.flat();
    }),
  );
  return found.flat();
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
}

/** Words of the text that a branch's name takes. */
const branchWords = 5;
const wordsCharsMax = 40;
/** Names tried before giving up: an older ledger may have used the first ones. */
const branchTries = 100;

/** `{words}` is the beginning of the job's text as far as it is plain letters and digits; where there are none, it goes with the sign before it. */
export function branchName(job: JobView, template: string): string {
  const words = job.text
    .toLowerCase()
    .normalize('NFKD')
    .match(/[a-z0-9]+/g);
  const slug = (words ?? []).slice(0, branchWords).join('-').slice(0, wordsCharsMax).replace(/-$/, '');
  const values: Readonly<Record<string, string>> = {
    job: job.id,
    words: slug,
    persona: job.persona,
    agent: job.agent,
    project: job.project.replace(/[^A-Za-z0-9_-]+/g, '-').replace(/^-+|-+$/g, '') || 'project',
  };
  return template.replace(/([-_./]?)\{(\w+)\}/g, (_, before: string, name: string) => {
    const value = values[name] ?? '';
    return value === '' ? '' : before + value;
  });
}

/** A name no branch of the repository has. The same job asks anew for each attempt. */
export async function freeBranch(job: JobView, template: string): Promise<string> {
  const name = branchName(job, template);
  for (let number = 1; number < branchTries; number += 1) {
    const candidate = number === 1 ? name : `${name}-${number}`;
    if ((await resolveCommit(job.projectPath, branchRef(candidate))) === undefined) return candidate;
  }
  throw new Fault('GIT_FAILED', `there are ${branchTries} branches called ${name} already`, {
    subject: job.id,
    hint: 'Delete old ones with `git branch -D`.',
  });
}
