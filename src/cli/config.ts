import { Fault } from '../base/fault.ts';
import { type Answer, connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';

type Shown = Answer<'config'>;

export async function showConfig(cli: Cli): Promise<ExitCode> {
  const shown = await configFromDaemonOrFile(cli);
  if (cli.json) cli.printJson(shown);
  else {
    const { stringify } = await import('yaml');
    cli.print(`# ${shown.path}${shown.exists ? '' : ' (absent: all defaults)'}`, stringify(shown.config).trimEnd());
  }
  return 0;
}

/** What is in force is what the daemon runs with; without one, what it would run with. */
async function configFromDaemonOrFile(cli: Cli): Promise<Shown> {
  try {
    return await (await connect(cli.home)).call('config');
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'DAEMON_DOWN') throw error;
    const { readConfig, shownConfig } = await import('../daemon/offline.ts');
    const read = await readConfig(cli.home);
    return { ...read, config: shownConfig(read.config) };
  }
}
