/**
 * Everything that the demo stands on, in one folder (`.demo`): `home` is Muster's, `agent-home` the agent's, `runs/N/repository` the
 * repository of run N, `model.json` says where the model server listens.
 *
 * Order: the stage, the folders, the repository, the model server, the configuration.
 * Running it twice works: an earlier daemon of this home is stopped first, each run gets a new repository, old runs go (see `runsKept`).
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { Fault, isErrno, messageOf } from '../src/base/fault.ts';
import { delay } from '../src/base/wait.ts';
import { writeFileAtomically } from '../src/platform/atomic-file.ts';
import { dirtyPaths, git } from '../src/platform/git.ts';
import { type Home, homeAt } from '../src/platform/home.ts';
import { identify, isAlive, type ProcessIdentity, signalProcess } from '../src/platform/processes.ts';
import type { Scenario } from './scenario.ts';

export interface Stage {
  readonly folder: string;
  readonly home: Home;
  readonly repository: string;
  readonly modelUrl: string;
}

/** Earlier repositories that stay beside the new one. */
const runsKept = 3;
/** The model server is ready in half a second; a loaded machine may need more. */
const modelReadyLimitMs = 20_000;
const pollMs = 25;

const checkout = fileURLToPath(new URL('..', import.meta.url));

/** Only one demo at a time in a folder: a second would stop the first one's daemon. */
export async function claimFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'demo.json');
  const other = await readIdentity(file);
  if (other && other.pid !== process.pid && isAlive(other)) {
    throw new Fault('WRONG_STATE', `A demo is running already (pid ${other.pid})`, {
      subject: folder,
      hint: 'Wait for its end, or end it by Ctrl-C in its terminal.',
    });
  }
  await writeFileAtomically(file, `${JSON.stringify(identify(process.pid))}\n`);
}

/** Sets the stage for one run. No daemon may run in this home. */
export async function setStage(folder: string, scenario: Scenario): Promise<Stage> {
  const home = homeAt(join(folder, 'home'));
  const repository = await makeRepository(await newRun(folder), scenario);
  await mkdir(home.dir, { recursive: true, mode: 0o700 });
  const modelUrl = await startModel(folder, home, scenario);
  const agentHome = await makeAgentHome(folder);
  await writeFileAtomically(home.config, stringify(configuration(agentHome, modelUrl)));
  return { folder, home, repository, modelUrl };
}

async function newRun(folder: string): Promise<string> {
  const runs = join(folder, 'runs');
  await mkdir(runs, { recursive: true });
  const numbers = (await readdir(runs)).filter((name) => /^\d+$/.test(name)).map(Number);
  numbers.sort((a, b) => a - b);
  for (const number of numbers.slice(0, -runsKept)) await removeRun(join(runs, String(number)));
  const run = join(runs, String((numbers.at(-1) ?? 0) + 1));
  await mkdir(run);
  return run;
}

/** A run stays if a person has worked in its repository: what is not committed exists nowhere else. */
async function removeRun(run: string): Promise<void> {
  const changed = await dirtyPaths(join(run, 'repository')).catch(() => []);
  if (changed.length === 0) await rm(run, { recursive: true, force: true });
}

async function makeRepository(run: string, scenario: Scenario): Promise<string> {
  const repository = join(run, 'repository');
  await cp(scenario.repository, repository, { recursive: true });
  const inside = { cwd: repository };
  await git(['init', '--quiet', '--initial-branch=main'], inside);
  await git(['config', 'user.name', 'Muster demo'], inside);
  await git(['config', 'user.email', 'demo@localhost'], inside);
  await git(['add', '--all'], inside);
  await git(['commit', '--quiet', '--message', 'The library as it was found'], inside);
  return repository;
}

async function readIdentity(file: string): Promise<(ProcessIdentity & { readonly url?: string }) | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as ProcessIdentity & { url?: string };
  } catch (error) {
    if (isErrno(error, 'ENOENT') || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Starts the model server in the background; one of an earlier run is ended first. Gives its address. */
async function startModel(folder: string, home: Home, scenario: Scenario): Promise<string> {
  const record = join(folder, 'model.json');
  const earlier = await readIdentity(record);
  if (earlier) signalProcess(earlier, 'SIGTERM');
  await rm(record, { force: true });
  const output = openSync(join(folder, 'model-output.txt'), 'w');
  const log = join(folder, 'model-requests.jsonl');
  await rm(log, { force: true });
  const args = { home: home.dir, conversations: scenario.conversationsFile, record, log, demo: String(process.pid) };
  const child = spawn(
    process.execPath,
    [join(checkout, 'demo/model.ts'), ...Object.entries(args).flatMap(([name, value]) => [`--${name}`, value])],
    { detached: true, stdio: ['ignore', output, output], cwd: folder },
  );
  closeSync(output);
  child.unref();
  let ended: string | undefined;
  child.on('error', (error) => {
    ended = messageOf(error);
  });
  child.on('exit', (code, signal) => {
    ended = `it ended with ${signal ?? `code ${code}`}`;
  });
  const until = performance.now() + modelReadyLimitMs;
  while (ended === undefined && performance.now() < until) {
    const found = await readIdentity(record);
    if (found?.url && found.pid === child.pid) return found.url;
    await delay(pollMs);
  }
  throw new Fault(
    'TIMED_OUT',
    `The model server did not start: ${ended ?? `not ready after ${modelReadyLimitMs} ms`}`,
    {
      subject: join(folder, 'model-output.txt'),
      hint: `Its output is in ${join(folder, 'model-output.txt')}`,
    },
  );
}

/** The agent's own home: nothing of the user's settings is read or written, and it asks nobody on the network. */
async function makeAgentHome(folder: string): Promise<string> {
  const agentHome = join(folder, 'agent-home');
  await mkdir(join(agentHome, '.qwen'), { recursive: true, mode: 0o700 });
  const settings = {
    security: { auth: { selectedType: 'openai' } },
    general: { enableAutoUpdate: false },
    privacy: { usageStatisticsEnabled: false },
    memory: { enableManagedAutoMemory: false, enableManagedAutoDream: false },
  };
  await writeFile(join(agentHome, '.qwen/settings.json'), `${JSON.stringify(settings, null, 2)}\n`);
  return agentHome;
}

const configuration = (agentHome: string, modelUrl: string) => ({
  port: 0,
  defaults: { agent: 'qwen' },
  agents: {
    qwen: {
      command: [process.execPath, join(checkout, 'node_modules/@qwen-code/qwen-code/cli.js')],
      permissions: 'all',
      env: {
        HOME: agentHome,
        OPENAI_BASE_URL: `${modelUrl}/v1`,
        OPENAI_API_KEY: 'not-a-key',
        OPENAI_MODEL: 'scripted-model',
      },
    },
  },
});
