import { expect, test } from 'vitest';
import type { Turn } from './dialect.ts';
import { planFor } from './plan.ts';
import { scripts } from './scripts.ts';
import { scriptSchema } from './step.ts';

const user = (text: string): Turn => ({ role: 'user', text, calls: 0 });
const calling: Turn = { role: 'assistant', text: 'working', calls: 1 };
const saying: Turn = { role: 'assistant', text: 'finished', calls: 0 };
const result: Turn = { role: 'tool', text: '', calls: 0 };
const fallback = { text: 'nothing chosen' };

const conversations = [
  { when: 'fix the split', steps: [{ text: 'short' }] },
  { when: 'Fix the  split of money', steps: [{ shell: 'npm test' }, { text: 'long' }] },
];
const planned = (...turns: Turn[]) => {
  const { script, index, step } = planFor(turns, conversations, fallback);
  return { script, index, step };
};

test('every named script is a valid script', () => {
  expect(Object.entries(scripts).filter(([, steps]) => !scriptSchema.safeParse(steps).success)).toEqual([]);
});

test('the step is the number of tool rounds since the prompt, and a script that is used up says so', () => {
  const prompt = user('please SCRIPT:both now');
  expect(planned(prompt)).toEqual({ script: 'both', index: 0, step: scripts.both?.[0] });
  expect(planned(prompt, calling, result)).toEqual({ script: 'both', index: 1, step: scripts.both?.[1] });
  expect(planned(prompt, calling, result, calling, result, calling, result)).toEqual({
    script: 'both',
    index: 3,
    step: { text: 'Script finished.' },
  });
});

test('an exclamation mark asks for approval', () => {
  expect(planned(user('SCRIPT:env!')).step).toEqual({ ...scripts.env?.[0], escalate: true });
});

test('a name that is no script, not even one of every object, chooses nothing', () => {
  expect(planned(user('SCRIPT:nonsense')).script).toBe('default');
  expect(planned(user('SCRIPT:constructor')).script).toBe('default');
});

test('an inline script ends at its own bracket, whatever follows', () => {
  const { script, step } = planned(user('SCRIPT:[{"shell":["echo [1]","ls"]},{"text":"done"}] and [more]'));
  expect(script).toMatch(/^inline:[0-9a-f]{8}$/);
  expect(step).toEqual({ shell: ['echo [1]', 'ls'] });
});

test('an inline script with a misspelt step is a bad request that names the step', () => {
  const { script, step } = planned(user('SCRIPT:[{"shel":"ls"}]'));
  expect(script).toBe('invalid');
  expect(step.error?.status).toBe(400);
  expect(step.error?.message).toContain('shel');
});

test('plain words choose a conversation: the longest that the prompt contains, in any case and spacing', () => {
  expect(planned(user('You are a coder.\n\nFIX THE\nSPLIT of money in src.\n\nEnd with [MUSTER:DONE]'))).toEqual({
    script: 'when:Fix the  split of money',
    index: 0,
    step: { shell: 'npm test' },
  });
  expect(planned(user('fix the split')).step).toEqual({ text: 'short' });
});

test('a reminder in the middle of a turn does not end the script', () => {
  const turns = [user('SCRIPT:both'), calling, result, user('<reminder>')];
  expect(planned(...turns)).toEqual({ script: 'both', index: 1, step: scripts.both?.[1] });
});

test('a message after the closing answer that chooses nothing gets the default, not the script again', () => {
  expect(planned(user('SCRIPT:hello'), saying, user('go over the conversation'))).toEqual({
    script: 'default',
    index: 0,
    step: fallback,
  });
});

test('failures are counted per prompt text', () => {
  const counter = (text: string) => planFor([user(text)], [], fallback).counter;
  expect(counter('SCRIPT:e529once a')).toBe(counter('SCRIPT:e529once a'));
  expect(counter('SCRIPT:e529once a')).not.toBe(counter('SCRIPT:e529once b'));
});
