/** `persona list | show | check`. `edit` has a file of its own. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Fault, messageOf } from '../base/fault.ts';
import { manyLines, oneLine } from '../base/text.ts';
import type { ListedPersona, PersonaDetail, PersonaList, ProjectTrust } from '../protocol/persona.ts';
import { type Client, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { projectOf } from './project-path.ts';
import { tableLines } from './render/table.ts';

interface ProjectOption {
  readonly project?: string;
}

const textMax = 200;
const personaTextMax = 100_000;
const shortVersion = 8;

export async function listPersonas(cli: Cli, options: ProjectOption): Promise<ExitCode> {
  const list = await fetchList(await connect(cli.home), options);
  if (cli.json) {
    cli.printJson(list);
    return 0;
  }
  cli.print(...personaTable(cli, list.personas));
  if (list.project) cli.note(...trustNote(list.project));
  return 0;
}

async function fetchList(client: Client, options: ProjectOption): Promise<PersonaList> {
  const project = await projectOf(options.project);
  return client.call('listPersonas', { query: { project } });
}

export function personaTable({ width, paint }: Cli, personas: readonly ListedPersona[]): readonly string[] {
  return tableLines({
    width,
    paint,
    columns: [
      { title: 'PERSONA' },
      { title: 'FROM' },
      { title: 'VERSION' },
      { title: 'AGENT' },
      { title: 'PERMISSIONS' },
      { title: 'RULES' },
      { title: 'ABOUT', flexible: true },
    ],
    rows: personas.map(({ name, origin, persona, problem, hiddenBy }) => [
      name,
      origin,
      persona?.version.slice(0, shortVersion) ?? '',
      persona?.agent ?? '',
      persona?.permissions ?? '',
      persona === null || persona.rules.length === 0 ? '' : String(persona.rules.length),
      problem
        ? { text: oneLine(problem.message, textMax), colour: 'red' as const }
        : hiddenBy === null
          ? oneLine(persona?.description ?? '', textMax)
          : { text: `not in force: ${oneLine(hiddenBy, textMax)} is`, colour: 'dim' as const },
    ]),
  });
}

export function trustNote({ state, folder, path }: ProjectTrust): readonly string[] {
  const at = oneLine(folder, textMax);
  if (state === 'untrusted') return [`${at} is not used: you have not trusted it; see: muster project trust ${path}`];
  if (state === 'changed') return [`${at} has changed since you trusted it; look again: muster project trust ${path}`];
  return [];
}

export async function showPersona(cli: Cli, name: string, options: ProjectOption): Promise<ExitCode> {
  const project = await projectOf(options.project);
  const client = await connect(cli.home);
  const detail = await client.call('showPersona', { params: { id: name }, query: { project } });
  if (cli.json) cli.printJson(detail);
  else cli.print(...detailLines(cli, detail));
  return 0;
}

export function detailLines({ paint }: Cli, { persona, agents }: PersonaDetail): readonly string[] {
  const { limits } = persona;
  const rows: readonly (readonly [string, string])[] = [
    ['persona', persona.name],
    ['version', persona.version],
    ['about', persona.description ?? ''],
    ['from', persona.sources.map(({ path, name, origin }) => path ?? `${name} (${origin})`).join(' ← ')],
    ['agent', persona.agent ?? ''],
    ['model', persona.model ?? ''],
    ['permissions', persona.permissions ?? 'as configured for the agent'],
    ...persona.rules.map((rule): [string, string] => ['rule', ruleLine(rule)]),
    ['scope', persona.scopePatterns.join(' ')],
    ['skills', persona.skills.join(', ')],
    [
      'limits',
      [limits.toolCalls && `${limits.toolCalls} tool calls`, limits.ageMinutes && `${limits.ageMinutes} minutes`]
        .filter(Boolean)
        .join(', '),
    ],
  ];
  const unkept = agents.flatMap(({ agent, unkept: of }) =>
    of.map(({ rule, reason, weaker }) =>
      paint(weaker ? 'yellow' : 'dim', `${agent} can't keep: ${oneLine(rule, textMax)} (${oneLine(reason, textMax)})`),
    ),
  );
  return [
    ...rows.filter(([, value]) => value !== '').map(([name, value]) => `${name.padEnd(12)} ${oneLine(value, 1000)}`),
    ...unkept,
    '',
    manyLines(persona.text, personaTextMax),
  ];
}

const ruleLine = ({ decision, tool, command, path, domain }: PersonaDetail['persona']['rules'][number]): string =>
  [decision, tool, command ?? path ?? domain ?? ''].join(' ').trim();

/** 1 if something is not valid. */
export async function checkPersonas(cli: Cli, what: string, options: ProjectOption): Promise<ExitCode> {
  const client = await connect(cli.home);
  if (what !== '') {
    const detail = await (what.endsWith('.md') ? checkFile(client, what, options) : checkName(client, what, options));
    if (cli.json) cli.printJson(detail);
    else cli.print(...verdictLines(cli, detail));
    return 0;
  }
  const list = await fetchList(client, options);
  // What is not trusted is not invalid; it is not looked into.
  const broken = list.personas.filter(({ problem }) => problem !== null && problem.code !== 'PERSONA_UNTRUSTED');
  if (cli.json) cli.printJson(list);
  else {
    cli.print(
      ...broken.map(({ problem }) => `${cli.paint('red', 'invalid')}  ${oneLine(problem?.message ?? '', 2000)}`),
    );
    cli.note(`${list.personas.length} personas, ${broken.length} invalid`);
  }
  return broken.length === 0 ? 0 : 1;
}

async function checkName(client: Client, name: string, options: ProjectOption): Promise<PersonaDetail> {
  const project = await projectOf(options.project);
  return client.call('showPersona', { params: { id: name }, query: { project } });
}

async function checkFile(client: Client, path: string, options: ProjectOption): Promise<PersonaDetail> {
  const project = await projectOf(options.project);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new Fault('BAD_REQUEST', `file: can't read ${path}: ${messageOf(error)}`, { subject: 'file', cause: error });
  });
  const body = { text, ...(project === undefined ? {} : { project }) };
  return client.call('checkPersona', { params: { id: basename(path, '.md') }, body });
}

export function verdictLines({ paint }: Cli, { persona, agents }: PersonaDetail): readonly string[] {
  const weaker = agents.flatMap(({ agent, unkept }) =>
    unkept.filter((one) => one.weaker).map((one) => ({ agent, ...one })),
  );
  const start = persona.unkeptRules === 'refuse' ? 'is refused with it' : 'starts without it';
  return [
    `${paint('green', 'valid')}  ${persona.name}  version ${persona.version}`,
    ...weaker.map(({ agent, rule, reason }) =>
      paint('yellow', `${agent} ${start}: ${oneLine(rule, textMax)} (${oneLine(reason, textMax)})`),
    ),
  ];
}
