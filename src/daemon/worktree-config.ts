/** What the configuration says about worktrees: for all, and for single projects over it. */
import { realpathSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import type { Places, Retention, WorktreeSettings } from '../dispatch/index.ts';
import { isShareable, shareableNames } from '../platform/worktree-share.ts';
import { poolSchema } from './pool-config.ts';

const branchWords = ['job', 'words', 'persona', 'agent', 'project'];
/** What git takes as a branch's name, with any word in the place of the braces (git-check-ref-format). */
const isBranchTemplate = (text: string): boolean => {
  const words = [...text.matchAll(/\{(\w*)\}/g)].map((match) => match[1] ?? '');
  const name = text.replace(/\{\w*\}/g, 'x');
  return (
    words.includes('job') &&
    words.every((word) => branchWords.includes(word)) &&
    /^[A-Za-z0-9._/-]+$/.test(name) &&
    name.split('/').every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock')) &&
    !name.startsWith('-') &&
    !/\.\.|\.$/.test(name)
  );
};

const settings = {
  /** Relative to the home. */
  root: z.string().min(1).optional(),
  branch: z
    .string()
    .max(200)
    .refine(isBranchTemplate, {
      error: `a name of a branch is allowed with {job} in it, and {${branchWords.slice(1).join('}, {')}} if you like`,
    })
    .optional(),
  share: z
    .array(
      z.string().refine(isShareable, {
        error: `a folder called ${shareableNames.join(' or ')} is allowed, by its path from the root of the repository`,
      }),
    )
    .max(20)
    .optional(),
};

const keepDays = 14;
const maxGigabytes = 50;

const generalSchema = z.strictObject({
  ...settings,
  /** Of jobs that did not end as done; 0 keeps them until somebody prunes at once. */
  keepDays: z.number().min(0).max(3650).default(keepDays),
  /** All together; beyond it the oldest go first. */
  maxGigabytes: z.number().min(0.1).max(1_000_000).default(maxGigabytes),
});

/** A text alone is the root. */
export const worktreesSchema = z.union([z.string().min(1), generalSchema]);

export const projectsSchema = z.record(
  z.string().refine(isAbsolute, { error: 'the absolute path of a repository is allowed' }),
  z.strictObject({ worktrees: z.strictObject(settings).prefault({}), pool: poolSchema.optional() }),
);

interface Configured {
  readonly worktrees?: z.infer<typeof worktreesSchema> | undefined;
  readonly projects: z.infer<typeof projectsSchema>;
}

const branchDefault = 'muster/{job}-{words}';
const dayMs = 24 * 60 * 60 * 1000;

export function placesOf(
  { worktrees, projects }: Configured,
  home: { readonly dir: string; readonly worktrees: string },
): { readonly places: Places; readonly retention: Retention } {
  const given: Partial<z.infer<typeof generalSchema>> =
    typeof worktrees === 'string' ? { root: worktrees } : (worktrees ?? {});
  const general: WorktreeSettings = {
    root: resolve(home.dir, given.root ?? home.worktrees),
    branch: given.branch ?? branchDefault,
    share: given.share ?? [],
  };
  const special = new Map(
    Object.entries(projects).map(([path, { worktrees: own }]): [string, WorktreeSettings] => [
      realOf(path),
      {
        root: own.root === undefined ? general.root : resolve(home.dir, own.root),
        branch: own.branch ?? general.branch,
        share: own.share ?? general.share,
      },
    ]),
  );
  return {
    places: {
      of: (projectPath) => special.get(projectPath) ?? general,
      roots: [...new Set([general.root, ...[...special.values()].map(({ root }) => root)])],
      projects: [...special.keys()],
    },
    retention: {
      keepMs: (given.keepDays ?? keepDays) * dayMs,
      bytesMax: (given.maxGigabytes ?? maxGigabytes) * 1024 ** 3,
    },
  };
}

/** Projects are known by their path with links resolved. */
function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // Not there yet: as written.
    return resolve(path);
  }
}
