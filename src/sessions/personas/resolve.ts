/**
 * From a name to the persona that is meant, with everything that it extends.
 *
 * There are three shelves: the project's (if trusted), the home's, the built-in ones. The home's persona wins over the project's of the
 * same name, unless the project's extends that name: then it was made to stand on top of it. A persona extends only what stands on its
 * own shelf or below, so that a project can't slip anything under a persona of the home. What extends its own name means the one below.
 *
 * Over what it extends, a persona's own single values win, lists replace, limits replace one by one, rules are added (one for the same
 * tool and detail replaces), and the texts follow each other, the most general first.
 */
import { createHash } from 'node:crypto';
import { Fault } from '../../base/fault.ts';
import type { PersonaOrigin, PersonaSource, ResolvedPersona } from '../../protocol/persona.ts';
import { type PermissionRule, toolKinds } from '../../protocol/rules.ts';
import { invalid, nameForm, type PersonaFields, parsePersonaFile } from './fields.ts';
import { type PersonaFile, type ProjectPersonas, untrusted } from './project.ts';

export interface Shelves {
  readonly home: ReadonlyMap<string, PersonaFile>;
  readonly builtIn: ReadonlyMap<string, string>;
  readonly project: ProjectPersonas | undefined;
  /** For messages: where a persona of the home would stand. */
  readonly homeDir: string;
}

export interface Found {
  readonly name: string;
  readonly origin: PersonaOrigin;
  readonly path: string | null;
  readonly source: string;
  readonly fields: PersonaFields;
}

/** From the top down. */
const order: readonly PersonaOrigin[] = ['project', 'home', 'built-in'];
const atOrBelow = (origin: PersonaOrigin): readonly PersonaOrigin[] => order.slice(order.indexOf(origin));
const below = (origin: PersonaOrigin): readonly PersonaOrigin[] => order.slice(order.indexOf(origin) + 1);

/** A longer line of descent can't be held in mind. */
const depthMax = 8;

/** Faults: PERSONA_UNKNOWN (naming those that there are), PERSONA_INVALID, PERSONA_UNTRUSTED. */
export function resolve(shelves: Shelves, name: string): ResolvedPersona {
  return merge(descent(shelves, name));
}

/** The same for what stands at one place, also where another persona of its name is in force. */
export const resolveFrom = (shelves: Shelves, first: Found): ResolvedPersona => merge(descentOf(shelves, first));

/** The persona and what it extends, itself first. */
export function descent(shelves: Shelves, name: string): readonly Found[] {
  const first = find(shelves, name, order);
  if (first === undefined) throw unknown(shelves, name);
  return descentOf(shelves, first);
}

export function descentOf(shelves: Shelves, first: Found): readonly Found[] {
  const chain = [first];
  for (let last = first; last.fields.extends !== undefined; ) {
    const wanted = last.fields.extends;
    const found = find(shelves, wanted, wanted === last.name ? below(last.origin) : atOrBelow(last.origin));
    const where = last.path ?? last.name;
    if (found === undefined)
      throw invalid(where, [`extends: "${wanted}" is not there; ${allowedNames(shelves, last)}`]);
    if (chain.some((one) => one.name === found.name && one.origin === found.origin))
      throw invalid(first.path ?? first.name, [
        `extends: goes in a circle: ${[...chain, found].map((one) => one.name).join(' → ')}`,
      ]);
    if (chain.length === depthMax)
      throw invalid(first.path ?? first.name, [`extends: the line is longer than ${depthMax} personas`]);
    chain.push(found);
    last = found;
  }
  return chain;
}

function allowedNames(shelves: Shelves, last: Found): string {
  const reach = atOrBelow(last.origin).flatMap((origin) => namesOn(shelves, origin));
  const names = [...new Set(reach)].filter((name) => name !== last.name).toSorted();
  return names.length === 0 ? 'there is no other persona that it could extend' : `allowed are ${names.join(', ')}`;
}

export function namesOn({ home, builtIn, project }: Shelves, origin: PersonaOrigin): readonly string[] {
  if (origin === 'built-in') return [...builtIn.keys()];
  if (origin === 'home') return [...home.keys()];
  return project?.trust.state === 'trusted' ? [...project.files.keys()] : [];
}

/** What stands on one shelf under this name. */
export function standing(shelves: Shelves, origin: PersonaOrigin, name: string): Found | undefined {
  const file =
    origin === 'built-in'
      ? builtInFile(shelves.builtIn.get(name))
      : origin === 'home'
        ? shelves.home.get(name)
        : shelves.project?.files.get(name);
  if (file === undefined) return undefined;
  const fields = parsePersonaFile(file.path ?? `${name} (built in)`, file.source);
  return { name, origin, path: file.path, source: file.source, fields };
}

const builtInFile = (source: string | undefined): { path: null; source: string } | undefined =>
  source === undefined ? undefined : { path: null, source };

export function find(shelves: Shelves, name: string, origins: readonly PersonaOrigin[]): Found | undefined {
  const [ofProject, ofHome, builtIn] = order.map((origin) =>
    origins.includes(origin) && (origin !== 'project' || mayUse(shelves, name))
      ? standing(shelves, origin, name)
      : undefined,
  );
  if (ofProject && (!ofHome || ofProject.fields.extends === name)) return ofProject;
  return ofHome ?? builtIn;
}

/** False also for what has to be there in another way. One that was trusted and changed is an error: another would silently be taken. */
function mayUse(shelves: Shelves, name: string): boolean {
  const { project } = shelves;
  if (!project?.files.has(name) && !project?.trustedNames.includes(name)) return false;
  if (project.trust.state === 'changed') throw untrusted(name, project.trust);
  return project.trust.state === 'trusted';
}

function unknown(shelves: Shelves, name: string): Fault {
  const { project, homeDir } = shelves;
  if (!nameForm.test(name))
    return new Fault(
      'PERSONA_UNKNOWN',
      `persona: "${name}" is no name of a persona; a-z, 0-9 and - are allowed, at most 40`,
      {
        subject: 'persona',
      },
    );
  if (project?.files.has(name)) return untrusted(name, project.trust);
  const known = [...new Set(order.flatMap((origin) => namesOn(shelves, origin)))].toSorted().join(', ');
  return new Fault('PERSONA_UNKNOWN', `persona: there is no "${name}"; there is ${known}`, {
    subject: 'persona',
    hint: `Write ${homeDir}/${name}.md to make one, or: muster persona edit ${name}`,
  });
}

const ruleKey = ({ tool, command, path, domain }: PermissionRule): string =>
  JSON.stringify([tool, command, path, domain]);

function merge(chain: readonly Found[]): ResolvedPersona {
  const [self] = chain;
  if (self === undefined) throw new Error('assertion failed: a persona without itself');
  const oldestFirst = chain.toReversed();
  const last = <K extends keyof PersonaFields>(key: K): PersonaFields[K] | undefined =>
    chain.find(({ fields }) => fields[key] !== undefined)?.fields[key];
  // A file's own rules for one thing stand side by side; they replace those of what it extends.
  const rules = oldestFirst.reduce<readonly PermissionRule[]>((before, { fields }) => {
    const own = new Set(fields.rules.map(ruleKey));
    return [...before.filter((rule) => !own.has(ruleKey(rule))), ...fields.rules];
  }, []);
  const tools = last('tools') ?? null;
  const skills = last('skills') ?? [];
  const scopePatterns = last('scopePatterns') ?? [];
  const limits = Object.assign(
    {},
    ...oldestFirst.map(({ fields }) => definedOf(fields.limits)),
  ) as ResolvedPersona['limits'];
  const content: Omit<ResolvedPersona, 'version' | 'sources'> = {
    name: self.name,
    description: last('description') ?? null,
    agent: last('agent') ?? null,
    model: last('model') ?? null,
    permissions: last('permissions') ?? null,
    rules: [...rules, ...rulesOfTools(tools)],
    unkeptRules: last('unkeptRules') ?? 'refuse',
    scopePatterns: [...scopePatterns],
    tools: tools === null ? null : [...tools],
    skills: [...skills],
    limits,
    text: [...oldestFirst.map(({ fields }) => fields.text), scopeText(scopePatterns), skillText(skills)]
      .filter((part) => part !== '')
      .join('\n\n'),
  };
  return { ...content, version: versionOf(content), sources: chain.map(sourceOf) };
}

const definedOf = (values: object): object =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

export const sourceOf = ({ name, origin, path }: Found): PersonaSource => ({ name, origin, path });

const versionOf = (content: Omit<ResolvedPersona, 'version' | 'sources'>): string =>
  createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16);

/** A list of tools is a fence: what is not on it is denied. Tools of MCP servers are only fenced by rules of their own. */
function rulesOfTools(tools: readonly string[] | null): PermissionRule[] {
  if (tools === null) return [];
  return toolKinds.filter((kind) => !tools.includes(kind)).map((tool) => ({ decision: 'deny', tool }));
}

const scopeText = (patterns: readonly string[]): string =>
  patterns.length === 0
    ? ''
    : `Change only files that match one of these patterns; if the task can not be done within them, say so and stop:\n\n${patterns.map((one) => `- ${one}`).join('\n')}`;

const skillText = (skills: readonly string[]): string =>
  skills.length === 0 ? '' : `Use these skills where they fit: ${skills.join(', ')}.`;
