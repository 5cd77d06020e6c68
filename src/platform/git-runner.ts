/**
 * Runs git for a large process in a small one. To start a program is to copy the page tables of the process that starts it: 5 ms and more
 * for a daemon of 180 MB, in which it does nothing else, 0.7 ms for the runner; a job takes some seventy gits.
 *
 * The runner is started when git is needed and ends when it was not for `restMs`, or when its owner is gone; a git that runs then goes on
 * to its end. If the runner dies, its gits are ended, and told as `stopped` when they are. Where it can't be started (a full machine, an
 * installation that is being replaced) its owner runs git itself.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { delay } from '../base/wait.ts';
import { compileCache } from './own-node.ts';
import { type GitEnd, type GitRequest, runGit } from './run-git.ts';

export interface GitRunner {
  readonly run: (request: GitRequest) => Promise<GitEnd>;
  readonly close: () => void;
}

/** What goes to the runner and comes back. */
export interface RunnerCall {
  readonly id: number;
  readonly request: GitRequest;
}
export type RunnerReply =
  | { readonly id: number; readonly group: number }
  | { readonly id: number; readonly end: GitEnd };

const mainFile = fileURLToPath(new URL('./git-runner-main.ts', import.meta.url));
/** It holds 45 MB; most of the time a fleet waits for its agents. */
const restMs = 30_000;
/** Enough for the longest lists of paths; it keeps nothing. */
const heapMegabytes = 512;
/** Over what git itself may take: the runner tells of that limit. */
const graceMs = 10_000;

const [lostMs, lostPollMs] = [2000, 10];

interface Waiting {
  readonly request: GitRequest;
  readonly resolve: (end: GitEnd | Promise<GitEnd>) => void;
  readonly timer: NodeJS.Timeout;
  /** Its process group, once it runs. */
  group: number | undefined;
}

export function openGitRunner({ idleMs = restMs }: { idleMs?: number } = {}): GitRunner {
  let child: ChildProcess | undefined;
  let closed = false;
  let lastId = 0;
  let idle: NodeJS.Timeout | undefined;
  const waiting = new Map<number, Waiting>();

  const settle = (id: number, end: GitEnd | Promise<GitEnd>): void => {
    const one = waiting.get(id);
    if (one === undefined) return;
    waiting.delete(id);
    clearTimeout(one.timer);
    one.resolve(end);
    if (waiting.size > 0) return;
    child?.unref();
    if (closed) release();
    else idle = setTimeout(release, idleMs).unref();
  };
  /** Without its channel the runner ends by itself, after what it still runs. */
  const release = (): void => {
    if (child?.connected === true) child.disconnect();
    child = undefined;
  };
  const start = (): ChildProcess => {
    const started = fork(mainFile, [], {
      execArgv: ['--max-semi-space-size=1', `--max-old-space-size=${heapMegabytes}`],
      env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // A Ctrl-C in the owner's terminal is for the owner.
      detached: true,
    });
    const gone = (): void => {
      if (child !== started) return;
      child = undefined;
      for (const [id, { request, group }] of waiting)
        settle(id, started.pid === undefined ? runGit(request) : endOfLost(group));
    };
    started.on('message', (reply: RunnerReply) => {
      if ('end' in reply) return settle(reply.id, reply.end);
      const one = waiting.get(reply.id);
      if (one) one.group = reply.group;
    });
    started.once('exit', gone);
    // It could not be started, or its channel broke.
    started.once('error', gone);
    return started;
  };

  return {
    run: (request) => {
      if (closed) return runGit(request);
      clearTimeout(idle);
      child ??= start();
      const to = child;
      to.ref();
      const id = ++lastId;
      return new Promise((resolve) => {
        const late: GitEnd = { kind: 'stopped', reason: `took longer than ${request.limitMs} ms` };
        const timer = setTimeout(() => settle(id, late), request.limitMs + graceMs);
        waiting.set(id, { request, resolve, timer, group: undefined });
        const call: RunnerCall = { id, request };
        // A failure is told by the end of the runner.
        to.send(call, () => undefined);
      });
    },
    close: () => {
      closed = true;
      clearTimeout(idle);
      // What is under way is waited for: its end comes over the channel.
      if (waiting.size === 0) release();
    },
  };
}

/** Of one whose runner died: ended, so that it does not go on beside what is done next. */
async function endOfLost(group: number | undefined): Promise<GitEnd> {
  const until = performance.now() + lostMs;
  while (group !== undefined && killed(group) && performance.now() < until) await delay(lostPollMs);
  return { kind: 'stopped', reason: 'was ended: the process that runs git had died' };
}

/** False if nothing of the group is left. */
function killed(group: number): boolean {
  try {
    return process.kill(-group, 'SIGKILL');
  } catch {
    // ESRCH: it is gone.
    return false;
  }
}
