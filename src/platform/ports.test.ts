import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { listenersOn, parseLsof, parseSocketTable } from './ports.ts';

const serverCode = `const s = require('node:net').createServer(() => {}).listen(0, '127.0.0.1', () => console.log(s.address().port))`;
const clientCode = (port: number) =>
  `const c = require('node:net').connect(${port}, '127.0.0.1', () => console.log('connected'))`;

/** A real process in the temporary folder; resolves with the first line it prints. */
async function start(code: string): Promise<{ child: ChildProcess; line: string }> {
  const child = spawn(process.execPath, ['-e', code], { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, line: line.toString().trim() };
}

test('names the process that listens, and never the client that is connected to it', async () => {
  const server = await start(serverCode);
  const port = Number(server.line);
  await start(clientCode(port));
  expect(await listenersOn(port)).toEqual([
    {
      port,
      pid: server.child.pid,
      user: userInfo().username,
      command: `${process.execPath} -e ${serverCode}`.slice(0, 300),
      cwd: realpathSync(tmpdir()),
    },
  ]);
});

test('a program that listens on IPv4 and IPv6 is one holder', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const second = createServer().listen({ port, host: '::1', ipv6Only: true });
  onTestFinished(() => {
    server.close();
    second.close();
  });
  await once(second, 'listening');
  expect((await listenersOn(port)).map((holder) => holder.pid)).toEqual([process.pid]);
});

test('nobody listens on a port that was given back', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  server.close();
  await once(server, 'close');
  expect(await listenersOn(port)).toEqual([]);
});

test('the kernel table is read by its columns; established and waiting sockets are not listeners', () => {
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0',
    '   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4243 1 0000000000000000 20 4 30 10 -1',
    '   2: 0100007F:1F90 0100007F:D433 06 00000000:00000000 03:00000A1B 00000000     0        0 0 3 0000000000000000',
    '',
  ].join('\n');
  expect(parseSocketTable(table)).toEqual([{ port: 8080, uid: 1000, inode: '4242' }]);
});

test('the output of lsof is read by its field letters', () => {
  expect(parseLsof(8080, 'p501\ncnode\nLdev\nf21\nf22\np77\ncnginx\nLroot\nf6\n')).toEqual([
    { port: 8080, pid: 501, user: 'dev', command: 'node', cwd: null },
    { port: 8080, pid: 77, user: 'root', command: 'nginx', cwd: null },
  ]);
});
