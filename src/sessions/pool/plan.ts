/**
 * What a pool should do next: pure decisions over its entries. `pool.ts` carries them out.
 *
 * An entry is one session that is kept for jobs of one project and persona. It is warm if the policy wants it there before any job,
 * cold if a job made it and it stayed. SPEC.md has the rules ([W1] to [W8]).
 */
import type { SessionId } from '../../base/ids.ts';

export type Reuse = 'persona' | 'any' | 'never';

export interface PoolPolicy {
  /** Sessions that should stand ready for each persona of the project. */
  readonly warm: Readonly<Record<string, number>>;
  readonly reuse: Reuse;
  /** Most entries of each kind, whatever `warm` asks for. */
  readonly warmMax: number;
  readonly coldMax: number;
  /** A cold entry that nobody has taken for so long leaves. */
  readonly idleMs: number;
  /** Tool calls of one process after which it is replaced: agents drift. */
  readonly toolCallsMax: number;
  readonly ageMs: number;
}

/**
 * starting  launched, not yet at its prompt          ready    at its prompt, nobody's
 * taken     an attempt works in it                   resetting  its conversation is being cleared for the next job
 * leaving   is being ended                           personal  a person has begun to work in it: it is theirs
 */
export type EntryPhase = 'starting' | 'ready' | 'taken' | 'resetting' | 'leaving' | 'personal';

/** What a session is started with: two with the same may stand in for each other. */
export interface Version {
  /** Content hash of the persona. */
  readonly personaVersion: string;
  /** Hash of everything else: program, arguments, environment, rights, model. */
  readonly launch: string;
}

export interface PoolEntry extends Version {
  readonly id: SessionId;
  readonly project: string;
  readonly persona: string;
  readonly agent: string;
  readonly worktree: string;
  readonly kind: 'warm' | 'cold';
  readonly phase: EntryPhase;
  readonly createdAt: number;
  /** Since when it has been in this phase. */
  readonly since: number;
  readonly toolCalls: number;
}

export interface PoolWant extends Version {
  readonly project: string;
  readonly persona: string;
  readonly agent: string;
}

export type PoolAction =
  | { readonly kind: 'start'; readonly persona: string }
  | { readonly kind: 'retire'; readonly id: SessionId; readonly why: string };

/**
 * [W1] A ready entry of the same project, agent, rights and settings: of the same persona in the same version, or under `any` whichever
 * is warmest.
 */
export function chooseEntry(entries: readonly PoolEntry[], want: PoolWant, policy: PoolPolicy): PoolEntry | undefined {
  const ready = entries.filter(
    (entry) =>
      entry.phase === 'ready' &&
      entry.project === want.project &&
      entry.agent === want.agent &&
      entry.launch === want.launch,
  );
  const same = ready.filter((entry) => entry.persona === want.persona && entry.personaVersion === want.personaVersion);
  const [best] = (same.length > 0 || policy.reuse !== 'any' ? same : ready).toSorted((a, b) => a.since - b.since);
  return best;
}

/** [W2] Why an entry is not kept when its attempt is over; undefined: it is kept. */
export function whyNotKept(
  entry: PoolEntry,
  policy: PoolPolicy,
  now: number,
  current: Version | undefined,
): string | undefined {
  if (policy.reuse === 'never') return 'the policy is a session per job';
  return (current && outdated(entry, current)) ?? wornOut(entry, policy, now);
}

function outdated(entry: PoolEntry, current: Version): string | undefined {
  if (current.personaVersion !== entry.personaVersion) return 'its persona has changed';
  return current.launch === entry.launch ? undefined : 'the settings of its agent have changed';
}

function wornOut(entry: PoolEntry, policy: PoolPolicy, now: number): string | undefined {
  if (entry.toolCalls >= policy.toolCallsMax) return `it has made ${entry.toolCalls} tool calls`;
  if (now - entry.createdAt >= policy.ageMs) return 'it is too old';
  return undefined;
}

/** What one project's pool should do now. `versions` are the personas as they are now; one that is missing can't be started. */
export function planPool(
  entries: readonly PoolEntry[],
  policy: PoolPolicy,
  versions: Readonly<Record<string, Version>>,
  now: number,
): PoolAction[] {
  const retire = entries.flatMap((entry): PoolAction[] => {
    const why = whyRetired(entry, policy, versions, now);
    return why === undefined ? [] : [{ kind: 'retire', id: entry.id, why }];
  });
  const leaving = new Set(retire.flatMap((action) => (action.kind === 'retire' ? [action.id] : [])));
  const staying = entries.filter(({ id, phase }) => phase !== 'leaving' && phase !== 'personal' && !leaving.has(id));
  return [...retire, ...starts(staying, policy, versions)];
}

/** [W3] Only what nobody works in is retired: worn out, of an older persona, a cold one idle too long, or more cold ones than allowed. */
function whyRetired(
  entry: PoolEntry,
  policy: PoolPolicy,
  versions: Readonly<Record<string, Version>>,
  now: number,
): string | undefined {
  if (entry.phase !== 'ready') return undefined;
  const worn = wornOut(entry, policy, now);
  if (worn !== undefined) return worn;
  const version = versions[entry.persona];
  if (version === undefined) return 'its persona is not there any more';
  const old = outdated(entry, version);
  if (old !== undefined) return old;
  if (entry.kind === 'cold' && now - entry.since >= policy.idleMs) return 'nobody has needed it';
  return undefined;
}

/** [W4] Free warm entries up to what the policy wants, never more warm ones in all than `warmMax`. */
function starts(
  staying: readonly PoolEntry[],
  policy: PoolPolicy,
  versions: Readonly<Record<string, Version>>,
): PoolAction[] {
  let room = policy.warmMax - staying.filter((entry) => entry.kind === 'warm').length;
  return Object.entries(policy.warm).flatMap(([persona, wanted]): PoolAction[] => {
    const current = versions[persona];
    if (current === undefined) return [];
    const standing = staying.filter(
      (entry) => entry.kind === 'warm' && entry.persona === persona && outdated(entry, current) === undefined,
    ).length;
    const missing = Math.max(0, Math.min(wanted - standing, room));
    room -= missing;
    return Array.from({ length: missing }, () => ({ kind: 'start', persona }));
  });
}

/** When `planPool` may have something to do by time alone; undefined: only news can change it. */
export function nextPlanAt(entries: readonly PoolEntry[], policy: PoolPolicy): number | undefined {
  const times = entries
    .filter((entry) => entry.phase === 'ready')
    .flatMap((entry) => [
      entry.createdAt + policy.ageMs,
      ...(entry.kind === 'cold' ? [entry.since + policy.idleMs] : []),
    ]);
  return times.length === 0 ? undefined : Math.min(...times);
}
