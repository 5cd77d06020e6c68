/**
 * How long the command line takes, beside an empty Node in the same run: `node bench/cli.ts`. Medians of wall time, and the ratio, because
 * the machine is shared. Uses a home of its own in the temporary folder and ends what it has started.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const runs = 15;
const upRuns = 5;
const launcher = join(import.meta.dirname, '../bin/muster.mjs');
const dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-bench-')));
writeFileSync(join(dir, 'config.yaml'), 'port: 0\n');

function timed(args: readonly string[]): number {
  const begin = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, {
    env: { ...process.env, MUSTER_HOME: dir },
    encoding: 'utf8',
  });
  const took = performance.now() - begin;
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${stderr}`);
  return took;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const repeat = (count: number, run: () => number): number => median(Array.from({ length: count }, run));
const muster = (...args: readonly string[]): number => timed([launcher, ...args]);

try {
  muster('--version');
  const empty = repeat(runs, () => timed(['-e', '0']));
  const version = repeat(runs, () => muster('--version'));
  const up = repeat(upRuns, () => {
    const took = muster('up');
    muster('down');
    return took;
  });
  muster('up', '--wait');
  const again = repeat(upRuns, () => muster('up'));
  const status = repeat(runs, () => muster('status'));
  const list = repeat(runs, () => muster('job', 'list', '--json'));
  const rows = {
    'node -e 0': empty,
    'muster --version': version,
    'muster status': status,
    'muster job list --json': list,
    'muster up (cold)': up,
    'muster up (again)': again,
  };
  for (const [name, ms] of Object.entries(rows))
    console.log(`${name.padEnd(24)} ${ms.toFixed(0).padStart(6)} ms  ${(ms / empty).toFixed(1).padStart(6)} x`);
} finally {
  muster('down');
  rmSync(dir, { recursive: true, force: true });
}
