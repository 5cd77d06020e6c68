/**
 * `persona edit`: the person's editor works on a copy; the daemon checks the text and writes it whole. What is refused is kept beside,
 * as `<name>.md.rejected`, and the file stays as it was.
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { writeFileAtomically } from '../platform/atomic-file.ts';
import type { PersonaDetail } from '../protocol/persona.ts';
import { type Client, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';
import { verdictLines } from './persona.ts';

/** As the daemon checks it; here because the name becomes part of a path before it is asked. */
const nameForm = /^[a-z0-9][a-z0-9-]{0,39}$/;

export async function editPersona(cli: Cli, name: string): Promise<ExitCode> {
  if (!nameForm.test(name)) {
    throw new Fault('BAD_REQUEST', `name: "${name}" is no name of a persona; a-z, 0-9 and - are allowed, at most 40`, {
      subject: 'name',
    });
  }
  const client = await connect(cli.home);
  const rejected = join(cli.home.personas, `${name}.md.rejected`);
  const base = await ownText(client, name);
  const draft = base ?? (await draftOf(client, name));
  const text = await edited(cli, name, draft);
  if (text === base || (base === null && text === draft)) {
    // Null: there is still none of the home's own.
    if (cli.json)
      cli.printJson(base === null ? null : await client.call('checkPersona', { params: { id: name }, body: { text } }));
    else cli.note('nothing was changed');
    return 0;
  }
  try {
    const detail = await client.call('writePersona', { params: { id: name }, body: { text, base } });
    await rm(rejected, { force: true });
    if (cli.json) cli.printJson(detail);
    else cli.print(...verdictLines(cli, detail), join(cli.home.personas, `${name}.md`));
    return 0;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    await mkdir(cli.home.personas, { recursive: true, mode: 0o700 });
    await writeFileAtomically(rejected, text);
    const certain = error.code !== 'ANSWER_LOST' && error.code !== 'TIMED_OUT';
    throw new Fault(error.code, error.message, {
      cause: error,
      ...(error.subject === undefined ? {} : { subject: error.subject }),
      hint: `${certain ? 'Nothing was written. ' : ''}Your text is in ${rejected}${error.hint === undefined ? '' : `. ${error.hint}`}`,
    });
  }
}

/** The home's own file, also one that is not valid at the moment; null if there is none. */
async function ownText(client: Client, name: string): Promise<string | null> {
  const { personas } = await client.call('listPersonas', { query: {} });
  const own = personas.find((one) => one.name === name && one.origin === 'home');
  return own === undefined || own.path === null ? null : readFile(own.path, 'utf8');
}

/** A new persona begins as an heir of the built-in one of its name, or of none. */
async function draftOf(client: Client, name: string): Promise<string> {
  const known = await client
    .call('showPersona', { params: { id: name }, query: {} })
    .then((detail): PersonaDetail | undefined => detail)
    .catch((error: unknown) => {
      if (error instanceof Fault && error.code === 'PERSONA_UNKNOWN') return undefined;
      throw error;
    });
  return known === undefined
    ? '---\nextends: dev\ndescription: What it is for, in one line\n---\nWhat it must know and do beyond that.\n'
    : `---\nextends: ${name}\n---\nWhat it must know and do beyond the built-in persona.\n`;
}

/** Runs the editor as git does: a line for the shell, with the file as its last argument. */
async function edited(cli: Cli, name: string, text: string): Promise<string> {
  const editor = cli.env.VISUAL || cli.env.EDITOR || 'vi';
  const dir = await mkdtemp(join(tmpdir(), 'muster-persona-'));
  const file = join(dir, `${name.replace(/[^a-z0-9-]/g, '')}.md`);
  try {
    await writeFile(file, text, { mode: 0o600 });
    const code = await new Promise<number | null>((resolve, reject) => {
      const child = spawn('/bin/sh', ['-c', `${editor} "$@"`, editor, file], { stdio: 'inherit', env: cli.env });
      child.once('error', reject);
      child.once('exit', resolve);
    });
    if (code !== 0)
      throw new Fault('WRONG_STATE', `the editor "${editor}" ended with ${code ?? 'a signal'}; nothing was written`, {
        subject: 'EDITOR',
        hint: 'Set VISUAL or EDITOR to an editor that waits until the file is closed, like "code --wait".',
      });
    return await readFile(file, 'utf8');
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
