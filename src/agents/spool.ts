/**
 * The hook scripts of one session: tiny POSIX shell, so that a hook works, and costs a few milliseconds, whether or not the
 * daemon runs.
 *
 * `tell` saves its standard input as one file in `spool`: written beside it and then renamed, so that no half file is ever read;
 * named by time and process, so that names are in order and unique (systems whose `date` has no nanoseconds order by the second;
 * the file's own time is the observation's). `close` is `tell` for events after which no question of this turn can be open.
 * `ask` tells in an envelope that carries a name, then waits for a file of that name in `answers` and prints it. It ends by
 * itself, without a decision, when the turn is over (a person answered on the screen), the agent is gone, or the time is up.
 */
import { existsSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface HookScripts {
  /** Command lines for a shell. */
  readonly tell: string;
  readonly close: string;
  readonly ask: string;
  readonly spool: string;
}

/** As long as a person may take to answer through us; the agent's own dialog stays usable longer than that. */
export const askSeconds = 3600;

/** Makes the folders and scripts. The envelope of `ask` is `{"musterAsk": name, "hook": payload}`. */
export async function writeHookScripts(dir: string): Promise<HookScripts> {
  const spool = join(dir, 'spool');
  for (const each of [spool, join(dir, 'answers'), join(dir, 'asking')])
    await mkdir(each, { recursive: true, mode: 0o700 });
  const tell = await writeScript(join(dir, 'hook-tell.sh'), tellScript(dir));
  const ask = await writeScript(join(dir, 'hook-ask.sh'), askScript(dir));
  return { tell: commandFor(tell), close: commandFor(tell, ' close'), ask: commandFor(ask), spool };
}

/**
 * True while the hook that asked under this name waits for its answer. An agent kills a hook that it has waited for long enough, and goes
 * on showing the question.
 */
export function isAsking(dir: string, name: string): boolean {
  const pid = Number(name.slice(name.lastIndexOf('-') + 1));
  return existsSync(join(dir, 'asking', name)) && existsProcess(pid);
}

function existsProcess(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    // ESRCH: gone. What is not ours can't be our hook either.
    return false;
  }
}

/** Without its script a hook ends well: `sh` would end with 2, by which a hook forbids the agent to go on. */
const commandFor = (script: string, argument = ''): string =>
  `if [ -r ${shellQuote(script)} ]; then exec /bin/sh ${shellQuote(script)}${argument}; fi`;

/** For a command line that a shell will read. */
export const shellQuote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

async function writeScript(path: string, text: string): Promise<string> {
  await writeFile(path, text, { mode: 0o700 });
  await chmod(path, 0o700);
  return path;
}

const prologue = (dir: string): string => `#!/bin/sh
umask 077
dir=${shellQuote(dir)}
name="$(date +%s%N 2>/dev/null)-$$"
part="$dir/.part-$name"
`;

const tellScript = (dir: string): string => `${prologue(dir)}
cat > "$part" 2>/dev/null && mv "$part" "$dir/spool/$name.json" 2>/dev/null || rm -f "$part" 2>/dev/null
[ "$1" = close ] && rm -f "$dir/asking/"* 2>/dev/null
exit 0
`;

/** Polls five times a second: a person does not notice, and one sleeping shell costs nothing worth counting. */
const askScript = (dir: string): string => `${prologue(dir)}
: > "$dir/asking/$name" 2>/dev/null || exit 0
{ printf '{"musterAsk":"%s","hook":' "$name"; cat; printf '}'; } > "$part" 2>/dev/null &&
  mv "$part" "$dir/spool/$name.json" 2>/dev/null || { rm -f "$part" 2>/dev/null; exit 0; }
answer="$dir/answers/$name"
rounds=0
while [ "$rounds" -lt ${askSeconds * 5} ]; do
  if [ -f "$answer" ]; then cat "$answer"; rm -f "$answer" "$dir/asking/$name"; exit 0; fi
  [ -f "$dir/asking/$name" ] || exit 0
  kill -0 "$PPID" 2>/dev/null || exit 0
  sleep 0.2
  rounds=$((rounds + 1))
done
rm -f "$dir/asking/$name"
exit 0
`;
