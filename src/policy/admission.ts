/**
 * Whether one more session may start, and which one goes when memory is short. Pure: facts in, decision out. SPEC.md has the rules.
 *
 * Order of the parts: facts and decisions, `admit` (somebody wants to start one), `relieve` (nobody asks, but memory is short), the order
 * in which sessions are retired, and `expectedBytes` (what one of a kind takes).
 *
 * A session that works and has not yet grown to what its kind takes has that much promised to it: free memory alone would let ten sessions
 * start in the second before the first of them grows.
 */

export interface AdmissionSession {
  readonly id: string;
  /** busy: a job has it · idle: nobody would miss it · kept: it is not ours to end. */
  readonly use: 'busy' | 'idle' | 'kept';
  /** What it holds now; 0 while it is being started. */
  readonly memoryBytes: number;
  /** What one of its kind takes at its largest. */
  readonly expectedBytes: number;
  readonly idleForMs: number;
  /** Since its start. */
  readonly ageMs: number;
  /** Started on demand, not kept ready by the pool. */
  readonly cold: boolean;
}

export interface AdmissionLimits {
  /** Stays free whatever is asked for: the daemon, the host, builds and the user's own programs live on it. */
  readonly reserveBytes: number;
  /** Share of time in percent in which something waited for memory (PSI some avg10), from which on nothing starts. */
  readonly pressurePercent: number;
}

export interface MemoryFacts {
  /** What can be had without swapping, the smallest of the machine and of every control group around us. */
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Undefined where the system does not tell: then memory alone decides. */
  readonly pressure: number | undefined;
  readonly sessions: readonly AdmissionSession[];
  readonly limits: AdmissionLimits;
  /** Since the last retirement; Infinity if there was none. */
  readonly sinceRetiredMs: number;
}

export interface AdmissionFacts extends MemoryFacts {
  readonly wantBytes: number;
  /** A session that is only to stand ready costs no other one its place. */
  readonly purpose: 'job' | 'warm';
  /** Why the last question of this purpose was answered with wait. */
  readonly waiting: Shortage | undefined;
}

export type Shortage = 'memory' | 'pressure';

export interface Retire {
  readonly kind: 'retire';
  readonly ids: readonly string[];
  readonly shortage: Shortage;
  readonly reason: string;
}

export type Admission =
  | { readonly kind: 'admit' }
  /** `until`: what would have to change. */
  | { readonly kind: 'wait'; readonly shortage: Shortage; readonly reason: string; readonly until: string }
  | Retire;

/** [M6] Who waited for memory starts when this share of the reserve is free beside it, so that a few pages do not decide back and forth. */
const memoryMarginShare = 0.1;
/** [M6] Who waited for pressure to fall starts when it is down to this share of the limit. */
const pressureCalmShare = 0.5;
/** [M7] What a session held comes back within a second; its part of avg10 is gone after ten. */
const settleMs: Readonly<Record<Shortage, number>> = { memory: 3000, pressure: 10_000 };
/** [M8] Below this share of the reserve idle sessions go without anybody asking. */
const lowShare = 0.5;
/** [M8] Below this share a busy one goes, if no idle one is left: a session that we end can be told and its work saved, the kernel's choice can't. */
const lastResortShare = 0.125;
/** Measured sessions of a kind below which its configured size counts. */
const measuredMin = 3;
const idleMinute = 60_000;

export function admit(facts: AdmissionFacts): Admission {
  const { pressure, limits, waiting } = facts;
  const pressureLimit = limits.pressurePercent * (waiting === 'pressure' ? pressureCalmShare : 1);
  if (pressure !== undefined && pressure >= pressureLimit) return underPressure(facts, pressure, pressureLimit);
  const missing = missingBytes(facts);
  return missing <= 0 ? { kind: 'admit' } : withoutMemory(facts, missing);
}

/** What has to be freed before `wantBytes` more leave the reserve untouched; negative: that much is to spare. */
function missingBytes(facts: AdmissionFacts): number {
  const margin = facts.waiting === 'memory' ? facts.limits.reserveBytes * memoryMarginShare : 0;
  return facts.wantBytes + promisedBytes(facts.sessions) + facts.limits.reserveBytes + margin - facts.freeBytes;
}

/** [M2] What busy sessions will still take. */
export const promisedBytes = (sessions: readonly AdmissionSession[]): number =>
  sessions
    .filter(({ use }) => use === 'busy')
    .reduce((sum, { expectedBytes: expected, memoryBytes }) => sum + Math.max(0, expected - memoryBytes), 0);

function underPressure(facts: AdmissionFacts, pressure: number, limit: number): Admission {
  const reason = `memory pressure is ${percent(pressure)} (some avg10)`;
  const cheapest = retirable(facts.sessions)[0];
  const over = pressure >= facts.limits.pressurePercent && facts.sinceRetiredMs >= settleMs.pressure;
  if (cheapest && over && facts.purpose === 'job')
    return { kind: 'retire', ids: [cheapest.id], shortage: 'pressure', reason };
  return { kind: 'wait', shortage: 'pressure', reason, until: `it falls below ${percent(limit)}` };
}

function withoutMemory(facts: AdmissionFacts, missing: number): Admission {
  const reason = shortOf(facts);
  if (facts.purpose === 'job' && facts.sinceRetiredMs >= settleMs.memory) {
    const ids = enough(retirable(facts.sessions), missing);
    if (ids.length > 0) return { kind: 'retire', ids, shortage: 'memory', reason };
  }
  const most = facts.totalBytes - facts.limits.reserveBytes;
  const until =
    facts.wantBytes > most
      ? `this machine or its limit has more than ${megabytes(facts.totalBytes)}, or the reserve or the estimate is set lower`
      : `${megabytes(missing)} more are free`;
  return { kind: 'wait', shortage: 'memory', reason, until };
}

function shortOf({ freeBytes, wantBytes, limits, sessions }: AdmissionFacts): string {
  const promised = promisedBytes(sessions);
  const growing = promised > 0 ? `, ${megabytes(promised)} are promised to sessions that still grow` : '';
  return `${megabytes(freeBytes)} of memory are free${growing}, ${megabytes(limits.reserveBytes)} stay in reserve, and a session takes about ${megabytes(wantBytes)}`;
}

/** [M4] The first few that free what is missing; none if all of them together would not. */
function enough(sessions: readonly AdmissionSession[], missing: number): readonly string[] {
  const ids: string[] = [];
  let left = missing;
  for (const session of sessions) {
    if (left <= 0) break;
    ids.push(session.id);
    left -= session.memoryBytes;
  }
  return left <= 0 ? ids : [];
}

/**
 * [M8] Memory got short by itself: sessions grew, or somebody else's programs did. Undefined: nothing has to go, or nothing would help yet.
 */
export function relieve(facts: MemoryFacts): Retire | undefined {
  const shortage = shortageOf(facts);
  if (shortage === undefined || facts.sinceRetiredMs < settleMs[shortage]) return undefined;
  const reason =
    shortage === 'pressure'
      ? `memory pressure is ${percent(facts.pressure ?? 0)} (some avg10)`
      : `${megabytes(facts.freeBytes)} of memory are free, less than ${Math.round(lowShare * 100)} % of the reserve of ${megabytes(facts.limits.reserveBytes)}`;
  const idle = retirable(facts.sessions)[0];
  if (idle) return { kind: 'retire', ids: [idle.id], shortage, reason };
  if (facts.freeBytes >= facts.limits.reserveBytes * lastResortShare) return undefined;
  const newest = facts.sessions.filter(({ use, memoryBytes }) => use === 'busy' && memoryBytes > 0).toSorted(byAge)[0];
  return (
    newest && { kind: 'retire', ids: [newest.id], shortage: 'memory', reason: `${reason}; no idle session is left` }
  );
}

function shortageOf({ freeBytes, pressure, limits }: MemoryFacts): Shortage | undefined {
  if (freeBytes < limits.reserveBytes * lowShare) return 'memory';
  return pressure !== undefined && pressure >= limits.pressurePercent ? 'pressure' : undefined;
}

/** [M3] Idle ones, the cheapest first: cold before warm, then idle longest (in minutes), then the largest. */
const retirable = (sessions: readonly AdmissionSession[]): readonly AdmissionSession[] =>
  sessions.filter(({ use }) => use === 'idle').toSorted(byCost);

const byCost = (a: AdmissionSession, b: AdmissionSession): number =>
  Number(b.cold) - Number(a.cold) ||
  Math.floor(b.idleForMs / idleMinute) - Math.floor(a.idleForMs / idleMinute) ||
  b.memoryBytes - a.memoryBytes ||
  a.id.localeCompare(b.id);

/** The newest first: the least work is lost with it. */
const byAge = (a: AdmissionSession, b: AdmissionSession): number => a.ageMs - b.ageMs || a.id.localeCompare(b.id);

/** [M5] What a session of a kind takes: the median of the largest sizes of those that have worked, and until there are some the configured size. */
export function expectedBytes(largest: readonly number[], configured: number): number {
  if (largest.length < measuredMin) return configured;
  const sorted = largest.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? configured;
}

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1024 / 1024)} MB`;
const percent = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
