/**
 * The worktrees that attempts worked in, or that a pool made for them: what is there, what of it may go, and the janitor who takes it.
 *
 * Order of the parts: finding (the ledger's attempts, git's own lists, the folders under the roots), the view of one, removal, the janitor.
 * Nothing is removed in which an attempt, a session or anybody's process is, which is neither known to the ledger nor surely a pool's, or
 * of which it is not sure that saving gets everything (worktree-removal.ts). Of the janitor's turn: what a removal that was cut short has
 * left, what a pool made and no session has, what is done and was kept for a reason, what is older than `keepMs`, and beyond `bytesMax`
 * the oldest first, but nothing that ended within `spareMs`.
 */
import { realpath } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { Fault, messageOf } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Attempt, Ledger } from '../ledger/index.ts';
import { exists } from '../platform/atomic-file.ts';
import { listWorktrees } from '../platform/git.ts';
import { setAsideAt } from '../platform/worktree.ts';
import { lookAtWorktree, ownCommits, sizeOf, type WorktreeLook } from '../platform/worktree-look.ts';
import { processesAt, type Removal, repositorySetAside } from '../platform/worktree-removal.ts';
import type { JobView } from '../protocol/job.ts';
import type {
  WorktreeList,
  WorktreeRemoval,
  WorktreeUse,
  WorktreeVerdict,
  WorktreeView,
} from '../protocol/worktree.ts';
import type { Pool, Sessions } from '../sessions/index.ts';
import { foldersTwoDeep, isFormerPoolFolder, isPoolFolder, type Places } from './places.ts';
import { poolRemoval, removeAndTell } from './removal.ts';
import { removalOf } from './workspace.ts';

export interface Worktrees {
  /** Oldest first. Sizes are measured, which takes a while where there are many files. */
  readonly list: () => Promise<WorktreeList>;
  /** By attempt (`j12.1`), job (`j12`: its newest that has one), or the name of a pool's folder. NOT_FOUND. */
  readonly show: (id: string) => Promise<WorktreeView>;
  readonly remove: (id: string, how: { dryRun: boolean; discardNested: boolean }) => Promise<WorktreeRemoval>;
  /** What the janitor would do now, done for a person. */
  readonly prune: (how: { dryRun: boolean }) => Promise<readonly WorktreeRemoval[]>;
  readonly close: () => Promise<void>;
}

export interface Retention {
  readonly keepMs: number;
  readonly bytesMax: number;
}

export interface WorktreesOptions {
  readonly ledger: Ledger;
  readonly sessions: Pick<Sessions, 'list'>;
  /** What it is about to start sessions in. */
  readonly pool: Pick<Pool, 'entries'>;
  readonly places: Places;
  readonly personaPath: (job: JobView) => string;
  readonly retention: Retention;
  readonly clock: Clock;
  readonly log: Log;
}

const dayMs = 24 * 60 * 60 * 1000;
/** A person looks at what failed just now, however little space there is. */
const spareMs = 60 * 60 * 1000;
/** A job that ended just now is tidied up by itself. */
const settlingMs = 60_000;
/** Trees looked at at the same time: each is a handful of processes that read a disk. */
const looksAtOnce = 2;
const processesNamed = 5;

/** What is known of one place before anybody has looked into it. */
interface Place {
  readonly path: string;
  /** The newest attempt that worked there. */
  readonly work: { readonly attempt: Attempt; readonly job: JobView } | undefined;
  /** The repository, where a pool made it and no attempt has worked there. */
  readonly pool: string | undefined;
  /** A removal was cut short: what is left stands under another name, and is saved. */
  readonly setAside: boolean;
}

/** The janitor begins at once and comes again every day. */
export function openWorktrees(options: WorktreesOptions): Worktrees {
  const { log } = options;
  let turn: Promise<unknown> = Promise.resolve();
  let closed = false;
  /** One removal at a time: two that measure the same space would free it twice. */
  const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
    const next = turn.then(run, run);
    turn = next.catch(() => undefined);
    return next;
  };
  const tidy = async (): Promise<void> => {
    try {
      const removals = await prune(options, { dryRun: false, by: 'janitor', stopped: () => closed });
      for (const { path, result } of removals)
        if (result.kind === 'kept') log.info({ path, reason: result.reason }, 'a worktree whose time is over is kept');
    } catch (error) {
      log.warn({ cause: messageOf(error) }, 'the worktrees could not be tidied; the janitor comes again tomorrow');
    }
  };
  const timer = setInterval(() => void inTurn(tidy), dayMs);
  void inTurn(tidy);
  return {
    list: () => listAll(options),
    show: async (id) => viewOf(options, await placeOf(options, id), { sized: true }),
    remove: (id, how) => inTurn(async () => removeOne(options, await placeOf(options, id), how)),
    prune: ({ dryRun }) => inTurn(() => prune(options, { dryRun, by: 'person', stopped: () => closed })),
    close: async () => {
      closed = true;
      clearInterval(timer);
      await turn;
    },
  };
}

// --- finding

async function listAll(options: WorktreesOptions): Promise<WorktreeList> {
  const { retention, places } = options;
  const worktrees = await eachOf(await allPlaces(options), (place) => viewOf(options, place, { sized: true }));
  return {
    worktrees: worktrees.toSorted((a, b) => (a.createdAt ?? 0) - (b.createdAt ?? 0)),
    roots: [...places.roots],
    bytes: worktrees.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0),
    limits: { keepDays: retention.keepMs / dayMs, maxGigabytes: retention.bytesMax / 1024 ** 3 },
  };
}

/** Under the roots of today, and wherever git still knows one of ours: roots change, worktrees stay. */
async function allPlaces(options: WorktreesOptions): Promise<readonly Place[]> {
  const { ledger, places, sessions, log } = options;
  const folders = await foldersTwoDeep(places.roots);
  const asides = new Set(folders.flatMap((folder) => setAsideAt(folder) ?? []));
  const paths = new Set([...folders.filter((folder) => setAsideAt(folder) === undefined), ...asides]);
  const aliases = await Promise.all(
    places.roots.map(async (root) => [await realpath(root).catch(() => root), root] as const),
  );
  const asWritten = (path: string): string => {
    const alias = aliases.find(([real]) => path.startsWith(real + sep));
    return alias ? join(alias[1], path.slice(alias[0].length)) : path;
  };
  const repositories = new Map<string, string>();
  for (const project of new Set([...places.projects, ...(await ledger.projects()).map(({ path }) => path)])) {
    const listed = await listWorktrees(project).catch((error: unknown) => {
      log.info({ project, cause: messageOf(error) }, 'the worktrees of a project could not be listed');
      return [];
    });
    for (const { path } of listed) repositories.set(asWritten(path), project);
  }
  const elsewhere = [...repositories.keys()].filter((path) => !paths.has(path));
  const attempts = await ledger.attemptsAt([...paths, ...elsewhere]);
  const known = new Map(attempts.map((attempt) => [attempt.worktree, attempt]));
  const lived = new Set(sessions.list().map(({ cwd }) => cwd));
  const warmed = new Set(sessions.list().flatMap(({ cwd, pool }) => (pool === 'warm' ? [cwd] : [])));
  const isOfPool = (path: string): boolean =>
    !known.has(path) && (isPoolFolder(basename(path)) || (isFormerPoolFolder(basename(path)) && warmed.has(path)));
  // The person's own worktrees are none of ours: elsewhere only what the ledger, or a session's record, knows counts.
  const ours = [...paths, ...elsewhere.filter((path) => known.has(path) || (isOfPool(path) && lived.has(path)))];
  return Promise.all(
    ours.map(async (path) => ({
      path,
      work: await workOf(ledger, known.get(path)),
      pool: isOfPool(path) ? (repositories.get(path) ?? (await repositorySetAside(path))) : undefined,
      setAside: asides.has(path) && !(await exists(path)),
    })),
  );
}

async function workOf(ledger: Ledger, attempt: Attempt | undefined): Promise<Place['work']> {
  return attempt && { attempt, job: await ledger.job(attempt.jobId) };
}

async function placeOf(options: WorktreesOptions, id: string): Promise<Place> {
  const { ledger } = options;
  if (isPoolFolder(id) || isFormerPoolFolder(id)) {
    const found = (await allPlaces(options)).find(({ path, pool }) => pool !== undefined && basename(path) === id);
    if (found) return found;
  }
  const [, jobId, fence] = /^(j\d+)(?:\.(\d+))?$/.exec(id) ?? [];
  const attempts = jobId === undefined ? [] : await ledger.attempts(jobId);
  const wanted = attempts.filter((one) => fence === undefined || one.fence === Number(fence));
  for (const { worktree } of wanted.toReversed()) {
    const [newest] = await ledger.attemptsAt([worktree]);
    if (newest && (await exists(worktree)))
      return { path: worktree, work: await workOf(ledger, newest), pool: undefined, setAside: false };
  }
  throw new Fault('NOT_FOUND', `There is no worktree of ${id}`, {
    subject: id,
    hint: '`muster worktree list` shows them; name one by its attempt, like j12.1.',
  });
}

async function eachOf<T, R>(values: readonly T[], run: (value: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const waiting = [...values.entries()];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) results[next[0]] = await run(next[1]);
  };
  await Promise.all(Array.from({ length: looksAtOnce }, work));
  return results;
}

// --- the view of one

async function viewOf(options: WorktreesOptions, place: Place, { sized }: { sized: boolean }): Promise<WorktreeView> {
  const { path, work, pool } = place;
  const { look, problem } = await lookAt(options, place);
  const uses = await usesOf(options, place);
  const ended = work?.attempt.endedAt ?? null;
  const verdict =
    problem === undefined ? await verdictOf(place, look, uses) : ({ kind: 'keeps', reason: problem } as const);
  return {
    id: idOf(place),
    jobId: work?.job.id ?? null,
    outcome: work === undefined ? null : (work.attempt.outcome?.kind ?? 'running'),
    project: work?.job.project ?? (pool === undefined ? null : basename(pool)),
    projectPath: repositoryOf(place) ?? null,
    path,
    branch: look?.branch ?? null,
    head: look?.head ?? null,
    changed: look?.changed ?? 0,
    untracked: look?.untracked ?? 0,
    unpushed: look?.unpushed ?? 0,
    stashes: look?.stashes ?? 0,
    operation: look?.operation ?? null,
    nested: [...(look?.nested ?? [])],
    locked: look?.locked ?? null,
    uses: [...uses],
    bytes: sized ? await sizeOf(path) : null,
    createdAt: work?.attempt.startedAt ?? null,
    endedAt: ended,
    keptUntil:
      ended === null ? null : work?.attempt.outcome?.kind === 'done' ? ended : ended + options.retention.keepMs,
    verdict,
  };
}

const idOf = ({ path, work, pool }: Place): string | null =>
  work?.attempt.id ?? (pool === undefined ? null : basename(path));

const repositoryOf = ({ work, pool }: Place): string | undefined => work?.job.projectPath ?? pool;

/** Undefined where it is not known whose it is. */
async function removalAt({ personaPath }: WorktreesOptions, { path, work, pool }: Place): Promise<Removal | undefined> {
  if (work !== undefined) return removalOf(work, personaPath(work.job));
  return pool === undefined ? undefined : poolRemoval(pool, path);
}

async function lookAt(
  options: WorktreesOptions,
  place: Place,
): Promise<{ readonly look: WorktreeLook | undefined; readonly problem: string | undefined }> {
  if (place.setAside && idOf(place) !== null)
    return { look: undefined, problem: 'its removal has begun; the janitor goes on with it' };
  try {
    const removal = await removalAt(options, place);
    if (removal === undefined) return { look: undefined, problem: 'the ledger knows no attempt that worked there' };
    const look = await lookAtWorktree(removal);
    return { look, problem: look === undefined ? 'git knows no worktree there' : undefined };
  } catch (error) {
    return { look: undefined, problem: `it can't be looked at: ${messageOf(error)}` };
  }
}

const livingAt = ({ sessions }: WorktreesOptions, path: string) =>
  sessions.list().filter(({ exit, cwd }) => exit === null && (cwd === path || cwd.startsWith(path + sep)));

/** Also of those that the pool is about to start there. */
function sessionsAt(options: WorktreesOptions, path: string): readonly WorktreeUse[] {
  const living = livingAt(options, path);
  const coming = options.pool
    .entries()
    .filter(({ id, worktree }) => worktree === path && !living.some((session) => session.id === id));
  return [
    ...living.map(({ id, state }): WorktreeUse => ({ kind: 'session', text: `session ${id} is ${state}` })),
    ...coming.map(({ id, phase }): WorktreeUse => ({ kind: 'session', text: `session ${id} of a pool is ${phase}` })),
  ];
}

async function usesOf(options: WorktreesOptions, { path, work }: Place): Promise<readonly WorktreeUse[]> {
  const attempt: WorktreeUse[] =
    work !== undefined && work.attempt.outcome === null
      ? [{ kind: 'attempt', text: `attempt ${work.attempt.id} is ${work.attempt.phase}` }]
      : [];
  const present = await processesAt(path);
  const agents = livingAt(options, path).map(({ pid }) => pid);
  return [
    ...attempt,
    ...sessionsAt(options, path),
    ...present
      .filter(({ pid }) => !agents.includes(pid))
      .slice(0, processesNamed)
      .map(({ pid, name }): WorktreeUse => ({ kind: 'process', text: `process ${pid} (${name}) works there` })),
  ];
}

async function verdictOf(
  place: Place,
  look: WorktreeLook | undefined,
  uses: readonly WorktreeUse[],
): Promise<WorktreeVerdict> {
  if (uses.length > 0) return { kind: 'keeps', reason: uses.map(({ text }) => text).join(', ') };
  const repository = repositoryOf(place);
  if (look === undefined || repository === undefined) return { kind: 'keeps', reason: 'git knows no worktree there' };
  if (look.locked !== null)
    return { kind: 'keeps', reason: `it is locked${look.locked === '' ? '' : ` (${look.locked})`}` };
  if (look.nested.length > 0)
    return {
      kind: 'keeps',
      reason: `it holds repositories of their own: ${look.nested.slice(0, processesNamed).join(', ')}`,
    };
  const own = await ownCommits(repository, place.path);
  const what = [
    counted(look.changed, 'changed file'),
    counted(look.untracked, 'new file'),
    own === undefined
      ? 'a long history of HEAD'
      : counted(own.length, 'commit that no branch holds', 'commits that no branch holds'),
    counted(look.stashes, 'stash', 'stashes'),
    look.operation === null ? '' : `a ${look.operation} under way`,
  ].filter((part) => part !== '');
  return what.length === 0 ? { kind: 'clean' } : { kind: 'saves', what: what.join(', ') };
}

const counted = (count: number, one: string, many = `${one}s`): string =>
  count === 0 ? '' : `${count} ${count === 1 ? one : many}`;

// --- removal

interface Order {
  readonly dryRun: boolean;
  readonly discardNested: boolean;
  readonly by?: 'person' | 'janitor';
  readonly why?: string;
  readonly bytes?: number | null;
}

async function removeOne(options: WorktreesOptions, place: Place, order: Order): Promise<WorktreeRemoval> {
  const { path, work } = place;
  const id = idOf(place);
  if (id === null)
    throw new Fault('WRONG_STATE', `${path}: the ledger knows no attempt that worked there`, { subject: path });
  const { by = 'person', why = 'asked for', dryRun, discardNested } = order;
  const about = { id, path, bytes: order.bytes === undefined ? await sizeOf(path) : order.bytes, why };
  const uses = await usesOf(options, place);
  if (uses.length > 0) return { ...about, result: { kind: 'kept', reason: uses.map(({ text }) => text).join(', ') } };
  if (dryRun) return { ...about, result: await rehearsal(options, place, discardNested) };
  const removal = await removalAt(options, place);
  if (removal === undefined) throw new Fault('INTERNAL', `${path} belongs to ${id}, and nobody knows its repository`);
  const removed = await removeAndTell(options.ledger, {
    removal: { ...removal, discardNested },
    of: work ? { jobId: work.job.id, attemptId: work.attempt.id, sessionId: work.attempt.sessionId } : {},
    by,
    why,
    bytes: about.bytes,
  });
  return { ...about, result: removed.kind === 'kept' ? removed : { kind: 'removed', saved: removed.ref } };
}

async function rehearsal(
  options: WorktreesOptions,
  place: Place,
  discardNested: boolean,
): Promise<WorktreeRemoval['result']> {
  if (place.setAside) return { kind: 'would-remove', saves: null };
  const { verdict, nested } = await viewOf(options, place, { sized: false });
  switch (verdict.kind) {
    case 'clean':
      return { kind: 'would-remove', saves: null };
    case 'saves':
      return { kind: 'would-remove', saves: verdict.what };
    case 'keeps':
      return discardNested && nested.length > 0
        ? { kind: 'would-remove', saves: null }
        : { kind: 'kept', reason: verdict.reason };
  }
}

// --- the janitor

interface Round {
  readonly dryRun: boolean;
  readonly by: 'person' | 'janitor';
  readonly stopped: () => boolean;
}

interface Measured {
  readonly place: Place;
  readonly endedAt: number;
  readonly done: boolean;
  readonly bytes: number | null;
}

async function prune(options: WorktreesOptions, { dryRun, by, stopped }: Round): Promise<WorktreeRemoval[]> {
  const { retention, clock } = options;
  const now = clock();
  const measured = (await eachOf(await allPlaces(options), (place) => measure(place, stopped))).toSorted(
    (a, b) => a.endedAt - b.endedAt,
  );
  let total = measured.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
  const removals: WorktreeRemoval[] = [];
  for (const { place, endedAt, done, bytes } of measured) {
    if (stopped()) break;
    const why =
      whyAnyway(options, place) ?? whyNow({ age: now - endedAt, done, over: total - retention.bytesMax }, retention);
    if (why === undefined) continue;
    const order = { dryRun, discardNested: false, by, why, bytes };
    const removal = await removeOne(options, place, order).catch((error: unknown) => keptBy(error, place, order));
    if (removal.result.kind !== 'kept') total -= bytes ?? 0;
    removals.push(removal);
  }
  return removals;
}

/** One that can't be removed must not keep the rest from its turn; on a full disk nothing could be saved. */
function keptBy(error: unknown, place: Place, { why, bytes }: { why: string; bytes: number | null }): WorktreeRemoval {
  if (error instanceof Fault && error.code === 'DISK_FULL') throw error;
  return {
    id: idOf(place) ?? place.path,
    path: place.path,
    bytes,
    why,
    result: { kind: 'kept', reason: messageOf(error) },
  };
}

/** What nobody waits for, whatever its age. */
function whyAnyway(options: WorktreesOptions, place: Place): string | undefined {
  const { path, pool, setAside } = place;
  if (setAside && idOf(place) !== null) return 'its removal was cut short';
  return pool === undefined || sessionsAt(options, path).length > 0 ? undefined : 'no session of its pool has it';
}

/** Of one that is still worked in, or that the ledger does not know, the end is never. */
async function measure(place: Place, stopped: () => boolean): Promise<Measured> {
  const { attempt } = place.work ?? {};
  return {
    place,
    endedAt: attempt?.endedAt ?? Number.POSITIVE_INFINITY,
    done: attempt?.outcome?.kind === 'done',
    // A daemon that is to stop does not wait for the sizes of the rest.
    bytes: stopped() ? null : await sizeOf(place.path),
  };
}

/** Pure. Undefined: it may stay. */
export function whyNow(
  { age, done, over }: { readonly age: number; readonly done: boolean; readonly over: number },
  { keepMs, bytesMax }: Retention,
): string | undefined {
  if (age < settlingMs) return undefined;
  if (done) return 'its job is done';
  if (age >= keepMs) return `it ended more than ${keepMs / dayMs} days ago`;
  if (over > 0 && age >= spareMs) return `the worktrees take more than ${Math.round(bytesMax / 1024 ** 3)} GB`;
  return undefined;
}
