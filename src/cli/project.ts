/** `project list | trust | distrust`: whether the personas that a repository brings are used. */
import { createInterface } from 'node:readline/promises';
import { Fault } from '../base/fault.ts';
import { manyLines, oneLine } from '../base/text.ts';
import { connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { detailLines } from './persona.ts';
import { projectOf } from './project-path.ts';
import { tableLines } from './render/table.ts';
import { localTime } from './render/time.ts';

export async function listProjects(cli: Cli): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('listProjects');
  if (cli.json) cli.printJson(answer);
  else if (answer.projects.length === 0) cli.note('no project is trusted');
  else
    cli.print(
      ...tableLines({
        ...cli,
        columns: [{ title: 'PROJECT', flexible: true }, { title: 'STATE' }, { title: 'SINCE' }, { title: 'PERSONAS' }],
        rows: answer.projects.map(({ path, state, trustedAt, names }) => [
          oneLine(path, 1000),
          { text: state, colour: state === 'trusted' ? 'green' : 'yellow' },
          trustedAt === null ? '' : localTime(trustedAt, Date.now()),
          names.join(', '),
        ]),
      }),
    );
  return 0;
}

export async function trustProject(cli: Cli, path: string, { yes }: { readonly yes?: boolean }): Promise<ExitCode> {
  const client = await connect(cli.home);
  const project = await folderOf(path);
  const { trust, personas } = await client.call('showProject', { query: { project } });
  const trustIt = async (): Promise<ExitCode> => {
    const answer = await client.call('trustProject', { body: { project, hash: trust.hash } });
    if (cli.json) cli.printJson(answer);
    else cli.print(`${cli.paint('green', 'trusted')}: ${trust.folder}, as it is now; a change asks again`);
    return 0;
  };
  if (trust.names.length === 0 || yes === true) return trustIt();
  if (trust.state === 'trusted') {
    if (cli.json) cli.printJson({ trust });
    else cli.note(`${trust.folder} is trusted already, as it is now`);
    return 0;
  }
  for (const { name, persona, problem } of personas) {
    const shown =
      persona === null
        ? [`${name}: ${problem?.message ?? ''}`]
        : detailLines(cli, { persona, source: null, agents: [] });
    cli.note(...shown.map((line) => manyLines(line, 100_000)), '');
  }
  if (!process.stdin.isTTY) {
    throw new Fault('BAD_REQUEST', 'Trust needs a yes, and there is nobody to ask here', {
      subject: '--yes',
      hint: 'Read what stands above, then: muster project trust --yes',
    });
  }
  if (await saysYes(`Let jobs in ${trust.path} use these ${personas.length} personas? [y/N] `)) return trustIt();
  if (cli.json) cli.printJson({ trust });
  else cli.note('not trusted');
  return 1;
}

async function saysYes(question: string): Promise<boolean> {
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question(question)).trim());
  } finally {
    asking.close();
  }
}

export async function distrustProject(cli: Cli, path: string): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('distrustProject', { body: { project: await folderOf(path) } });
  if (cli.json) cli.printJson(answer);
  else cli.print(`${answer.trust.path}: its personas are not used any more`);
  return 0;
}

async function folderOf(path: string): Promise<string> {
  const project = await projectOf(path);
  if (project !== undefined) return project;
  throw new Fault('PROJECT_NOT_A_REPOSITORY', 'project: the current folder is not inside a git repository', {
    subject: 'project',
    hint: 'Name the project: muster project trust PATH',
  });
}
