import { connect } from './client.ts';
import type { Cli, ExitCode } from './context.ts';

export async function open(cli: Cli): Promise<ExitCode> {
  const answer = await (await connect(cli.home)).call('loginCode', { body: {} });
  if (cli.json) cli.printJson(answer);
  else cli.print(answer.url);
  return 0;
}
