/**
 * Where one installation keeps everything: `MUSTER_HOME`, by default `~/.muster`. Nothing of Muster lies anywhere else, except
 * unix sockets where the home's path is too long for one (108 bytes on Linux, 104 on macOS).
 */
import { createHash } from 'node:crypto';
import { homedir, tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';

export interface Home {
  readonly dir: string;
  /** `config.yaml`; may be absent. */
  readonly config: string;
  /** The API token, 0600. */
  readonly token: string;
  readonly ledger: string;
  /** Locks and addresses of running processes; worthless after a reboot. */
  readonly run: string;
  /** JSON `DaemonRecord` of the running daemon. */
  readonly daemonFile: string;
  readonly daemonLock: string;
  readonly hostSocket: string;
  readonly hostFile: string;
  readonly hostToken: string;
  /** A folder per session: recording, tombstone, hook spool, the agent's session-scoped settings. */
  readonly sessions: string;
  readonly personas: string;
  /** One file per project whose personas the operator trusts. */
  readonly trust: string;
  readonly worktrees: string;
  readonly logs: string;
}

/** Longest path a unix socket may have on every system we run on. */
const socketPathMax = 100;

export function homeAt(dir: string): Home {
  const root = resolve(dir);
  const run = join(root, 'run');
  return {
    dir: root,
    config: join(root, 'config.yaml'),
    token: join(root, 'token'),
    ledger: join(root, 'ledger.db'),
    run,
    daemonFile: join(run, 'daemon.json'),
    daemonLock: join(run, 'daemon.lock'),
    hostSocket: socketPath(join(run, 'host.sock'), root),
    hostFile: join(run, 'host.json'),
    hostToken: join(run, 'host.token'),
    sessions: join(root, 'sessions'),
    personas: join(root, 'personas'),
    trust: join(root, 'trust'),
    worktrees: join(root, 'worktrees'),
    logs: join(root, 'logs'),
  };
}

export const defaultHome = (env: NodeJS.ProcessEnv): Home => homeAt(env.MUSTER_HOME || join(homedir(), '.muster'));

/** A short stand-in under the temporary folder, the same for every process of this user and home. The folder must be made 0700. */
function socketPath(wanted: string, root: string): string {
  if (Buffer.byteLength(wanted) <= socketPathMax) return wanted;
  const mark = createHash('sha256').update(root).digest('hex').slice(0, 16);
  return join(tmpdir(), `muster-${userInfo().uid}-${mark}`, 'host.sock');
}
