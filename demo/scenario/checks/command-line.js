// Run in a checkout of the finished work: does the command line do what the job asked for? The agent has never seen this file.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const split = (...args) => spawnSync(process.execPath, ['bin/split.js', ...args], { encoding: 'utf8', timeout: 10_000 });

const shared = split('10.00', '3');
assert.equal(shared.stdout, '3.34\n3.33\n3.33\n');
assert.equal(shared.status, 0);
for (const args of [[], ['10.00'], ['ten', '3'], ['10.00', '0']]) {
  const refused = split(...args);
  assert.equal(refused.status, 2, `exit code of: split ${args.join(' ')}`);
  assert.match(refused.stderr, /usage/i);
}
assert.match(readFileSync('README.md', 'utf8'), /## Command line[\s\S]*bin\/split\.js/);
console.log('The command line does what the job asks for');
