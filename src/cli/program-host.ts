/** The commands about the process that holds the terminals. */
import type { Command } from 'commander';
import { action, type Frame, jsonOption, withExamples } from './command.ts';

export function addHostCommands(program: Command, frame: Frame): void {
  const host = program.command('host').description('the process that holds the terminals: show, upgrade');
  const show = host
    .command('show')
    .description('which code it runs, which is installed, and how many sessions it holds')
    .option(...jsonOption);
  action(show, frame, async ({ cli }) => (await import('./host.ts')).showHost(cli));
  const upgrade = host
    .command('upgrade')
    .description('let it go on as the version that is installed, with every session')
    .option(...jsonOption);
  action(upgrade, frame, async ({ cli }) => (await import('./host.ts')).upgradeHost(cli));
  withExamples(host, [
    'muster host show',
    'muster host upgrade',
    'muster down --keep-sessions && git pull && npm ci && muster up --upgrade-host',
  ]);
}
