/**
 * A stage for tests of the whole: a home, a repository, the real daemon as a process of its own, and the client the command line uses.
 * `close` ends everything and fails if anything that belongs to the home is still running.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { stringify } from 'yaml';
import { isErrno } from '../../src/base/fault.ts';
import { delay } from '../../src/base/wait.ts';
import { type Client, connect } from '../../src/cli/client.ts';
import { type Home, homeAt } from '../../src/platform/home.ts';
import { ownCommand } from '../../src/platform/own-node.ts';
import { findMarked } from '../../src/platform/processes.ts';
import type { JobView, LedgerEvent } from '../../src/protocol/job.ts';
import type { SessionView } from '../../src/protocol/session.ts';
import { undocumented } from '../tidy/documented-events.ts';

const checkout = join(import.meta.dirname, '../..');
export const scriptedAgent = join(checkout, 'test/peers/scripted-agent.ts');

/** Generous: the machine may be busy; a wait that ends here has failed. */
const patienceMs = 30_000;

export interface Stage {
  readonly dir: string;
  readonly home: Home;
  readonly repository: string;
  readonly agentHome: string;
  readonly up: () => Promise<Client>;
  readonly client: () => Client;
  /** Kills the daemon with -9 and waits until it is gone. */
  readonly kill: () => Promise<void>;
  readonly submit: (
    text: string,
    options?: { verify?: string; allowEmpty?: boolean; agent?: string; allowDirty?: boolean },
  ) => Promise<JobView>;
  readonly job: (id: string) => Promise<JobView>;
  readonly jobWhere: (id: string, test: (job: JobView) => boolean) => Promise<JobView>;
  readonly ended: (id: string) => Promise<JobView>;
  readonly events: (jobId?: string) => Promise<LedgerEvent[]>;
  readonly session: (id: string) => Promise<SessionView>;
  readonly sessionWhere: (id: string, test: (session: SessionView) => boolean) => Promise<SessionView>;
  /** Prompts that the scripted agent accepted. */
  readonly prompts: () => AcceptedPrompt[];
  readonly git: (...args: string[]) => string;
  readonly log: () => string;
  readonly close: () => Promise<void>;
}

/** As the scripted agent noted it. */
export interface AcceptedPrompt {
  readonly at: number;
  readonly prompt: string;
  readonly pid: number;
  readonly conversation: string;
  /** Prompts that the conversation held before this process. */
  readonly remembered: number;
}

export interface StageOptions {
  /** Over the default of the scripted agent as `claude`. */
  readonly config?: Record<string, unknown>;
  readonly agentEnv?: Record<string, string>;
  /** More keys of the scripted agent's configuration. */
  readonly agent?: Record<string, unknown>;
  readonly files?: Readonly<Record<string, string>>;
  /** Size of a tmpfs that holds the home; needs root. */
  readonly homeOnTmpfs?: string;
  /** Folder of a control group into which the daemon goes before it starts, and with it all that it starts. */
  readonly controlGroup?: string;
}

export function openStage(options: StageOptions = {}): Stage {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-system-')));
  const home = homeAt(join(dir, 'home'));
  const repository = join(dir, 'repository');
  const agentHome = join(dir, 'agent-home');
  const promptLog = join(dir, 'prompts.ndjson');
  mkdirSync(home.dir, { mode: 0o700 });
  const { homeOnTmpfs } = options;
  if (homeOnTmpfs !== undefined) execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${homeOnTmpfs}`, 'tmpfs', home.dir]);
  for (const each of [home.run, repository, agentHome]) mkdirSync(each, { recursive: true, mode: 0o700 });
  const agent = {
    command: [process.execPath, scriptedAgent],
    env: { HOME: agentHome, SCRIPTED_AGENT_LOG: promptLog, ...options.agentEnv },
    ...options.agent,
  };
  writeFileSync(home.config, stringify({ port: 0, agents: { claude: agent }, ...options.config }));
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: repository, encoding: 'utf8' }).trim();
  makeRepository(repository, git, options.files ?? { 'README.md': 'a repository\n' });

  let daemon: ChildProcess | undefined;
  let client: Client | undefined;
  const connected = (): Client => {
    if (!client) throw new Error('no daemon on this stage');
    return client;
  };
  const job = async (id: string): Promise<JobView> => (await connected().call('showJob', { params: { id } })).job;
  const session = async (id: string): Promise<SessionView> =>
    (await connected().call('showSession', { params: { id } })).session;

  const stage: Stage = {
    dir,
    home,
    repository,
    agentHome,
    client: connected,
    up: async () => {
      const command = inControlGroup(
        ownCommand(join(checkout, 'src/daemon/main.ts'), ['--home', home.dir]),
        options.controlGroup,
      );
      daemon = spawn(command.file, command.args, {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, ...command.env },
      });
      const own = daemon;
      let output = '';
      for (const stream of [own.stdout, own.stderr])
        stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
      client = await eventually(`the daemon answers; it said ${output}`, async () => {
        if (own.exitCode !== null) throw new Error(`the daemon ended with ${own.exitCode}: ${output}`);
        const found = await connect(home).catch(() => undefined);
        if (found?.record.pid !== own.pid) return undefined;
        return (await found?.call('status').catch(() => undefined)) && found;
      });
      return client;
    },
    kill: async () => {
      const own = daemon;
      if (!own || own.exitCode !== null || own.signalCode !== null) return;
      const gone = new Promise((done) => own.once('exit', done));
      own.kill('SIGKILL');
      await gone;
    },
    submit: async (text, how = {}) =>
      (
        await connected().call('submitJob', {
          body: {
            text,
            projectPath: repository,
            agent: how.agent ?? 'claude',
            ...(how.verify === undefined ? {} : { verify: how.verify }),
            ...(how.allowEmpty === undefined ? {} : { allowEmpty: how.allowEmpty }),
            ...(how.allowDirty === undefined ? {} : { allowDirty: how.allowDirty }),
          },
        })
      ).job,
    job,
    jobWhere: (id, test) =>
      eventually(
        `${id} is as wanted`,
        async () => [await job(id)].find(test),
        () => job(id),
      ),
    ended: (id) =>
      eventually(
        `${id} has ended`,
        async () => [await job(id)].find((one) => one.endedAt !== null),
        () => job(id),
      ),
    events: async (jobId) => {
      const all = await connected().call(jobId === undefined ? 'listEvents' : 'jobEvents', {
        ...(jobId === undefined ? {} : { params: { id: jobId } }),
        query: { limit: 1000 },
      });
      return all.events;
    },
    session,
    sessionWhere: (id, test) =>
      eventually(
        `${id} is as wanted`,
        async () => [await session(id).catch(() => undefined)].find((one) => one !== undefined && test(one)),
        () => session(id),
      ),
    prompts: () => readRows(promptLog),
    git,
    log: () => (existsSync(join(home.logs, 'host.log')) ? readFileSync(join(home.logs, 'host.log'), 'utf8') : ''),
    close: async () => {
      if (daemon && daemon.exitCode === null && daemon.signalCode === null) {
        const own = daemon;
        const gone = new Promise((done) => own.once('exit', done));
        await connected().call('stopDaemon', { body: { sessions: 'end' } });
        await gone;
      }
      await endHost(home);
      const untold = undocumented(eventsOf(home));
      await eventually('nothing of this stage runs', async () =>
        (await findMarked()).filter(({ command }) => command.includes(dir)).length === 0 ? true : undefined,
      );
      if (homeOnTmpfs !== undefined)
        await eventually('the tmpfs is free', async () =>
          spawnSync('umount', [home.dir]).status === 0 ? true : undefined,
        );
      rmSync(dir, { recursive: true, force: true });
      if (untold.length > 0) throw new Error(`docs/events.md does not name ${untold.join(', ')}`);
    },
  };
  return stage;
}

/** The shell that joins the group becomes the program, so the pid stays. */
function inControlGroup(
  command: ReturnType<typeof ownCommand>,
  group: string | undefined,
): ReturnType<typeof ownCommand> {
  if (group === undefined) return command;
  const join = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
  return { ...command, file: '/bin/sh', args: ['-c', join, group, command.file, ...command.args] };
}

/** Tries until there is an answer; says what was wanted, and what is, when the patience ends. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined>,
  shown?: () => Promise<unknown>,
): Promise<NonNullable<T>> {
  const until = Date.now() + patienceMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== null) return found;
    if (Date.now() > until)
      throw new Error(`waited in vain: ${what}${shown ? `; it is ${JSON.stringify(await shown())}` : ''}`);
    await delay(20);
  }
}

function makeRepository(
  dir: string,
  git: (...args: string[]) => string,
  files: Readonly<Record<string, string>>,
): void {
  git('init', '-q', '-b', 'main');
  git('config', 'user.name', 'Test');
  git('config', 'user.email', 'test@localhost');
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  git('add', '-A');
  git('commit', '-qm', 'first');
}

function readRows(path: string): AcceptedPrompt[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AcceptedPrompt);
}

/** From the file itself: no daemon is needed, and none is left. */
function eventsOf(home: Home): { type: string; data: object }[] {
  if (!existsSync(home.ledger)) return [];
  const file = new DatabaseSync(home.ledger, { readOnly: true });
  try {
    // A start that failed may have left a file without a table.
    if (file.prepare(`select 1 from sqlite_schema where name = 'event'`).get() === undefined) return [];
    const rows = file.prepare('select type, data from event').all() as { type: string; data: string }[];
    return rows.map(({ type, data }) => ({ type, data: JSON.parse(data) as object }));
  } finally {
    file.close();
  }
}

/** A daemon that was killed leaves its host; it ends by its own record. */
async function endHost(home: Home): Promise<void> {
  if (!existsSync(home.hostFile)) return;
  const { pid } = JSON.parse(readFileSync(home.hostFile, 'utf8')) as { pid: number };
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
  await eventually(`host ${pid} has gone`, async () => (isRunning(pid) ? undefined : true));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // ESRCH: gone.
    return false;
  }
}
