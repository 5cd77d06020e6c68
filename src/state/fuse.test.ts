import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Evidence, evidenceSources, sessionStates } from '../protocol/state.ts';
import { initialFacts, type SessionFacts, sessionFactsSchema } from './facts.ts';
import { fuse, isSettled, nextTickAt, tick, unknownAfterRestart } from './fuse.ts';
import {
  afterEndMs,
  againstLevelMs,
  changesKept,
  evidenceKept,
  provisionalMs,
  quietMs,
  retryQuietMs,
  stalledMs,
  startFlickerMs,
  toolCallsKept,
} from './limits.ts';
import { sourceRanks } from './ranks.ts';
import { finalStates, transitions } from './transitions.ts';

type Claim = Partial<Evidence> & Pick<Evidence, 'source' | 'at'>;

const evidence = (claim: Claim): Evidence => ({ reason: `${claim.source} ${claim.state ?? ''}`, ...claim });

/** Folds in order, ticking whenever it is due before the next evidence, as the sessions room does. */
function fold(claims: readonly Claim[], until?: number, start: SessionFacts = initialFacts(0)): SessionFacts {
  let facts = start;
  const pass = (now: number): void => {
    for (let due = nextTickAt(facts); due !== undefined && due <= now; due = nextTickAt(facts)) {
      facts = tick(facts, due).facts;
    }
  };
  for (const claim of claims) {
    pass(claim.at);
    facts = fuse(facts, evidence(claim)).facts;
  }
  if (until !== undefined) pass(until);
  return facts;
}

const path = (facts: SessionFacts): string => facts.changes.map((each) => `${each.to}@${each.at}`).join(' ');

const atPrompt: Claim[] = [{ source: 'osc7501', at: 100, state: 'idle' }];
const working: Claim[] = [
  ...atPrompt,
  { source: 'hook', at: 1000, state: 'working', turn: 'started', accepted: 'do it' },
];
const asked: Claim[] = [
  ...working,
  { source: 'hook', at: 1900, state: 'working', tool: { id: 't1', name: 'Bash', phase: 'asked' } },
  {
    source: 'hook',
    at: 2000,
    state: 'permission',
    permission: { id: 'ask-1', tool: 'Bash', summary: 'ls', callId: 't1' },
  },
];

describe('ranks', () => {
  test('[S2] evidence of equal rank replaces the state at once', () => {
    expect(path(fold([...working, { source: 'sessionFile', at: 1500, state: 'idle' }]))).toBe(
      'idle@100 working@1000 idle@1500',
    );
  });

  test('[S3] a lower source corrects after its quiet time, and not before', () => {
    const claims: Claim[] = [...working, { source: 'screen', at: 1500, state: 'idle' }];
    expect(fold(claims, 1500 + quietMs.screen - 1).state).toBe('working');
    expect(path(fold(claims, 1500 + quietMs.screen))).toBe(`idle@100 working@1000 idle@${1500 + quietMs.screen}`);
  });

  test('[S3] while a more trusted source still shows the state, a correction takes ten seconds', () => {
    const claims: Claim[] = [
      ...working,
      { source: 'osc7501', at: 1100, state: 'working' },
      { source: 'screen', at: 1500, state: 'idle' },
    ];
    expect(fold(claims, 1500 + againstLevelMs - 1).state).toBe('working');
    expect(fold(claims, 1500 + againstLevelMs).state).toBe('idle');
  });

  test('[S3] a lower source that takes its claim back changes nothing', () => {
    const claims: Claim[] = [
      ...working,
      { source: 'screen', at: 1500, state: 'idle' },
      { source: 'screen', at: 1600, state: 'working' },
    ];
    expect(fold(claims, 9000).state).toBe('working');
  });

  test('[S3] a claim starts its quiet time anew when a source as trusted as the holder confirms the state', () => {
    const claims: Claim[] = [
      ...working,
      { source: 'screen', at: 1500, state: 'idle' },
      { source: 'hook', at: 1700, state: 'working', tool: { id: 't', name: 'Bash', phase: 'asked' } },
    ];
    expect(fold(claims, 1700 + quietMs.screen - 1).state).toBe('working');
    expect(fold(claims, 1700 + quietMs.screen).state).toBe('idle');
  });

  test('[S6] evidence older than what made the state does not change it, but is counted', () => {
    const late: Claim = {
      source: 'hook',
      at: 1200,
      state: 'working',
      tool: { id: 't9', name: 'Read', phase: 'ended', ok: true },
    };
    const facts = fold([...working, { source: 'hook', at: 1500, state: 'done', turn: 'ended' }, late]);
    expect({ state: facts.state, ran: facts.tools.ran }).toEqual({ state: 'done', ran: 1 });
  });

  test('[S6] rows of an earlier life of the conversation give its id and nothing else', () => {
    const old: Claim = {
      source: 'transcript',
      at: 4,
      state: 'failed',
      turn: 'ended',
      resumeId: 'r',
      error: { kind: 'other', message: 'x' },
    };
    expect(fold([old], 9000, initialFacts(5))).toEqual({ ...initialFacts(5), resumeId: 'r' });
  });
});

describe('permission', () => {
  test('[S4] a program status opens it at once over a hook, and the hook then says what is asked', () => {
    const facts = fold([
      ...working,
      {
        source: 'osc7501',
        at: 1950,
        state: 'permission',
        permission: { id: 'p1950', tool: '', summary: 'approve Bash' },
      },
      { source: 'hook', at: 1990, state: 'permission', permission: { id: 'ask-1', tool: 'Bash', summary: 'ls' } },
    ]);
    expect({ state: facts.state, since: facts.since, permission: facts.permission }).toEqual({
      state: 'permission',
      since: 1950,
      permission: { id: 'ask-1', tool: 'Bash', summary: 'ls', by: 'hook' },
    });
  });

  test('[S4] a screen opens it only after its quiet time', () => {
    const claims: Claim[] = [...working, { source: 'screen', at: 1500, state: 'permission' }];
    expect(fold(claims, 1500 + quietMs.screen - 1).state).toBe('working');
    expect(fold(claims, 1500 + quietMs.screen).state).toBe('permission');
  });

  test('[S5] a source that had shown it closes it at once', () => {
    const facts = fold([
      ...asked,
      { source: 'osc7501', at: 2050, state: 'permission' },
      { source: 'osc7501', at: 5000, state: 'idle' },
    ]);
    expect({ state: facts.state, since: facts.since, permission: facts.permission }).toEqual({
      state: 'idle',
      since: 5000,
      permission: null,
    });
  });

  test('[S5] a source that lags behind and never showed it does not close it before its quiet time', () => {
    const lagging: Claim[] = [...asked, { source: 'screen', at: 2020, state: 'working' }];
    expect(fold(lagging, 2020 + quietMs.screen - 1).state).toBe('permission');
    expect(fold([...lagging, { source: 'screen', at: 2100, state: 'permission' }], 60_000).state).toBe('permission');
  });

  test('[S5] the end of another call leaves it open, the end of its own closes it', () => {
    const other: Claim = {
      source: 'hook',
      at: 2500,
      state: 'working',
      tool: { id: 't2', name: 'Bash', phase: 'ended' },
    };
    const own: Claim = { source: 'hook', at: 2600, state: 'working', tool: { id: 't1', name: 'Bash', phase: 'ended' } };
    expect(fold([...asked, other]).state).toBe('permission');
    expect(fold([...asked, other, own]).state).toBe('working');
  });
});

describe('one question behind the other', () => {
  const screenAsk = (at: number, summary: string): Claim => ({
    source: 'screen',
    at,
    state: 'permission',
    permission: { id: 'screen', tool: 'Shell', summary },
  });

  test('[S16] another call, another asking hook, or other words of the same source have another id', () => {
    const other = { id: 'ask-2', tool: 'Bash', summary: 'rm -rf /', callId: 't2' };
    expect(fold([...asked, { source: 'hook', at: 2500, state: 'permission', permission: other }]).permission).toEqual({
      ...other,
      by: 'hook',
    });
    const shown = fold([...working, screenAsk(2000, 'ls'), screenAsk(2600, 'ls')], 2600);
    expect(shown.permission).toMatchObject({ id: 'screen', summary: 'ls' });
    expect(fold([screenAsk(3000, 'rm -rf /')], 3000, shown).permission).toMatchObject({
      id: 'p3000',
      summary: 'rm -rf /',
    });
  });

  test('[S16] other words of another source are the same question', () => {
    const lag = fold([
      ...asked,
      { ...screenAsk(2600, 'ls -'), permission: { id: 'screen', tool: 'Shell', summary: 'ls -' } },
    ]);
    expect(lag.permission).toMatchObject({ id: 'ask-1', summary: 'ls' });
  });
});

describe('retrying', () => {
  const retrying: Claim[] = [...working, { source: 'screen', at: 2000, state: 'retrying' }];

  test('[S5] a spinner and a status line that only know work do not end it, progress does', () => {
    const spinning: Claim[] = [2100, 3100, 4100, 5100, 6100].map((at) => ({ source: 'title', at, state: 'working' }));
    const facts = fold([...retrying, ...spinning, { source: 'osc7501', at: 6200, state: 'working' }], 9000);
    expect(path(facts)).toBe('idle@100 working@1000 retrying@2000');
    const tool: Claim = { source: 'hook', at: 9100, state: 'working', tool: { id: 't', name: 'Bash', phase: 'asked' } };
    expect(fold([tool], undefined, facts).state).toBe('working');
  });

  test('[S5] the screen that showed it ends it only when it shows plain work for longer than an attempt takes', () => {
    const plain: Claim[] = [...retrying, { source: 'screen', at: 3000, state: 'working' }];
    expect(fold([...plain, { source: 'screen', at: 4000, state: 'retrying' }], 20_000).state).toBe('retrying');
    expect(fold(plain, 3000 + retryQuietMs).state).toBe('working');
  });
});

describe('ends', () => {
  test('[S7] a failure overrules an end within 300 ms even from a lower source, later it must wait', () => {
    const ended: Claim = { source: 'hook', at: 3000, state: 'done', turn: 'ended', provisional: true };
    const failure = (at: number): Claim => ({
      source: 'osc7501',
      at,
      state: 'failed',
      error: { kind: 'server', message: 'no' },
    });
    const soon = fold([...working, ended, failure(2999 + provisionalMs)]);
    expect({ state: soon.state, error: soon.error }).toEqual({
      state: 'failed',
      error: { kind: 'server', message: 'no' },
    });
    expect(fold([...working, ended, failure(3000 + provisionalMs)]).state).toBe('done');
  });

  test('[S7] an end is settled when it can no longer be overruled', () => {
    const claims: Claim[] = [...working, { source: 'hook', at: 3000, state: 'done', turn: 'ended', provisional: true }];
    expect(isSettled(fold(claims, 3000 + provisionalMs - 1))).toBe(false);
    expect(isSettled(fold(claims, 3000 + provisionalMs))).toBe(true);
  });

  test('[S3] a screen that goes on showing work after an end needs longer to be believed', () => {
    const claims: Claim[] = [
      ...working,
      { source: 'hook', at: 3000, state: 'failed', turn: 'ended' },
      { source: 'screen', at: 3050, state: 'working' },
    ];
    expect(fold(claims, 3050 + afterEndMs - 1).state).toBe('failed');
    expect(fold(claims, 3050 + afterEndMs).state).toBe('working');
  });

  test('[S5] a hook that names the answer closes the permission', () => {
    const permission = { id: 'ask-1', tool: '', summary: '' };
    expect(fold([...asked, { source: 'hook', at: 2500, state: 'working', permission }]).state).toBe('working');
    expect(fold([...asked, { source: 'hook', at: 2500, state: 'working' }]).state).toBe('permission');
  });

  test('[S8] a prompt after a failure is still a failure', () => {
    const facts = fold(
      [
        ...working,
        { source: 'hook', at: 3000, state: 'failed', turn: 'ended' },
        { source: 'sessionFile', at: 3100, state: 'idle' },
      ],
      9000,
    );
    expect(facts.state).toBe('failed');
  });

  test('[S11] after the process has ended nothing changes the state', () => {
    const facts = fold(
      [...working, { source: 'process', at: 3000, state: 'crashed' }, { source: 'hook', at: 3100, state: 'done' }],
      900_000,
    );
    expect({ state: facts.state, path: path(facts), next: nextTickAt(facts) }).toEqual({
      state: 'crashed',
      path: 'idle@100 working@1000 crashed@3000',
      next: undefined,
    });
  });
});

describe('time', () => {
  test('[S9] silence while working becomes stalled, never done, and any claim ends it', () => {
    const facts = fold(working, 1000 + stalledMs);
    expect(path(facts)).toBe(`idle@100 working@1000 stalled@${1000 + stalledMs}`);
    expect(fold([{ source: 'screen', at: 200_000, state: 'working' }], undefined, facts).state).toBe('working');
  });

  test('[S9] evidence without a state keeps a turn from being stalled', () => {
    expect(fold([...working, { source: 'title', at: 60_000 }], 1000 + stalledMs).state).toBe('working');
  });

  test('[S10] work that flickers at the start is not believed', () => {
    const flicker: Claim[] = [...atPrompt, { source: 'osc7501', at: 200, state: 'working' }];
    expect(path(fold([...flicker, { source: 'osc7501', at: 250, state: 'idle' }], 9000))).toBe('idle@100');
    expect(path(fold(flicker, 9000))).toBe(`idle@100 working@${200 + startFlickerMs}`);
    const before = { number: 1, open: false, startedAt: 5, accepted: null, endedAt: 9, end: 'interrupted' } as const;
    const resumed = { ...initialFacts(10), turn: before };
    const facts = fold([...flicker, { source: 'osc7501', at: 250, state: 'idle' }], 9000, resumed);
    expect(facts.turn).toEqual(before);
  });

  test('[S12] after a restart the state is unknown until any source speaks', () => {
    const restarted = unknownAfterRestart(fold(asked), 10_000).facts;
    expect({ state: restarted.state, permission: restarted.permission }).toEqual({
      state: 'unknown',
      permission: null,
    });
    expect(fold([{ source: 'screen', at: 10_050, state: 'working' }], undefined, restarted).state).toBe('working');
  });

  test('[S6] a hook that was written while the control plane was away is news after the restart', () => {
    const restarted = unknownAfterRestart(fold(working), 10_000).facts;
    const facts = fold([{ source: 'hook', at: 7000, state: 'done', turn: 'ended' }], undefined, restarted);
    expect({ state: facts.state, open: facts.turn.open }).toEqual({ state: 'done', open: false });
  });
});

describe('what else is kept', () => {
  test('[S13] a tool call is counted once, in whatever order its news come', () => {
    const tool = (at: number, source: 'hook' | 'stream', phase: 'asked' | 'ended', ok?: boolean): Claim => ({
      source,
      at,
      tool: { id: 'x', name: 'Bash', phase, ...(ok === undefined ? {} : { ok }) },
    });
    const facts = fold([tool(1, 'hook', 'ended', false), tool(2, 'hook', 'asked'), tool(3, 'stream', 'ended', false)]);
    expect(facts.tools).toEqual({
      asked: 1,
      ran: 1,
      failed: 1,
      calls: [{ id: 'x', name: 'Bash', phase: 'ended', ok: false }],
    });
  });

  test('[S14] a turn told by two sources is one turn, and the next prompt another', () => {
    const facts = fold([
      ...atPrompt,
      { source: 'sessionFile', at: 990, state: 'working' },
      { source: 'hook', at: 1000, state: 'working', turn: 'started', accepted: 'one' },
      { source: 'hook', at: 2000, state: 'done', turn: 'ended', message: 'first' },
      { source: 'osc7501', at: 2010, state: 'done', turn: 'ended' },
      { source: 'hook', at: 3000, state: 'working', turn: 'started', accepted: 'two' },
    ]);
    expect({ turn: facts.turn, message: facts.message }).toEqual({
      turn: { number: 2, open: true, startedAt: 3000, accepted: 'two', endedAt: null, end: null },
      message: null,
    });
  });

  test('[S14] a prompt seen a moment before the event that ends the turn does not make it an interrupt', () => {
    const facts = fold([
      ...working,
      { source: 'sessionFile', at: 2000, state: 'idle' },
      { source: 'hook', at: 2040, state: 'done', turn: 'ended' },
    ]);
    expect({ state: facts.state, end: facts.turn.end, number: facts.turn.number }).toEqual({
      state: 'done',
      end: 'ended',
      number: 1,
    });
  });
});

const anyEvidence = fc.record(
  {
    source: fc.constantFrom(...evidenceSources),
    at: fc.integer({ min: 0, max: 400_000 }),
    reason: fc.constant('r'),
    state: fc.constantFrom(...sessionStates),
    provisional: fc.boolean(),
    turn: fc.constantFrom('started', 'ended', 'interrupted'),
    accepted: fc.constantFrom('a', 'b'),
    tool: fc.record({
      id: fc.string({ minLength: 1, maxLength: 3 }),
      name: fc.constant('Bash'),
      phase: fc.constantFrom('asked', 'ended'),
    }),
  },
  { requiredKeys: ['source', 'at', 'reason'] },
);
const anyStory = fc
  .array(anyEvidence, { maxLength: 60 })
  .map((story) => story.toSorted((a, b) => a.at - b.at) as Evidence[]);

describe('whatever comes', () => {
  test('[S1] [S15] folding twice gives the same, changes nothing that was given, and survives JSON', () => {
    fc.assert(
      fc.property(anyStory, (story) => {
        const start = Object.freeze(initialFacts(0));
        const once = fold(story, 500_000, start);
        expect(fold(story, 500_000, start)).toEqual(once);
        expect(sessionFactsSchema.parse(JSON.parse(JSON.stringify(once)))).toEqual(once);
      }),
    );
  });

  test('[S11] every change is in the table, and none follows the end of the process', () => {
    fc.assert(
      fc.property(anyStory, (story) => {
        const { changes } = fold(story, 500_000);
        for (const each of changes) expect(transitions[each.from][each.to]).toBeDefined();
        expect(changes.slice(0, -1).filter((each) => finalStates.includes(each.to))).toEqual([]);
        expect(changes.map((each) => each.at)).toEqual(changes.map((each) => each.at).toSorted((a, b) => a - b));
      }),
    );
  });

  test('[S2] [S3] a lower source never overrules a fresh claim of a higher one between working and a prompt', () => {
    const pair = fc.tuple(fc.constantFrom(...evidenceSources), fc.constantFrom(...evidenceSources));
    fc.assert(
      fc.property(pair, fc.constantFrom('working', 'done'), ([holder, other], claim) => {
        fc.pre(sourceRanks[holder] < sourceRanks[other]);
        const state = claim === 'working' ? 'done' : 'working';
        const start = { ...initialFacts(0), turn: { ...initialFacts(0).turn, number: 1 } };
        const facts = fold(
          [
            { source: holder, at: 1000, state },
            { source: other, at: 1001, state: claim as 'working' },
          ],
          undefined,
          start,
        );
        expect(facts.state).toBe(state);
      }),
    );
  });

  test('[S15] however much comes, the lists keep their limits', () => {
    const story = Array.from(
      { length: 1000 },
      (_, index): Claim => ({
        source: 'hook',
        at: index,
        reason: `r${index}`,
        state: index % 2 === 0 ? 'working' : 'done',
        tool: { id: `t${index}`, name: 'Bash', phase: 'ended' },
      }),
    );
    const facts = fold(story);
    expect([facts.changes.length, facts.recent.length, facts.tools.calls.length, facts.tools.ran]).toEqual([
      changesKept,
      evidenceKept,
      toolCallsKept,
      1000,
    ]);
  });
});
