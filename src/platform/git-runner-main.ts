/** The runner's process, see `git-runner.ts`. Its owner's end is the end of the channel; nothing then keeps it but the gits that still run. */
import type { RunnerCall, RunnerReply } from './git-runner.ts';
import { runGit } from './run-git.ts';

process.on('message', ({ id, request }: RunnerCall) => {
  void runGit(request).then((end) => {
    const reply: RunnerReply = { id, end };
    if (process.connected) process.send?.(reply);
  });
});
