/**
 * The personas that a repository brings, `.muster/personas/*.md`, and the operator's trust in them. A persona carries permissions, and a
 * repository that was merely cloned must not be able to give any: nothing of it is used before `muster project trust`, and that is
 * bound to the path and to the content of the whole folder. A folder that changed asks again.
 *
 * The folder is read once and judged by what was read, so that no file can change between the judgement and its use. Links are not
 * followed: they could lead a model to a file outside.
 */
import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Fault, isErrno, messageOf } from '../../base/fault.ts';
import { readJson, writeFileAtomically } from '../../platform/atomic-file.ts';
import type { ProjectTrust } from '../../protocol/persona.ts';
import { invalid, nameForm, personaBytesMax } from './fields.ts';

/** More files are no set of personas. */
const filesMax = 200;

export interface PersonaFile {
  readonly path: string;
  readonly source: string;
}

export interface ProjectPersonas {
  readonly trust: ProjectTrust;
  readonly files: ReadonlyMap<string, PersonaFile>;
  /** The names that the folder held when it was trusted: one that is gone since must not quietly become another persona. */
  readonly trustedNames: readonly string[];
}

const trustSchema = z.object({
  path: z.string(),
  hash: z.string(),
  names: z.array(z.string()),
  trustedAt: z.number(),
});

const folderOf = (root: string): string => join(root, '.muster', 'personas');
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const recordFile = (trustDir: string, root: string): string => join(trustDir, `${sha256(root).slice(0, 32)}.json`);

/** `root` is the root of the repository's working tree. */
export async function readProject(trustDir: string, root: string): Promise<ProjectPersonas> {
  const path = await realpath(root).catch(() => root);
  const folder = folderOf(path);
  const files = await readFolder(folder);
  const names = [...files.keys()];
  const hash = files.size === 0 ? '' : sha256(JSON.stringify([...files].map(([name, { source }]) => [name, source])));
  const record = trustSchema.safeParse(await readJson(recordFile(trustDir, path))).data;
  const known = record !== undefined && record.path === path;
  const trust = {
    path,
    folder,
    state: stateOf(known ? record.hash : undefined, hash),
    hash,
    names,
    trustedAt: known ? record.trustedAt : null,
  };
  return { trust, files, trustedNames: known ? record.names : [] };
}

function stateOf(trusted: string | undefined, now: string): ProjectTrust['state'] {
  if (trusted === undefined) return now === '' ? 'none' : 'untrusted';
  return trusted === now ? 'trusted' : 'changed';
}

async function readFolder(folder: string): Promise<Map<string, PersonaFile>> {
  if (!(await isPlainFolder(join(folder, '..'))) || !(await isPlainFolder(folder))) return new Map();
  const names = (await readdir(folder)).filter((name) => name.endsWith('.md')).toSorted();
  if (names.length > filesMax) throw invalid(folder, [`holds ${names.length} files; at most ${filesMax} are allowed`]);
  const files = await Promise.all(
    names.map(async (file) => [file.slice(0, -3), await readPlain(join(folder, file))] as const),
  );
  return new Map(
    files.filter((entry): entry is [string, PersonaFile] => nameForm.test(entry[0]) && entry[1] !== undefined),
  );
}

async function isPlainFolder(path: string): Promise<boolean> {
  return (await lstat(path).catch(unlessAbsent))?.isDirectory() === true;
}

async function readPlain(path: string): Promise<PersonaFile | undefined> {
  const found = await lstat(path).catch(unlessAbsent);
  if (found?.isFile() !== true) return undefined;
  if (found.size > personaBytesMax)
    throw invalid(path, [`the file has ${found.size} bytes; at most ${personaBytesMax} are allowed`]);
  return { path, source: await readFile(path, 'utf8') };
}

function unlessAbsent(error: unknown): undefined {
  if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return undefined;
  throw new Fault('PERSONA_INVALID', `persona: can't read: ${messageOf(error)}`, { subject: 'persona', cause: error });
}

/** `hash` is what the person has seen; WRONG_STATE if the folder is another by now. */
export async function trustProject(
  trustDir: string,
  root: string,
  seen: { hash: string; at: number },
): Promise<ProjectTrust> {
  const { trust } = await readProject(trustDir, root);
  if (trust.names.length === 0) {
    throw new Fault('NOT_FOUND', `project: ${trust.folder} holds no persona`, {
      subject: 'project',
      hint: `There is nothing to trust: a project brings personas as .muster/personas/NAME.md. To forget an earlier trust: muster project distrust ${trust.path}`,
    });
  }
  if (trust.hash !== seen.hash) {
    throw new Fault('WRONG_STATE', `project: ${trust.folder} has changed since it was looked at`, {
      subject: 'project',
      hint: `Look again: muster project trust ${trust.path}`,
    });
  }
  await mkdir(trustDir, { recursive: true, mode: 0o700 });
  const record = { path: trust.path, hash: trust.hash, names: trust.names, trustedAt: seen.at };
  await writeFileAtomically(recordFile(trustDir, trust.path), JSON.stringify(record), 0o600);
  return { ...trust, state: 'trusted', trustedAt: seen.at };
}

export async function distrustProject(trustDir: string, root: string): Promise<ProjectTrust> {
  const path = await realpath(root).catch(() => root);
  await rm(recordFile(trustDir, path), { force: true });
  return (await readProject(trustDir, path)).trust;
}

/** The projects that are trusted, as they are now. */
export async function listTrusted(trustDir: string): Promise<ProjectTrust[]> {
  const names = await readdir(trustDir).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const records = await Promise.all(
    names
      .filter((name) => name.endsWith('.json'))
      .map(async (name) => trustSchema.safeParse(await readJson(join(trustDir, name))).data),
  );
  const known = records.filter((record) => record !== undefined).toSorted((a, b) => a.path.localeCompare(b.path));
  return Promise.all(known.map(async ({ path }) => (await readProject(trustDir, path)).trust));
}

/** A project's persona that may not be used. */
export const untrusted = (name: string, { path, state, folder }: ProjectTrust): Fault =>
  new Fault(
    'PERSONA_UNTRUSTED',
    state === 'changed'
      ? `persona: "${name}" belongs to ${folder}, which has changed since you trusted it`
      : `persona: there is a "${name}" in ${folder}, which you have not trusted`,
    {
      subject: 'persona',
      hint: `Read it, then allow it: muster project trust ${path}`,
    },
  );
