#!/usr/bin/env node
/**
 * Starts the command line on Node 24 or newer. On an older one it starts itself again with the Node that `npm ci` has put into
 * `node_modules/.bin`, so that a clone works on a machine with Node 20. Plain JavaScript without imports of ours: any Node must be
 * able to read this far. MUSTER_RELAUNCHED keeps a broken pinned Node from starting itself for ever.
 */
import { spawn } from 'node:child_process';
import { accessSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

const oldestMajor = 24;
const major = Number(process.versions.node.split('.')[0]);

if (major >= oldestMajor) {
  // Beside the packages and not in the shared temporary folder, where another user could put compiled code for us to run.
  module.enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/muster', import.meta.url)));
  const { main } = await import('../src/cli/main.ts');
  await main(process.argv.slice(2));
} else {
  relaunch();
}

function relaunch() {
  const pinned = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
  try {
    if (process.env.MUSTER_RELAUNCHED) throw new Error('the Node in node_modules is too old as well');
    accessSync(pinned);
  } catch {
    process.stderr.write(
      `muster: needs Node ${oldestMajor} or newer, this is ${process.versions.node}, and ${pinned} is not usable.\n` +
        '  hint: run "npm ci" in the folder of muster; it brings the right Node.\n',
    );
    process.exitCode = 2;
    return;
  }
  const child = spawn(pinned, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, MUSTER_RELAUNCHED: '1' },
  });
  // The terminal sends Ctrl-C to both of us; only the child knows what it means. Other signals reach only this process: pass them on.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`muster: can't start ${pinned}: ${error.message}\n  hint: run "npm ci" again.\n`);
    process.exitCode = 4;
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exitCode = code ?? 5;
    else process.kill(process.pid, signal === 'SIGINT' ? 'SIGTERM' : signal);
  });
}
