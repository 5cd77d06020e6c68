/**
 * The persona that a session works with, kept in its folder from the moment it was first asked for: whoever edits or removes a persona
 * while a job runs changes nothing for that job, whatever dies in between.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Agent } from '../../agents/agent.ts';
import { Fault } from '../../base/fault.ts';
import type { SessionId } from '../../base/ids.ts';
import { readJson, writeFileAtomically } from '../../platform/atomic-file.ts';
import type { Home } from '../../platform/home.ts';
import { type ResolvedPersona, resolvedPersonaSchema } from '../../protocol/persona.ts';
import type { PermissionMode } from '../../protocol/rules.ts';
import type { Personas } from './personas.ts';

export interface KeptPersona {
  readonly sessionId: SessionId;
  /** Root of the repository. */
  readonly project: string;
  readonly name: string;
}

/** Faults as `Personas.resolve`, the first time only. */
export async function personaOfSession(
  { home, personas }: { home: Pick<Home, 'sessions'>; personas: Pick<Personas, 'resolve'> },
  { sessionId, project, name }: KeptPersona,
): Promise<ResolvedPersona> {
  const dir = join(home.sessions, sessionId);
  const file = join(dir, 'persona.json');
  const kept = resolvedPersonaSchema.safeParse(await readJson(file)).data;
  if (kept) return kept;
  const persona = await personas.resolve(project, name);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await writeFileAtomically(file, JSON.stringify(persona));
  return persona;
}

/** Refuses a start with which the agent could do more than the persona allows, unless the persona says that this is known. */
export function checkKeepsRules(agent: Agent, persona: ResolvedPersona, permissions: PermissionMode): void {
  const unkept = agent.unkeptRules(persona.rules, permissions).filter(({ weaker }) => weaker);
  if (unkept.length === 0 || persona.unkeptRules === 'tell') return;
  throw new Fault(
    'PERSONA_INVALID',
    `persona: ${agent.title} can't keep ${unkept.length === 1 ? 'a rule' : `${unkept.length} rules`} of "${persona.name}": ${unkept.map(({ rule, reason }) => `${rule} (${reason})`).join('; ')}`,
    {
      subject: 'persona',
      hint: 'Choose another agent, take the rule out, or write `unkept_rules: tell` into the persona to start all the same.',
    },
  );
}
