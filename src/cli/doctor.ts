import { toFault } from '../base/fault.ts';
import { oneLine } from '../base/text.ts';
import { runChecks } from '../doctor/index.ts';
import type { CheckResult } from '../protocol/api.ts';
import type { Cli, ExitCode } from './context.ts';
import { verdictColours } from './render/style.ts';
import { fit } from './render/width.ts';

/** 1 if anything failed; warnings and unanswered questions don't make it fail, and are not shown as fine either. */
export async function doctor(cli: Cli): Promise<ExitCode> {
  const [config, read] = await readConfigOrSay(cli);
  const checks = [
    ...(await runChecks(cli.home, { env: cli.env, port: read?.port, commands: read?.commands ?? {} })),
    config,
  ];
  if (cli.json) cli.printJson({ checks });
  else cli.print(...checks.flatMap((check) => checkLines(cli, check)), summary(cli, checks));
  return checks.some(({ verdict }) => verdict === 'fail') ? 1 : 0;
}

interface ReadForDoctor {
  readonly port: number;
  readonly commands: Readonly<Record<string, readonly string[] | undefined>>;
}

async function readConfigOrSay(cli: Cli): Promise<readonly [CheckResult, ReadForDoctor | undefined]> {
  const check = { id: 'config', what: 'configuration', expected: 'absent, or valid' };
  try {
    const { readConfig } = await import('../daemon/offline.ts');
    const { exists, path, config } = await readConfig(cli.home);
    const commands = Object.fromEntries(Object.entries(config.agents).map(([id, agent]) => [id, agent?.command]));
    return [
      { ...check, verdict: 'ok', found: exists ? path : 'absent: all defaults', remedy: null },
      { port: config.port, commands },
    ];
  } catch (error) {
    const { message, hint } = toFault(error);
    return [{ ...check, verdict: 'fail', found: message, remedy: hint ?? null }, undefined];
  }
}

const longest = 400;

function checkLines({ paint, width }: Cli, check: CheckResult): readonly string[] {
  const { verdict, what, found, expected, remedy } = check;
  const line = `${verdict.padEnd(8)}${oneLine(what, 60).padEnd(30)}${oneLine(found, longest)}`;
  const shown = verdict === 'ok' && width !== undefined ? fit(line, width) : line;
  const rest =
    verdict === 'ok' ? [] : [`        expected: ${expected}`, ...(remedy === null ? [] : [`        do: ${remedy}`])];
  return [paint(verdictColours[verdict], shown.slice(0, verdict.length)) + shown.slice(verdict.length), ...rest];
}

function summary({ paint }: Cli, checks: readonly CheckResult[]): string {
  const verdicts = ['fail', 'warn', 'unknown', 'ok'] as const;
  const counts = verdicts.map((verdict) => ({
    verdict,
    count: checks.filter((check) => check.verdict === verdict).length,
  }));
  return counts
    .filter(({ count }) => count > 0)
    .map(({ verdict, count }) => paint(verdictColours[verdict], `${count} ${verdict}`))
    .join(' · ');
}
