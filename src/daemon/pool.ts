/** The pools that the configuration asks for, and how an entry's worktree and session come to be. */
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { type Places, poolFolder, poolRemoval, removeAndTell } from '../dispatch/index.ts';
import type { Ledger } from '../ledger/index.ts';
import { resolveCommit } from '../platform/git.ts';
import { injectFile, prepareWorktree } from '../platform/worktree.ts';
import { openPool, type Pool, type PoolPolicy, type Sessions } from '../sessions/index.ts';
import type { Config } from './config.ts';
import type { Fleet } from './fleet.ts';
import { policyOf } from './pool-config.ts';

const minute = 60_000;

export interface PoolParts {
  readonly config: Config;
  readonly fleet: Fleet;
  readonly sessions: Sessions;
  readonly places: Places;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly roomForWarm: (sessionId: string, agent: string) => Promise<boolean>;
}

export function openConfiguredPool(parts: PoolParts): Pool {
  const { config, fleet, sessions, places, ledger, clock, log } = parts;
  const policies = new Map(
    Object.entries(config.projects).flatMap(([path, { pool }]): [string, PoolPolicy][] =>
      pool === undefined ? [] : [[realOf(path), policyOf(pool)]],
    ),
  );
  return openPool({
    sessions,
    policies,
    clock,
    log,
    personaOf: fleet.personaNow,
    worktreeOf: (project, persona, token) => resolve(places.of(project).root, persona, poolFolder(token)),
    launch: async ({ id, mark, agent, worktree }) => {
      // [M4] Nothing is retired for it; it is started when there is memory.
      if (!(await parts.roomForWarm(id, agent))) return { kind: 'failed', reason: 'the control plane stops' };
      const refused = await makeWorktree(fleet, mark, worktree);
      return refused === undefined
        ? fleet.startPooled(sessions, { id, mark, worktree })
        : { kind: 'failed', reason: refused };
    },
    removeWorktree: async ({ id, project, worktree }, why) => {
      try {
        const removal = await poolRemoval(project, worktree);
        await removeAndTell(ledger, { removal, of: { sessionId: id }, by: 'pool', why });
      } catch (error) {
        log.warn(
          { worktree, cause: messageOf(error) },
          'the worktree of a pool could not be removed; the janitor will',
        );
      }
    },
    onNews: (type, sessionId, data) => {
      ledger
        .record({ type, sessionId, data })
        .catch((error: unknown) => log.error({ type, cause: messageOf(error) }, 'news of a pool could not be written'));
    },
    limits: { startMs: config.limits.startSeconds * 1000, setupMs: config.limits.setupMinutes * minute },
  });
}

/** On no branch, at the project's present commit; the first job switches to its own. Answers with the reason where it can't be. */
async function makeWorktree(
  fleet: Fleet,
  mark: { project: string; persona: string },
  worktree: string,
): Promise<string | undefined> {
  const persona = await fleet.placePooledPersona(mark.project, mark.persona);
  const base = await resolveCommit(mark.project, 'HEAD');
  if (!persona || base === undefined) return `${mark.project} has no commit, or no persona ${mark.persona}`;
  const plan = { repository: mark.project, path: worktree, branch: null, base, ignore: [persona.path] };
  const made = await prepareWorktree(plan);
  if (made.kind === 'failed') return made.reason;
  // Where the repository has that file itself, the persona is said in each prompt.
  await injectFile(worktree, persona.path, `${persona.text}\n`);
  return undefined;
}

function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // Not there yet: as written.
    return resolve(path);
  }
}
