import { expect, test } from 'vitest';
import { sessionStates } from '../../../src/protocol/state.ts';
import { aSession } from '../../../test/peers/web-world.ts';
import { arrange } from './order.ts';

test('every session stands in exactly one section', () => {
  const sessions = sessionStates.map((state, index) => aSession({ id: `s-${index}`, state }));
  const { waiting, running, ended } = arrange(sessions);
  expect([...waiting, ...running, ...ended].map(({ id }) => id).sort()).toEqual(sessions.map(({ id }) => id).sort());
  expect({ waiting: waiting.map(({ state }) => state).sort(), ended: ended.map(({ state }) => state).sort() }).toEqual({
    waiting: ['permission', 'question', 'setup'],
    ended: ['crashed', 'exited'],
  });
});

test('who has waited longest for a person comes first; what runs keeps its place by age', () => {
  const wall = arrange([
    aSession({ id: 's-a', state: 'permission', since: 300 }),
    aSession({ id: 's-b', state: 'question', since: 100 }),
    aSession({ id: 's-c', state: 'working', startedAt: 20, since: 900 }),
    aSession({ id: 's-d', state: 'done', startedAt: 10, since: 950 }),
    aSession({ id: 's-e', state: 'exited', exit: { code: 0, signal: null, at: 5 } }),
    aSession({ id: 's-f', state: 'crashed', exit: { code: 1, signal: null, at: 6 } }),
  ]);
  expect([wall.waiting, wall.running, wall.ended].map((part) => part.map(({ id }) => id))).toEqual([
    ['s-b', 's-a'],
    ['s-d', 's-c'],
    ['s-f', 's-e'],
  ]);
});
