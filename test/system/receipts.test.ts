/** Prompts in every situation, with the life of the control plane ended in between; a thousand of them: bench/receipts.ts. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { accountOf, type Fleet, openFleet, sendMany } from '../peers/receipts.ts';

let fleet: Fleet;
afterEach(() => fleet.close());
const s0 = 's-receipts0';
const tail = async (): Promise<string> => ((await fleet.act(s0, { act: 'tail' })) as string[]).join('\n');
const tailHas = async (text: string): Promise<void> => {
  for (const until = Date.now() + 10_000; !(await tail()).includes(text); await delay(5))
    if (Date.now() > until) throw new Error(`waited in vain for ${text}: ${await tail()}`);
};

const seed = Number(process.env.MUSTER_TEST_SEED ?? Date.now() % 100_000);

describe('many prompts', () => {
  test(`[I3] [I6] [I7] [I11] 80 in a mix of hazards and situations, two lives killed: each receipt is there and true (seed ${seed})`, async () => {
    fleet = await openFleet(6);
    const account = await sendMany(fleet, { count: 80, kills: 2, seed });
    expect(account).toMatchObject({ silent: [], twice: [], leaked: [], changed: [], strays: [] });
    expect(account.prompts).toBeGreaterThanOrEqual(80);
    expect(account.accepted).toBeGreaterThan(30);
    expect(account.unknown).toBeLessThan(8);
  }, 120_000);
});

describe('a draft in the box', () => {
  test('[I7] is neither typed over nor lost; it goes only if that is asked for, also where it has many lines', async () => {
    fleet = await openFleet(1);
    await fleet.stateIs(s0, 'idle');
    await fleet.act(s0, { act: 'keys', data: '\u001b[200~my own\n\nthought\u001b[201~' });
    await tailHas('thought');
    const held = await fleet.deliver(s0, 'Over it?');
    expect(held).toMatchObject({
      kind: 'refused',
      reason: 'somebody\'s draft stands in the input box: "my own thought"',
    });
    expect(await tail()).toContain('my own');
    expect(await fleet.deliver(s0, 'Over it!', { overDraft: true })).toMatchObject({ kind: 'accepted' });
    expect(fleet.received().map(({ prompt }) => prompt)).toEqual(['Over it!']);
  }, 60_000);

  test('[I7] that an interrupted or unentered prompt of ours left is ours', async () => {
    fleet = await openFleet(1, { SCRIPTED_AGENT_DEAF: '1' });
    const text = 'This one is never taken by an agent that is deaf';
    expect(await fleet.deliver(s0, text)).toMatchObject({ kind: 'unknown' });
    await fleet.act(s0, { act: 'keys', data: `\u001b[200~${text}\u001b[201~` });
    await tailHas('never taken');
    expect(await fleet.deliver(s0, 'The next')).toMatchObject({ kind: 'unknown' });
    expect(await tail()).not.toContain('never taken');
  }, 60_000);
});

describe('a person who types', () => {
  test('[I8] is waited for, and a prompt is refused if they go on', async () => {
    fleet = await openFleet(1);
    await fleet.stateIs(s0, 'idle');
    let typing = true;
    const person = (async () => {
      for (; typing; await delay(500)) await fleet.act(s0, { act: 'keys', data: 'a' });
    })();
    await tailHas('❯ a');
    const receipt = await fleet.deliver(s0, 'In between');
    typing = false;
    await person;
    expect(receipt).toMatchObject({ kind: 'refused', reason: expect.stringContaining('has been typing') as string });
    expect(fleet.received()).toEqual([]);
  }, 60_000);

  test('[I8] [I4] between paste and Enter stops Enter', async () => {
    fleet = await openFleet(1);
    const receipt = fleet.deliver(s0, 'Half of it is mine');
    await tailHas('Half of it');
    await fleet.act(s0, { act: 'keys', data: '!' });
    expect(await receipt).toMatchObject({
      kind: 'unknown',
      tried: 'pasted, but not entered: a person typed after the paste',
    });
    expect(fleet.received()).toEqual([]);
  }, 60_000);
});

describe('what is seen in the box', () => {
  test('[I3] an input that is asked for again after another is not entered in its name, nor takes its turn for its own', async () => {
    fleet = await openFleet(1, { SCRIPTED_AGENT_BLIND: '1' });
    const again = () =>
      fleet.act(s0, { act: 'deliver', input: { inputId: 'i-0', text: 'The first', readyMs: 20_000 } });
    expect(await fleet.deliver(s0, 'The first')).toMatchObject({ kind: 'unknown' });
    expect(await again()).toMatchObject({ tried: expect.stringContaining('does not show it') as string });
    expect(await fleet.deliver(s0, 'The second')).toMatchObject({ kind: 'unknown' });
    await fleet.act(s0, { act: 'keys', data: 'typed by hand' });
    await tailHas('typed by hand');
    expect(await again()).toMatchObject({ tried: expect.stringContaining('another input after it') as string });
    expect(fleet.received()).toEqual([]);
  }, 60_000);

  test('[I9] where a paste does not appear, Enter is not pressed', async () => {
    fleet = await openFleet(1, { SCRIPTED_AGENT_BLIND: '1' });
    expect(await fleet.deliver(s0, 'Into nothing')).toMatchObject({
      kind: 'unknown',
      tried: 'pasted, but not entered: the input box does not show it',
    });
  }, 60_000);
});

describe('texts', () => {
  test('[I10] a command of the agent or its shell is refused, and goes only raw; white space never does', async () => {
    fleet = await openFleet(1);
    expect(await fleet.deliver(s0, '!touch x')).toMatchObject({
      kind: 'refused',
      reason:
        'this agent runs what follows a leading ! as a shell command, without asking; begin it with a word, or ask for it to be sent raw',
    });
    expect(await fleet.deliver(s0, ' /clear')).toMatchObject({ kind: 'refused' });
    expect(await fleet.deliver(s0, ' \n', { raw: true })).toMatchObject({ kind: 'refused' });
    expect(fleet.strays()).toEqual([]);
    expect(await fleet.deliver(s0, '!touch x', { raw: true })).toMatchObject({ kind: 'unknown' });
    expect(fleet.strays()).toMatchObject([{ where: 'command', text: '!touch x' }]);
  }, 60_000);

  test('[I12] a prompt waits for the end of a turn if asked to, and says how long; at a question it does not wait', async () => {
    fleet = await openFleet(1);
    await fleet.deliver(s0, 'Take a while\n@wait 1500');
    expect(await fleet.deliver(s0, 'Now?', { readyMs: 0 })).toMatchObject({ kind: 'refused' });
    const queued = await fleet.deliver(s0, 'Then\n@question Which?', { readyMs: 20_000 });
    expect(queued).toMatchObject({ kind: 'accepted' });
    expect(queued.queuedMs).toBeGreaterThan(300);
    await fleet.stateIs(s0, 'question');
    const at = Date.now();
    expect(await fleet.deliver(s0, 'An answer?', { readyMs: 20_000 })).toMatchObject({ kind: 'refused' });
    expect(Date.now() - at).toBeLessThan(5000);
    expect(accountOf(fleet)).toMatchObject({ strays: [], twice: [], leaked: [] });
  }, 60_000);
});
