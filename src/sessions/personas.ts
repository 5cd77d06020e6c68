/**
 * Personas: the named prompt, model and permissions that a session starts with. A Markdown file with YAML frontmatter in the home's
 * `personas` folder, `<name>.md`; one called `dev` is built in. A repository's own files can't give a session more rights, so none
 * are read from there.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { Fault, isErrno, messageOf } from '../base/fault.ts';
import { agentIds } from '../protocol/session.ts';

const frontmatterSchema = z.strictObject({
  agent: z.enum(agentIds).optional(),
  model: z.string().min(1).max(200).optional(),
  permissions: z.enum(['ask', 'edits', 'all']).optional(),
});

export interface Persona extends z.infer<typeof frontmatterSchema> {
  readonly name: string;
  /** Where it came from, for messages. */
  readonly source: string;
  readonly text: string;
}

/** A persona is read by a model at each start; beyond this it is a document, and belongs into the repository. */
const personaBytesMax = 64 * 1024;
const nameForm = /^[a-z0-9][a-z0-9-]{0,39}$/;

export const builtinPersona: Persona = {
  name: 'dev',
  source: 'built in',
  text: [
    'You are a careful software developer working alone on one task.',
    '',
    '- Read the code around a change before you make it, and keep to its style.',
    '- Make the smallest change that does the whole task. Add or mend a test for what you change.',
    '- Run the tests of the repository before you say that you are done, and say what you ran.',
    '- Never claim that something works which you have not seen work. If you can not finish, say what is missing.',
  ].join('\n'),
};

/** PERSONA_UNKNOWN, naming those that there are, or PERSONA_INVALID, naming the field. */
export async function findPersona(dir: string, name: string): Promise<Persona> {
  if (!nameForm.test(name))
    throw new Fault(
      'PERSONA_UNKNOWN',
      `persona: "${name}" is no name of a persona; letters a-z, digits and - are allowed`,
      { subject: 'persona' },
    );
  const path = join(dir, `${name}.md`);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw new Fault('PERSONA_INVALID', `persona: can't read ${path}: ${messageOf(error)}`, {
      subject: 'persona',
      cause: error,
    });
  });
  if (text !== undefined) return parsePersona(name, path, text);
  if (name === builtinPersona.name) return builtinPersona;
  const known = (await listPersonas(dir)).join(', ');
  throw new Fault('PERSONA_UNKNOWN', `persona: there is no "${name}"; there is ${known}`, {
    subject: 'persona',
    hint: `Write ${path} to make one.`,
  });
}

/** Names, sorted; the built-in one is always among them. */
export async function listPersonas(dir: string): Promise<string[]> {
  const files = await readdir(dir).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const names = files.filter((file) => file.endsWith('.md')).map((file) => file.slice(0, -3));
  return [...new Set([builtinPersona.name, ...names.filter((name) => nameForm.test(name))])].toSorted();
}

function parsePersona(name: string, path: string, text: string): Persona {
  if (Buffer.byteLength(text) > personaBytesMax)
    throw new Fault('PERSONA_INVALID', `persona: ${path} is larger than ${personaBytesMax} bytes`, {
      subject: 'persona',
    });
  const match = /^---\r?\n([\s\S]*?)\r?\n---\r?\n?([\s\S]*)$/.exec(text);
  const parsed = frontmatterSchema.safeParse(frontmatter(path, match?.[1] ?? ''));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Fault(
      'PERSONA_INVALID',
      `persona: ${path}: ${issue?.path.join('.') || 'frontmatter'}: ${issue?.message}`,
      { subject: 'persona', cause: parsed.error },
    );
  }
  return { name, source: path, text: (match?.[2] ?? text).trim(), ...parsed.data };
}

function frontmatter(path: string, yaml: string): unknown {
  try {
    return parse(yaml) ?? {};
  } catch (error) {
    throw new Fault(
      'PERSONA_INVALID',
      `persona: ${path}: frontmatter is not YAML: ${messageOf(error).split('\n')[0]}`,
      { subject: 'persona', cause: error },
    );
  }
}
