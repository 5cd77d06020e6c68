import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AdmissionFacts,
  type AdmissionSession,
  admit,
  expectedBytes,
  type MemoryFacts,
  promisedBytes,
  relieve,
} from './admission.ts';

const MB = 1024 * 1024;

const session = (part: Partial<AdmissionSession> & { readonly id: string }): AdmissionSession => ({
  use: 'idle',
  memoryBytes: 300 * MB,
  expectedBytes: 300 * MB,
  idleForMs: 60_000,
  ageMs: 60_000,
  cold: true,
  ...part,
});

const facts = (part: Partial<AdmissionFacts>): AdmissionFacts => ({
  freeBytes: 1000 * MB,
  totalBytes: 4000 * MB,
  pressure: 0,
  sessions: [],
  limits: { reserveBytes: 400 * MB, pressurePercent: 20 },
  sinceRetiredMs: Number.POSITIVE_INFINITY,
  wantBytes: 300 * MB,
  purpose: 'job',
  waiting: undefined,
  ...part,
});

const megabytes = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max }).map((count) => count * MB);
const anySessions: fc.Arbitrary<AdmissionSession[]> = fc
  .array(
    fc.record({
      use: fc.constantFrom('busy' as const, 'idle' as const, 'kept' as const),
      memoryBytes: megabytes(800),
      expectedBytes: megabytes(800),
      idleForMs: fc.integer({ min: 0, max: 600_000 }),
      ageMs: fc.integer({ min: 0, max: 600_000 }),
      cold: fc.boolean(),
    }),
    { maxLength: 8 },
  )
  .map((all) => all.map((one, index) => ({ ...one, id: `s-${index}` })));
const anyFacts: fc.Arbitrary<AdmissionFacts> = fc.record({
  freeBytes: megabytes(4000),
  totalBytes: fc.constant(4000 * MB),
  pressure: fc.option(fc.double({ min: 0, max: 100, noNaN: true }), { nil: undefined }),
  sessions: anySessions,
  limits: fc.record({ reserveBytes: megabytes(1000), pressurePercent: fc.integer({ min: 1, max: 100 }) }),
  sinceRetiredMs: fc.constantFrom(0, 5000, Number.POSITIVE_INFINITY),
  wantBytes: megabytes(1000),
  purpose: fc.constantFrom('job' as const, 'warm' as const),
  waiting: fc.constantFrom(undefined, 'memory' as const, 'pressure' as const),
});
const always = (claim: (given: AdmissionFacts) => void): void =>
  fc.assert(fc.property(anyFacts, claim), { numRuns: 2000 });
const chosen = (given: MemoryFacts, ids: readonly string[]): AdmissionSession[] =>
  given.sessions.filter(({ id }) => ids.includes(id));

describe('admit', () => {
  test('[M1] [M2] who is admitted leaves the reserve and what is promised, under the limit of pressure', () =>
    always((given) => {
      if (admit(given).kind !== 'admit') return;
      const left = given.freeBytes - promisedBytes(given.sessions) - given.wantBytes;
      expect(left).toBeGreaterThanOrEqual(given.limits.reserveBytes);
      expect(given.pressure ?? 0).toBeLessThan(given.limits.pressurePercent);
    }));

  test('[M1] with enough of everything it is admitted', () => {
    expect(admit(facts({}))).toEqual({ kind: 'admit' });
    expect(admit(facts({ freeBytes: 700 * MB }))).toEqual({ kind: 'admit' });
    expect(admit(facts({ pressure: undefined }))).toEqual({ kind: 'admit' });
  });

  test('[M1] without, it waits and says what would have to change', () => {
    expect(admit(facts({ freeBytes: 600 * MB }))).toEqual({
      kind: 'wait',
      shortage: 'memory',
      reason: '600 MB of memory are free, 400 MB stay in reserve, and a session takes about 300 MB',
      until: '100 MB more are free',
    });
    expect(admit(facts({ pressure: 34.5 }))).toEqual({
      kind: 'wait',
      shortage: 'pressure',
      reason: 'memory pressure is 35 % (some avg10)',
      until: 'it falls below 20 %',
    });
    expect(admit(facts({ wantBytes: 5000 * MB }))).toMatchObject({
      until: expect.stringContaining('more than 4000 MB'),
    });
  });

  test('[M2] ten that start in the same second are counted as grown', () => {
    const young = Array.from({ length: 2 }, (_, index) =>
      session({ id: `s-${index}`, use: 'busy', memoryBytes: 50 * MB }),
    );
    expect(admit(facts({ freeBytes: 1300 * MB, sessions: young }))).toEqual({ kind: 'admit' });
    expect(admit(facts({ freeBytes: 1199 * MB, sessions: young }))).toMatchObject({
      kind: 'wait',
      reason:
        '1199 MB of memory are free, 500 MB are promised to sessions that still grow, 400 MB stay in reserve, and a session takes about 300 MB',
    });
  });

  test('more free memory and less pressure never turn a yes into a no', () =>
    always((given) => {
      if (admit(given).kind !== 'admit') return;
      const better = { ...given, freeBytes: given.freeBytes + MB, pressure: (given.pressure ?? 0) / 2 };
      expect(admit(better).kind).toBe('admit');
    }));

  test('[M6] who waited is admitted only where who did not would be', () => {
    always((given) => {
      if (admit(given).kind === 'admit') expect(admit({ ...given, waiting: undefined }).kind).toBe('admit');
    });
    expect(admit(facts({ freeBytes: 739 * MB, waiting: 'memory' })).kind).toBe('wait');
    expect(admit(facts({ freeBytes: 740 * MB, waiting: 'memory' })).kind).toBe('admit');
    expect(admit(facts({ pressure: 10, waiting: 'pressure' })).kind).toBe('wait');
    expect(admit(facts({ pressure: 9.9, waiting: 'pressure' })).kind).toBe('admit');
  });
});

describe('retire', () => {
  test('[M3] only idle ones go for a job, whatever the facts', () =>
    always((given) => {
      const said = admit(given);
      if (said.kind === 'retire')
        expect(chosen(given, said.ids).map(({ use }) => use)).toEqual(said.ids.map(() => 'idle'));
    }));

  test('[M3] cold before warm, then idle longest, then the largest', () => {
    const sessions = [
      session({ id: 'warm', cold: false, idleForMs: 600_000 }),
      session({ id: 'short', idleForMs: 60_000 }),
      session({ id: 'small', idleForMs: 300_000, memoryBytes: 299 * MB }),
      session({ id: 'large', idleForMs: 310_000, memoryBytes: 310 * MB }),
      session({ id: 'busy', use: 'busy' }),
      session({ id: 'theirs', use: 'kept' }),
    ];
    const short = facts({ freeBytes: 0, sessions, wantBytes: 800 * MB });
    expect(admit(short)).toMatchObject({ kind: 'retire', ids: ['large', 'small', 'short', 'warm'] });
    expect(admit({ ...short, pressure: 50 })).toMatchObject({ kind: 'retire', ids: ['large'], shortage: 'pressure' });
  });

  test('[M4] as many as free what is missing and not one more; none if all would not do', () => {
    always((given) => {
      const said = admit(given);
      if (said.kind !== 'retire' || said.shortage !== 'memory') return;
      const freed = (ids: readonly string[]): number =>
        chosen(given, ids).reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
      const enough = (ids: readonly string[]): boolean =>
        admit({
          ...given,
          freeBytes: given.freeBytes + freed(ids),
          sessions: given.sessions.filter(({ id }) => !ids.includes(id)),
        }).kind === 'admit';
      expect([enough(said.ids), enough(said.ids.slice(0, -1))]).toEqual([true, false]);
    });
    const sessions = [session({ id: 'a' })];
    expect(admit(facts({ freeBytes: 399 * MB, sessions })).kind).toBe('wait');
    expect(admit(facts({ freeBytes: 400 * MB, sessions })).kind).toBe('retire');
  });

  test('[M4] a session that is to stand ready costs no other one its place', () =>
    always((given) => {
      expect(admit({ ...given, purpose: 'warm' }).kind).not.toBe('retire');
    }));

  test('[M7] the effect of a retirement is waited out', () => {
    const sessions = [session({ id: 'a' }), session({ id: 'b' })];
    const short = facts({ freeBytes: 500 * MB, sessions });
    expect([0, 2999, 3000].map((sinceRetiredMs) => admit({ ...short, sinceRetiredMs }).kind)).toEqual([
      'wait',
      'wait',
      'retire',
    ]);
    const pressed = facts({ pressure: 50, sessions });
    expect([9999, 10_000].map((sinceRetiredMs) => admit({ ...pressed, sinceRetiredMs }).kind)).toEqual([
      'wait',
      'retire',
    ]);
  });
});

describe('relieve', () => {
  test('[M8] with memory to spare nothing goes', () => {
    expect(relieve(facts({ freeBytes: 200 * MB, sessions: [session({ id: 'a' })] }))).toBeUndefined();
  });

  test('[M8] idle ones go one by one, below half of the reserve or under pressure', () => {
    const sessions = [session({ id: 'a' }), session({ id: 'b', idleForMs: 300_000 })];
    expect(relieve(facts({ freeBytes: 199 * MB, sessions }))).toMatchObject({ ids: ['b'], shortage: 'memory' });
    expect(relieve(facts({ pressure: 20, sessions }))).toMatchObject({ ids: ['b'], shortage: 'pressure' });
  });

  test('[M3] [M8] a busy one goes only when hardly anything is left and no idle one is there, the newest first', () => {
    fc.assert(
      fc.property(anyFacts, (given) => {
        const said = relieve(given);
        if (!said) return;
        const uses = chosen(given, said.ids).map(({ use }) => use);
        const idleLeft = given.sessions.some(({ use }) => use === 'idle');
        expect(uses).toEqual([idleLeft ? 'idle' : 'busy']);
      }),
      { numRuns: 2000 },
    );
    const sessions = [session({ id: 'old', use: 'busy' }), session({ id: 'new', use: 'busy', ageMs: 1000 })];
    expect(relieve(facts({ freeBytes: 50 * MB, sessions }))).toBeUndefined();
    expect(relieve(facts({ freeBytes: 49 * MB, sessions }))).toMatchObject({ ids: ['new'] });
    expect(relieve(facts({ pressure: 90, sessions }))).toBeUndefined();
  });
});

test('[M5] the size of a kind is the median of what was measured, and what is configured until three were', () => {
  expect(expectedBytes([100, 900], 300)).toBe(300);
  expect(expectedBytes([900, 100, 200], 300)).toBe(200);
});
