/** A home in a temporary folder and a `Cli` whose words are kept instead of printed. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cli } from '../../src/cli/context.ts';
import { painter } from '../../src/cli/render/style.ts';
import { ownVersion } from '../../src/cli/version.ts';
import { homeAt } from '../../src/platform/home.ts';
import { identify, type ProcessIdentity } from '../../src/platform/processes.ts';

export interface CapturedCli extends Cli {
  readonly printed: string[];
  readonly noted: string[];
  readonly remove: () => void;
}

export function capturedCli(options: { readonly json?: boolean } = {}): CapturedCli {
  const home = homeAt(realpathSync(mkdtempSync(join(tmpdir(), 'muster-cli-'))));
  for (const dir of [home.run, home.logs, home.sessions]) mkdirSync(dir, { mode: 0o700 });
  writeFileSync(home.token, 'abc123\n', { mode: 0o600 });
  const printed: string[] = [];
  const noted: string[] = [];
  return {
    home,
    env: process.env,
    json: options.json === true,
    width: undefined,
    paint: painter(false),
    print: (...lines) => void printed.push(...lines),
    printJson: (value) => void printed.push(JSON.stringify(value)),
    note: (...lines) => void noted.push(...lines),
    printed,
    noted,
    remove: () => rmSync(home.dir, { recursive: true, force: true }),
  };
}

/** Writes `run/daemon.json` or `run/host.json` as the process itself would; by default this very process. */
export function writeProcessRecord(
  file: string,
  fields: { readonly identity?: ProcessIdentity; readonly url?: string; readonly version?: string } = {},
): void {
  const identity = fields.identity ?? identify(process.pid);
  writeFileSync(
    file,
    JSON.stringify({ ...identity, startedAt: Date.now(), version: fields.version ?? ownVersion(), url: fields.url }),
  );
}

/** An identity that no living process has: our own pid, as if an earlier process had had it. */
export const goneIdentity = (): ProcessIdentity => ({
  pid: process.pid,
  startTicks: '1',
  bootId: identify(process.pid)?.bootId ?? '',
});
