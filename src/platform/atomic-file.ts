/**
 * Files that are whole or not there: written beside under another name, flushed, renamed, and the folder flushed, so that neither a crash
 * nor a power cut leaves half of one. What a crash can leave is a `.<name>.<token>.partial` beside it, which nothing reads.
 */
import { constants } from 'node:fs';
import { access, chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isErrno } from '../base/fault.ts';
import { randomToken } from '../base/ids.ts';

/** Larger JSON files than this are none of ours. */
const jsonBytesMax = 16 * 1024 * 1024;

/** The mode is the given one, else that of the file being replaced, else 0600. */
export async function writeFileAtomically(path: string, content: string | Uint8Array, mode?: number): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.${randomToken(8)}.partial`);
  try {
    await writeFlushed(beside, content, mode ?? (await modeOf(path)) ?? 0o600);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  await flushFolder(dirname(path));
}

async function writeFlushed(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    // The process's umask may have taken bits away.
    await file.chmod(mode);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function modeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mode & 0o777;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The parsed value, whose shape is the caller's to check; undefined if there is no such file or it is not JSON. */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    if ((await stat(path)).size > jsonBytesMax) return undefined;
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Not JSON is one of the answers.
    return undefined;
  }
}

/** A folder that only its owner can enter, also if it was there with a wider mode. */
export async function makePrivateDir(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
}

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return false;
    throw error;
  }
}
