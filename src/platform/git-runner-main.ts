/** The runner's process, see `git-runner.ts`. Its owner's end is the end of the channel; nothing then keeps it but the gits that still run. */
import type { RunnerCall, RunnerReply } from './git-runner.ts';
import { runGit } from './run-git.ts';

const reply = (message: RunnerReply): void => {
  if (process.connected) process.send?.(message);
};

process.on('message', ({ id, request }: RunnerCall) => {
  void runGit(request, (group) => reply({ id, group })).then((end) => reply({ id, end }));
});
