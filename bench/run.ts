/** Runs every benchmark, one after the other, or those that are named: `npm run bench [-- thread cli]`. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const all = ['thread', 'cli', 'ledger', 'pty', 'hostile', 'pool', 'receipts', 'admission', 'soak'];
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !all.includes(name));
if (unknown.length > 0) throw new Error(`no benchmark ${unknown.join(', ')}; there are ${all.join(', ')}`);
for (const name of asked.length > 0 ? asked : all) {
  console.log(`\n# ${name}`);
  const { status } = spawnSync(process.execPath, [join(import.meta.dirname, `${name}.ts`)], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}
