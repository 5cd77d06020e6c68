import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SessionId } from '../../base/ids.ts';
import {
  chooseEntry,
  nextPlanAt,
  type PoolEntry,
  type PoolPolicy,
  planPool,
  type Version,
  whyNotKept,
} from './plan.ts';

const minute = 60_000;
const policy: PoolPolicy = {
  warm: { fe: 1, be: 1 },
  reuse: 'persona',
  warmMax: 3,
  coldMax: 3,
  idleMs: 10 * minute,
  toolCallsMax: 800,
  ageMs: 240 * minute,
};
const launch = 'as configured';
const at = (personaVersion: string): Version => ({ personaVersion, launch });
const versions = { fe: at('fe1'), be: at('be1'), qa: at('qa1') };
const entry = (part: Partial<PoolEntry> & { id?: string } = {}): PoolEntry =>
  ({
    id: 's-1' as SessionId,
    project: '/p',
    persona: 'fe',
    personaVersion: 'fe1',
    launch,
    agent: 'claude',
    kind: 'warm',
    phase: 'ready',
    createdAt: 0,
    since: 0,
    toolCalls: 0,
    ...part,
  }) as PoolEntry;
const want = { project: '/p', persona: 'fe', personaVersion: 'fe1', launch, agent: 'claude' };

describe('taking', () => {
  test('[W1] only a ready one of the same project, agent, persona and version', () => {
    const others = [
      entry({ phase: 'taken' }),
      entry({ project: '/q' }),
      entry({ agent: 'codex' }),
      entry({ persona: 'be' }),
      entry({ personaVersion: 'fe0' }),
      entry({ launch: 'with all rights' }),
      entry({ phase: 'personal' }),
      entry({ phase: 'resetting' }),
    ];
    expect(chooseEntry(others, want, policy)).toBeUndefined();
    expect(chooseEntry([...others, entry({ id: 's-9' as SessionId })], want, policy)?.id).toBe('s-9');
  });

  test('[W1] under `any` another persona will do where the own one is not there', () => {
    const any: PoolPolicy = { ...policy, reuse: 'any' };
    const be = entry({ id: 's-be' as SessionId, persona: 'be' });
    expect(chooseEntry([be], want, any)?.id).toBe('s-be');
    expect(chooseEntry([be, entry()], want, any)?.id).toBe('s-1');
    expect(chooseEntry([{ ...be, launch: 'with all rights' }], want, any)).toBeUndefined();
  });
});

describe('keeping', () => {
  test('[W2] not under `never`, not worn out, not of a persona that has changed', () => {
    expect(whyNotKept(entry(), policy, minute, at('fe1'))).toBeUndefined();
    expect(whyNotKept(entry(), { ...policy, reuse: 'never' }, minute, at('fe1'))).toContain('session per job');
    expect(whyNotKept(entry({ toolCalls: 800 }), policy, minute, at('fe1'))).toContain('800 tool calls');
    expect(whyNotKept(entry(), policy, 241 * minute, at('fe1'))).toContain('too old');
    expect(whyNotKept(entry(), policy, minute, at('fe2'))).toContain('persona has changed');
    expect(whyNotKept(entry({ launch: 'before' }), policy, minute, at('fe1'))).toContain('settings');
  });
});

describe('planning', () => {
  test('[W4] what is missing is started, up to the wish and the limit', () => {
    expect(planPool([], policy, versions, 0)).toEqual([
      { kind: 'start', persona: 'fe' },
      { kind: 'start', persona: 'be' },
    ]);
    expect(planPool([entry({ phase: 'taken' })], policy, versions, 0)).toEqual([{ kind: 'start', persona: 'be' }]);
    expect(planPool([], { ...policy, warm: { fe: 9 }, warmMax: 2 }, versions, 0)).toHaveLength(2);
    expect(planPool([], policy, { be: at('be1') }, 0)).toEqual([{ kind: 'start', persona: 'be' }]);
  });

  test("[W9] in the place of a session that is a person's another is started, and that one stays", () => {
    expect(
      planPool([entry({ phase: 'personal', toolCalls: 900 })], { ...policy, warm: { fe: 1 } }, versions, 0),
    ).toEqual([{ kind: 'start', persona: 'fe' }]);
  });

  test('[W3] a persona that changed: the idle one is replaced, the busy one finishes first', () => {
    const changed = { ...versions, fe: at('fe2') };
    const idle = planPool(
      [entry(), entry({ id: 's-2' as SessionId, persona: 'be', personaVersion: 'be1' })],
      policy,
      changed,
      0,
    );
    expect(idle).toEqual([
      { kind: 'retire', id: 's-1', why: 'its persona has changed' },
      { kind: 'start', persona: 'fe' },
    ]);
    expect(planPool([entry({ phase: 'taken' })], { ...policy, warm: {} }, changed, 0)).toEqual([]);
  });

  test('[W3] a cold one that nobody needs leaves after its time, a warm one stays', () => {
    const cold = entry({ kind: 'cold' });
    expect(planPool([cold], { ...policy, warm: {} }, versions, 10 * minute - 1)).toEqual([]);
    expect(planPool([cold], { ...policy, warm: {} }, versions, 10 * minute)).toEqual([
      { kind: 'retire', id: 's-1', why: 'nobody has needed it' },
    ]);
    expect(nextPlanAt([cold], policy)).toBe(10 * minute);
    expect(planPool([entry()], { ...policy, warm: { fe: 1 } }, versions, 10 * minute)).toEqual([]);
  });

  test('[W3] [W4] whatever stands there: nothing that works is retired, no id twice, never more warm ones than allowed', () => {
    const entries = fc.array(
      fc.record({
        id: fc.integer({ min: 1, max: 9 }).map((n) => `s-${n}` as SessionId),
        project: fc.constant('/p'),
        persona: fc.constantFrom('fe', 'be', 'qa', 'gone'),
        personaVersion: fc.constantFrom('fe1', 'be1', 'qa1', 'old'),
        launch: fc.constantFrom(launch, 'otherwise'),
        agent: fc.constant('claude'),
        worktree: fc.constant('/w'),
        kind: fc.constantFrom('warm' as const, 'cold' as const),
        phase: fc.constantFrom(
          'starting' as const,
          'ready' as const,
          'taken' as const,
          'resetting' as const,
          'leaving' as const,
        ),
        createdAt: fc.integer({ min: 0, max: 300 * minute }),
        since: fc.integer({ min: 0, max: 300 * minute }),
        toolCalls: fc.integer({ min: 0, max: 1000 }),
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(entries, fc.integer({ min: 0, max: 400 * minute }), (all, now) => {
        const unique = [...new Map(all.map((one) => [one.id, one])).values()];
        const actions = planPool(unique, policy, versions, now);
        const retired = actions.flatMap((action) => (action.kind === 'retire' ? [action.id] : []));
        expect(new Set(retired).size).toBe(retired.length);
        for (const id of retired) expect(unique.find((one) => one.id === id)?.phase).toBe('ready');
        const warmLeft = unique.filter(
          (one) => one.kind === 'warm' && one.phase !== 'leaving' && !retired.includes(one.id),
        ).length;
        const started = actions.filter((action) => action.kind === 'start').length;
        if (started > 0) expect(warmLeft + started).toBeLessThanOrEqual(policy.warmMax);
      }),
    );
  });
});
