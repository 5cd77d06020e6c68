/**
 * The process that owns all PTYs of one home: `node main.ts --home DIR`, started detached by `host-launch.ts`.
 *
 * With `--takeover FILE` it is the same process in its next version (`upgrade.ts`). Whatever goes wrong then before it has taken over,
 * even that its modules can't be loaded, sends it back to the version it came from, which finds everything as it was; hence nothing but
 * Node's own modules is imported here. `--returned REASON` is that way back; there is no second one.
 */
import { readFileSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    home: { type: 'string' },
    takeover: { type: 'string' },
    rehearse: { type: 'boolean', default: false },
    returned: { type: 'string' },
  },
});
/** A takeover that has not come so far by then never will. */
const takeoverMs = 20_000;
const reasonCharactersMax = 1000;

/** Length, then JSON of that length: see `carried.ts`. */
function goBack(path: string, error: unknown): never {
  const bytes = readFileSync(path);
  const head: unknown = JSON.parse(bytes.toString('utf8', 4, 4 + bytes.readUInt32BE(0)));
  const { file, args, env } = (head as { previous: { file: string; args: string[]; env: Record<string, string> } })
    .previous;
  const reason = (error instanceof Error ? error.message : String(error)).slice(0, reasonCharactersMax);
  say(`it could not take over and goes back: ${reason}`);
  const words = [file, ...args, '--takeover', path, '--returned', reason.replaceAll('\0', ' ')];
  process.execve?.(file, words, { ...process.env, ...env });
  throw new Error('there is no way back');
}

const say = (message: string): void =>
  void writeSync(2, `${JSON.stringify({ level: 'error', pid: process.pid, message })}\n`);

async function main(): Promise<void> {
  const { home, takeover, rehearse, returned } = values;
  if (home === undefined) throw new Error('--home is missing');
  const wayBack = takeover !== undefined && !rehearse && returned === undefined ? takeover : undefined;
  const late = (): void => {
    if (wayBack !== undefined) goBack(wayBack, new Error(`it was not ready within ${takeoverMs} ms`));
  };
  const timer = setTimeout(late, takeoverMs);
  let committed = false;
  try {
    const { serve } = await import('./serve.ts');
    await serve({ home, takeover, rehearse, upgradeFault: returned ?? null }, () => {
      committed = true;
      clearTimeout(timer);
    });
  } catch (error) {
    if (wayBack !== undefined && !committed) goBack(wayBack, error);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

main().catch((error: unknown) => {
  say(`the host could not start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exit(1);
});
