import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { agents } from '../../agents/index.ts';
import { newSessionId } from '../../base/ids.ts';
import { type Home, homeAt } from '../../platform/home.ts';
import { checkKeepsRules, personaOfSession } from './kept.ts';
import { openPersonas } from './personas.ts';

let home: Home;
beforeEach(async () => {
  home = homeAt(await mkdtemp(join(tmpdir(), 'muster-kept-')));
  await mkdir(home.personas);
});
afterEach(() => rm(home.dir, { recursive: true, force: true }));
const open = () => openPersonas({ home, agents, clock: () => 1 });
const write = (text: string): Promise<void> => writeFile(join(home.personas, 'mine.md'), text);

test('[P3] a session keeps the persona that it began with, edited or removed meanwhile', async () => {
  await write('First.');
  const asked = { sessionId: newSessionId(), project: home.dir, name: 'mine' };
  const first = await personaOfSession({ home, personas: open() }, asked);
  await write('Second.');
  expect(await personaOfSession({ home, personas: open() }, asked)).toEqual(first);
  await rm(join(home.personas, 'mine.md'));
  expect(await personaOfSession({ home, personas: open() }, asked)).toEqual(first);
  const other = { ...asked, sessionId: newSessionId() };
  await expect(personaOfSession({ home, personas: open() }, other)).rejects.toMatchObject({ code: 'PERSONA_UNKNOWN' });
});

test('[P2] an agent that could do more than the rules say is not started, unless the persona knows it', async () => {
  const [claude, codex] = [agents.get('claude'), agents.get('codex')];
  if (!claude || !codex) throw new Error('no adapters');
  const deny = 'rules:\n  deny: [{ tool: shell, command: git push * }]';
  await write(`---\n${deny}\n---\nText.`);
  const strict = await open().resolve(undefined, 'mine');
  checkKeepsRules(claude, strict, 'ask');
  expect(() => checkKeepsRules(codex, strict, 'ask')).toThrow(
    `persona: Codex can't keep a rule of "mine": deny shell "git push *" (Codex has no rules for a single session`,
  );
  await write(`---\nunkept_rules: tell\n${deny}\n---\nText.`);
  checkKeepsRules(codex, await open().resolve(undefined, 'mine'), 'ask');
  // One that only would have asked less is no reason.
  await write('---\nrules:\n  allow: [{ tool: shell, command: make }]\n---\nText.');
  checkKeepsRules(codex, await open().resolve(undefined, 'mine'), 'ask');
});
