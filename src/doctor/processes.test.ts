import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type CapturedCli, capturedCli, goneIdentity, writeProcessRecord } from '../../test/peers/captured-cli.ts';
import { runCheck } from './check.ts';
import { daemonCheck, hostCheck, leftoverFilesCheck, orphansCheck, portCheck } from './processes.ts';

function open(): CapturedCli {
  const cli = capturedCli();
  onTestFinished(cli.remove);
  return cli;
}

async function listen(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const verdictOf = async (check: Parameters<typeof runCheck>[0]) =>
  (await runCheck(check)).map(({ verdict, found }) => [verdict, found]);

test('port: free, held by somebody who is named, or any', async () => {
  const { home } = open();
  const port = await listen();
  expect(await verdictOf(portCheck(home, port))).toEqual([
    ['fail', expect.stringContaining(`(pid ${process.pid}, user `)],
  ]);
  expect(await verdictOf(portCheck(home, 0))).toEqual([['ok', 'any free port is taken']]);
});

test('daemon: absent, stale, without its port, silent', async () => {
  const { home } = open();
  expect(await verdictOf(daemonCheck(home))).toEqual([['ok', 'not running']]);
  writeProcessRecord(home.daemonFile, { identity: goneIdentity(), url: 'http://127.0.0.1:1' });
  expect(await verdictOf(daemonCheck(home))).toEqual([['warn', `a stale record: pid ${process.pid} is gone`]]);
  writeProcessRecord(home.daemonFile, { url: 'http://127.0.0.1:1' });
  expect(await verdictOf(daemonCheck(home))).toEqual([
    ['fail', `pid ${process.pid} lives but does not listen on port 1`],
  ]);
  const url = `http://127.0.0.1:${await listen()}`;
  writeProcessRecord(home.daemonFile, { url });
  expect(await verdictOf(daemonCheck(home))).toEqual([['fail', `pid ${process.pid} does not answer at ${url}`]]);
  writeFileSync(home.daemonFile, '{"pid":');
  expect(await verdictOf(daemonCheck(home))).toEqual([['fail', expect.stringContaining('daemon.json')]]);
});

test('host: alive by its record, but its socket is not there', async () => {
  const { home } = open();
  writeProcessRecord(home.hostFile);
  expect(await verdictOf(hostCheck(home))).toEqual([
    ['fail', `pid ${process.pid} lives but its socket ${home.hostSocket} does not answer`],
  ]);
});

test('locks: a note of a holder that is gone is stale', async () => {
  const { home } = open();
  expect(await verdictOf(leftoverFilesCheck(home))).toEqual([['ok', 'none left over']]);
  writeFileSync(`${home.daemonLock}.holder`, JSON.stringify(goneIdentity()));
  expect(await verdictOf(leftoverFilesCheck(home))).toEqual([
    ['warn', `${home.daemonLock}.holder names pid ${process.pid}, which is gone`],
  ]);
});

test('orphans: a process with the mark of an ended session is named, one with a foreign mark is only counted', async () => {
  const { home } = open();
  const dir = join(home.sessions, 's-1');
  mkdirSync(dir);
  writeFileSync(join(dir, 'session.json'), JSON.stringify({ id: 's-1', instance: 'mark-of-s-1', exit: { code: 0 } }));
  const start = async (mark: string): Promise<number | undefined> => {
    const code = `console.log('ready'); setInterval(() => {}, 1000)`;
    const child = spawn(process.execPath, ['-e', code], {
      env: { ...process.env, MUSTER_INSTANCE: mark },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    return child.pid;
  };
  const orphan = await start('mark-of-s-1');
  await start('mark-of-another-home');
  expect(await verdictOf(orphansCheck(home))).toEqual([
    [
      'fail',
      expect.stringMatching(new RegExp(`^pid ${orphan} of s-1: .* \\(\\d+ with marks that are not of this home`)),
    ],
  ]);
});

test('a check that can not be asked is unknown, never ok', async () => {
  const check = { id: 'x', what: 'x', expected: 'x', run: () => Promise.reject(new Error('no such thing')) };
  expect(await verdictOf(check)).toEqual([['unknown', 'could not be asked: no such thing']]);
});
