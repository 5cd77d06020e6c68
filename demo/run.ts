/**
 * `npm run demo`: a real coding agent (Qwen Code, from npm) does real jobs in a real git repository under Muster's eyes, without account,
 * key or network: what the model says comes from a script, what the agent does and what Muster sees is real.
 *
 * Order: the stage (folder, repository, model server) → Muster → the jobs, shown live → the summary, checked by git and the tests.
 * It ends with 0 only if every job is done and every branch is accepted. Muster stays up then, so that it can be looked at; Ctrl-C at
 * any moment, and an error, stop everything. What agents have made stays in the repository and in Muster's home in any case.
 */
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatDuration } from '../src/base/clock.ts';
import { Fault, messageOf, toFault } from '../src/base/fault.ts';
import { connect } from '../src/cli/client.ts';
import { homeAt } from '../src/platform/home.ts';
import { isEnded, type Row } from './board.ts';
import { cancelOpenJobs } from './cancel.ts';
import { type Inspection, inspectBranch } from './inspect.ts';
import { persist, withDaemon } from './keeper.ts';
import { type Live, openLive } from './live.ts';
import { commandFor, startMuster, stopMuster } from './muster.ts';
import { playJobs } from './play.ts';
import { readScenario, type Scenario } from './scenario.ts';
import { claimFolder, type Stage, setStage } from './stage.ts';
import { summaryLines } from './summary.ts';

interface Options {
  readonly scenario: string;
  readonly folder: string;
}

const interruptedExit = 130;
const ownFolder = fileURLToPath(new URL('.', import.meta.url));

/** Paths are relative to where the person typed the command, not to where npm runs it. */
function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      scenario: { type: 'string', default: join(ownFolder, 'scenario') },
      folder: { type: 'string', default: join(ownFolder, '../.demo') },
    },
  });
  const from = process.env.INIT_CWD ?? process.cwd();
  return { scenario: resolve(from, values.scenario), folder: resolve(from, values.folder) };
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  const scenario = readScenario(options.scenario);
  await claimFolder(options.folder);
  const interrupt = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupt.abort());
  process.stdout.on('error', () => undefined); // the terminal was closed: what runs must be stopped all the same
  const live = openLive(process.stdout, process.env);
  try {
    const code = await perform(scenario, options, { live, signal: interrupt.signal });
    if (code !== undefined) return code;
    live.close();
    live.note('Interrupted. Stopping everything; what the agents have made stays.');
  } catch (error) {
    live.close();
    printFault(error);
  }
  const stopped = await stopEverything(options.folder, live);
  return interrupt.signal.aborted ? interruptedExit : stopped ? 1 : 5;
}

interface Show {
  readonly live: Live;
  readonly signal: AbortSignal;
}

/** The exit code, or undefined if it was interrupted. */
async function perform(scenario: Scenario, { folder }: Options, { live, signal }: Show): Promise<number | undefined> {
  const startedAt = performance.now();
  live.note(live.paint('bold', scenario.title));
  live.note('A real agent, a real repository, real commits; only the model is scripted. Ctrl-C stops everything.');
  await stopMuster(homeAt(join(folder, 'home'))); // of an earlier run: it knows another model server
  if (signal.aborted) return undefined;
  const stage = await setStage(folder, scenario);
  if (signal.aborted) return undefined;
  await startMuster(stage.home);
  if (signal.aborted) return undefined;
  const rows = await withDaemon({ home: stage.home, live, signal }, async () => {
    await persist(signal, () => cancelOpenJobs(folder, stage.home)); // of a demo that was killed
    live.note(`Muster is up; its page: ${await persist(signal, () => loginUrl(stage))}\n`);
    return playJobs({ stage, scenario, live, signal });
  });
  if (signal.aborted || !rows.every(isEnded)) return undefined;
  live.close();
  const inspections = await inspectAll(rows, stage, scenario);
  printSummary({ rows, inspections, stage, live, tookMs: performance.now() - startedAt });
  const good = rows.every(({ view }) => view?.state === 'done') && inspections.every(({ kind }) => kind === 'accepted');
  return good ? 0 : 1;
}

async function inspectAll(rows: readonly Row[], stage: Stage, scenario: Scenario): Promise<readonly Inspection[]> {
  const inspections: Inspection[] = [];
  for (const row of rows) inspections.push(await inspectBranch(row, stage.repository, scenario.test));
  return inspections;
}

const loginUrl = async ({ home }: Stage): Promise<string> =>
  (await (await connect(home)).call('loginCode', { body: {} })).url;

interface Ending {
  readonly rows: readonly Row[];
  readonly inspections: readonly Inspection[];
  readonly stage: Stage;
  readonly live: Live;
  readonly tookMs: number;
}

function printSummary({ rows, inspections, stage, live, tookMs }: Ending): void {
  const { paint } = live;
  for (const [index, row] of rows.entries()) {
    const inspection = inspections[index] ?? { kind: 'refused', reason: 'not looked at' };
    console.log(`${summaryLines(row, inspection, paint).join('\n')}\n`);
  }
  const done = rows.filter(({ view }) => view?.state === 'done').length;
  const first = rows[0]?.view?.id ?? 'j1';
  console.log(paint('bold', `${done} of ${rows.length} jobs done in ${formatDuration(tookMs)}.`));
  console.log(
    `The repository   ${relative(process.cwd(), stage.repository) || stage.repository}   (git log --all --graph)`,
  );
  console.log(`The whole story  ${commandFor(stage.home, `why ${first}`)}`);
  console.log(`The web page     ${commandFor(stage.home, 'open')}`);
  console.log(`${paint('bold', 'Stop it all')}      ${commandFor(stage.home, 'down')}`);
}

function printFault(error: unknown): void {
  const fault = toFault(error);
  console.error(`${fault.message}${fault.hint ? `\n${fault.hint}` : ''}`);
}

/** True if nothing runs any more. The model server ends by itself, once this process and Muster are gone. */
async function stopEverything(folder: string, live: Live): Promise<boolean> {
  const home = homeAt(join(folder, 'home'));
  try {
    await cancelOpenJobs(folder, home);
    live.note((await stopMuster(home)).trim());
    return true;
  } catch (error) {
    live.note(`Not everything could be stopped: ${messageOf(error)}`);
    live.note(`Try again: ${commandFor(home, 'down')}`);
    return false;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  printFault(error);
  process.exitCode = error instanceof Fault ? error.exit : 5;
}
