/** The doctor: what Muster needs, what is there, and what to do about the difference. Works without a daemon and changes nothing. */
import type { Home } from '../platform/home.ts';
import type { CheckResult } from '../protocol/api.ts';
import { type Check, runCheck } from './check.ts';
import { diskCheck, gitCheck, homeCheck, memoryCheck, nodeCheck, sessionLimitCheck, tokenCheck } from './machine.ts';
import { daemonCheck, hostCheck, leftoverFilesCheck, orphansCheck, portCheck } from './processes.ts';

export { sweepLeftovers } from './leftovers.ts';

/** The ledger is loaded only here, for the same reason as the adapters below. */
export const cancelOpenJobs = async (home: Home): Promise<readonly string[]> =>
  (await import('./open-jobs.ts')).cancelOpenJobs(home);

export interface DoctorOptions {
  readonly env: NodeJS.ProcessEnv;
  /** The configured port; undefined where the configuration can't be read. */
  readonly port: number | undefined;
  /** How agents are started where the configuration says so: id → program and first arguments. */
  readonly commands: Readonly<Record<string, readonly string[] | undefined>>;
}

/** In the order in which a person would want to mend them. */
export async function runChecks(home: Home, { env, port, commands }: DoctorOptions): Promise<readonly CheckResult[]> {
  const checks = [
    nodeCheck,
    gitCheck(env),
    agentsCheck(env, commands),
    homeCheck(home),
    tokenCheck(home),
    diskCheck(home),
    memoryCheck,
    sessionLimitCheck,
    ...(port === undefined ? [] : [portCheck(home, port)]),
    daemonCheck(home),
    hostCheck(home),
    leftoverFilesCheck(home),
    orphansCheck(home),
  ];
  return (await Promise.all(checks.map(runCheck))).flat();
}

/** The adapters are loaded only here: `down` imports this face and must work, and be quick, without them. */
const agentsCheck = (env: NodeJS.ProcessEnv, commands: DoctorOptions['commands']): Check => ({
  id: 'agents',
  what: 'agents',
  expected: 'at least one, in a tested version',
  run: async () => (await import('./agents.ts')).agentFindings(env, commands),
});
