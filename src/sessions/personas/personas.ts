/**
 * All personas of a home, as the daemon sees them: list, show, check, write, and the trust in those of a project. Files are read at each
 * call, so that an edit is in force for the next session without a restart; what an attempt started with is kept with its session
 * (`kept.ts`), so that an edit in the middle changes nothing for it.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Agent } from '../../agents/agent.ts';
import { Fault, isErrno, messageOf, toFault } from '../../base/fault.ts';
import { writeFileAtomically } from '../../platform/atomic-file.ts';
import type { Home } from '../../platform/home.ts';
import {
  type ListedPersona,
  type PersonaDetail,
  type PersonaList,
  type PersonaOrigin,
  type PersonaSource,
  type ProjectTrust,
  personaOrigins,
  type ResolvedPersona,
} from '../../protocol/persona.ts';
import type { UnkeptRule } from '../../protocol/rules.ts';
import type { AgentId } from '../../protocol/session.ts';
import { builtInPersonas } from './built-in.ts';
import { nameForm } from './fields.ts';
import { distrustProject, listTrusted, type PersonaFile, readProject, trustProject } from './project.ts';
import {
  descent,
  descentOf,
  type Found,
  namesOn,
  resolve,
  resolveFrom,
  type Shelves,
  sourceOf,
  standing,
} from './resolve.ts';

export interface Personas {
  /** `project`: root of the repository, undefined for none. Faults: PERSONA_UNKNOWN, PERSONA_INVALID, PERSONA_UNTRUSTED. */
  readonly resolve: (project: string | undefined, name: string) => Promise<ResolvedPersona>;
  /** Never fails because of one file: what is wrong with it is said in its line. */
  readonly list: (project: string | undefined) => Promise<PersonaList>;
  readonly show: (project: string | undefined, name: string) => Promise<PersonaDetail>;
  /** Of a text that is not written yet, as if it stood in the home under this name. */
  readonly check: (project: string | undefined, proposed: ProposedPersona) => Promise<PersonaDetail>;
  /** Checked first, then written whole. WRONG_STATE if the file is not what the writer began from (`base`; null: absent). */
  readonly write: (proposed: ProposedPersona & { readonly base: string | null }) => Promise<PersonaDetail>;
  readonly trust: (project: string, hash: string) => Promise<ProjectTrust>;
  readonly distrust: (project: string) => Promise<ProjectTrust>;
  readonly trusted: () => Promise<readonly ProjectTrust[]>;
  /** As it is now, with what it would bring. */
  readonly project: (
    project: string,
  ) => Promise<{ readonly trust: ProjectTrust; readonly personas: readonly ListedPersona[] }>;
}

export interface ProposedPersona {
  readonly name: string;
  readonly text: string;
}

export interface PersonasOptions {
  readonly home: Pick<Home, 'personas' | 'trust'>;
  readonly agents: ReadonlyMap<AgentId, Agent>;
  readonly clock: () => number;
}

export function openPersonas({ home, agents, clock }: PersonasOptions): Personas {
  const shelves = async (project: string | undefined): Promise<Shelves> => ({
    home: await readHome(home.personas),
    homeDir: home.personas,
    builtIn: builtInPersonas,
    project: project === undefined ? undefined : await readProject(home.trust, project),
  });
  const withProposed = async (project: string | undefined, proposed: ProposedPersona): Promise<Shelves> => {
    checkName(proposed.name);
    const found = await shelves(project);
    const file = { path: join(home.personas, `${proposed.name}.md`), source: proposed.text };
    return { ...found, home: new Map([...found.home, [proposed.name, file]]) };
  };
  const checked = async (project: string | undefined, proposed: ProposedPersona): Promise<PersonaDetail> => {
    const found = await withProposed(project, proposed);
    const own = standing(found, 'home', proposed.name);
    if (own === undefined) throw new Error('assertion failed: the proposed is not on its shelf');
    checkHeirs(found, proposed.name);
    return detailOf(resolveFrom(found, own), own, agents);
  };

  return {
    resolve: async (project, name) => resolve(await shelves(project), name),
    list: async (project) => {
      const found = await shelves(project);
      return { personas: listOf(found), folder: home.personas, project: found.project?.trust ?? null };
    },
    show: async (project, name) => {
      const found = await shelves(project);
      const [own] = descent(found, name);
      if (own === undefined) throw new Error('assertion failed: a persona without itself');
      return detailOf(resolveFrom(found, own), own, agents);
    },
    check: checked,
    write: async ({ base, ...proposed }) => {
      const detail = await checked(undefined, proposed);
      await mkdir(home.personas, { recursive: true, mode: 0o700 });
      const path = join(home.personas, `${proposed.name}.md`);
      if (((await readText(path)) ?? null) !== base)
        throw new Fault('WRONG_STATE', `persona: ${path} has changed since it was read`, {
          subject: 'persona',
          hint: `Look at it and begin again: muster persona edit ${proposed.name}`,
        });
      await writeFileAtomically(path, proposed.text);
      return detail;
    },
    trust: (project, hash) => trustProject(home.trust, project, { hash, at: clock() }),
    distrust: (project) => distrustProject(home.trust, project),
    trusted: () => listTrusted(home.trust),
    project: async (project) => {
      const found = await shelves(project);
      if (found.project === undefined) throw new Error('assertion failed: a project without a shelf');
      // As if it were trusted: what a person has to see before saying so.
      const asTrusted: Shelves = {
        ...found,
        project: { ...found.project, trust: { ...found.project.trust, state: 'trusted' } },
      };
      return { trust: found.project.trust, personas: listOf(asTrusted).filter(({ origin }) => origin === 'project') };
    },
  };
}

function checkName(name: string): void {
  if (nameForm.test(name)) return;
  throw new Fault('PERSONA_INVALID', `persona: name: "${name}"; a-z, 0-9 and - are allowed, at most 40`, {
    subject: 'persona',
  });
}

/** A change that would break another persona of the home is refused like one that breaks itself. */
function checkHeirs(shelves: Shelves, name: string): void {
  for (const other of shelves.home.keys()) {
    if (other === name) continue;
    let heir: Found | undefined;
    try {
      heir = standing(shelves, 'home', other);
    } catch {
      // It is broken by itself; `list` and `check` say so.
      continue;
    }
    if (heir?.fields.extends === name) descentOf(shelves, heir);
  }
}

async function readHome(dir: string): Promise<Map<string, PersonaFile>> {
  const files = await readdir(dir).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw unreadable(dir, error);
  });
  const names = files
    .filter((file) => file.endsWith('.md'))
    .map((file) => file.slice(0, -3))
    .filter((name) => nameForm.test(name))
    .toSorted();
  const read = await Promise.all(
    names.map(async (name): Promise<[string, PersonaFile] | undefined> => {
      const path = join(dir, `${name}.md`);
      const source = await readText(path);
      return source === undefined ? undefined : [name, { path, source }];
    }),
  );
  return new Map(read.filter((entry) => entry !== undefined));
}

/** Undefined if it is gone. */
async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw unreadable(path, error);
  });
}

const unreadable = (path: string, cause: unknown): Fault =>
  new Fault('PERSONA_INVALID', `persona: can't read ${path}: ${messageOf(cause)}`, { subject: 'persona', cause });

function listOf(shelves: Shelves): ListedPersona[] {
  return personaOrigins
    .toReversed()
    .flatMap((origin) => namesListed(shelves, origin).map((name) => lineOf(shelves, origin, name)))
    .toSorted((a, b) => a.name.localeCompare(b.name));
}

/** Those of a project that is not trusted are listed too, with what keeps them out. */
const namesListed = (shelves: Shelves, origin: PersonaOrigin): readonly string[] =>
  origin === 'project' ? [...(shelves.project?.files.keys() ?? [])] : namesOn(shelves, origin);

function lineOf(shelves: Shelves, origin: PersonaOrigin, name: string): ListedPersona {
  const path =
    origin === 'home'
      ? (shelves.home.get(name)?.path ?? null)
      : origin === 'project'
        ? (shelves.project?.files.get(name)?.path ?? null)
        : null;
  const line = { name, origin, path };
  try {
    const own = standing(shelves, origin, name);
    if (own === undefined) throw new Error('assertion failed: a listed persona is not on its shelf');
    const inForce = inForceOf(shelves, name);
    return {
      ...line,
      hiddenBy: inForce === undefined || inForce.origin === origin ? null : placeOf(inForce),
      persona: resolveFrom(shelves, own),
      problem: null,
    };
  } catch (error) {
    const { code, message } = toFault(error);
    return { ...line, hiddenBy: null, persona: null, problem: { code, message } };
  }
}

function inForceOf(shelves: Shelves, name: string): PersonaSource | undefined {
  const [first] = descent(shelves, name);
  return first && sourceOf(first);
}

const placeOf = ({ origin, path }: PersonaSource): string => path ?? origin;

function detailOf(persona: ResolvedPersona, own: Found, agents: ReadonlyMap<AgentId, Agent>): PersonaDetail {
  const wanted =
    persona.agent === null ? [...agents.values()] : [...agents.values()].filter(({ id }) => id === persona.agent);
  return {
    persona,
    source: own.path === null ? null : own.source,
    agents: wanted.map((agent) => ({ agent: agent.id, unkept: [...unkeptRules(agent, persona)] })),
  };
}

/** The rules of a persona that this agent can't keep. */
export const unkeptRules = (
  agent: Agent,
  { rules, permissions }: Pick<ResolvedPersona, 'rules' | 'permissions'>,
): readonly UnkeptRule[] => agent.unkeptRules(rules, permissions ?? 'ask');
