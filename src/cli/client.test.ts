import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { type CapturedCli, capturedCli, goneIdentity, writeProcessRecord } from '../../test/peers/captured-cli.ts';
import type { Fault } from '../base/fault.ts';
import { connect } from './client.ts';
import { run } from './run.ts';
import { sendText } from './session.ts';

function open(): CapturedCli {
  const cli = capturedCli();
  onTestFinished(cli.remove);
  return cli;
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

const answerWith =
  (status: number, body: unknown): RequestListener =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };

test('a request carries the token, the filled path, the query without gaps, and the body', async () => {
  const cli = open();
  const seen: unknown[] = [];
  const url = await serve((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      seen.push([request.method, request.url, request.headers.authorization, body]);
      response.end(JSON.stringify(request.method === 'GET' ? { events: [], next: null } : { ok: true, extra: 1 }));
    });
  });
  writeProcessRecord(cli.home.daemonFile, { url });
  const client = await connect(cli.home);
  const page = await client.call('jobEvents', { params: { id: 'j1/..' }, query: { after: 0, limit: undefined } });
  const stopped = await client.call('stopDaemon', { body: { sessions: 'keep' } });
  expect(page).toEqual({ events: [], next: null });
  expect(stopped).toEqual({ ok: true, extra: 1 });
  expect(seen).toEqual([
    ['GET', '/api/jobs/j1%2F../events?after=0', 'Bearer abc123', ''],
    ['POST', '/api/daemon/stop', 'Bearer abc123', '{"sessions":"keep"}'],
  ]);
});

test("the daemon's own fault comes through with its code, hint and subject", async () => {
  const cli = open();
  const error = { code: 'NOT_FOUND', message: 'No job j9', hint: 'See: muster job list', subject: 'j9' };
  writeProcessRecord(cli.home.daemonFile, { url: await serve(answerWith(404, { error })) });
  await expect((await connect(cli.home)).call('showJob', { params: { id: 'j9' } })).rejects.toMatchObject(error);
});

test('a code that this version does not know is shown as it came, as ours to mend', async () => {
  const cli = open();
  const error = { code: 'BRAND_NEW', message: 'something' };
  writeProcessRecord(cli.home.daemonFile, { url: await serve(answerWith(409, { error })) });
  await expect((await connect(cli.home)).call('status')).rejects.toMatchObject({
    code: 'INTERNAL',
    message: 'BRAND_NEW: something',
  });
});

test('no daemon, a stale record, a record that is no record: DAEMON_DOWN, each told apart', async () => {
  const cli = open();
  await expect(connect(cli.home)).rejects.toMatchObject({
    code: 'DAEMON_DOWN',
    message: `No daemon runs for ${cli.home.dir}`,
  });

  const url = await serve(() => {});
  writeProcessRecord(cli.home.daemonFile, { identity: goneIdentity(), url: url.replace(/:\d+$/, ':1') });
  const stale = await connect(cli.home);
  await expect(stale.call('status')).rejects.toMatchObject({
    code: 'DAEMON_DOWN',
    message: `The daemon (pid ${process.pid}) is gone; its record was left behind`,
  });

  writeProcessRecord(cli.home.daemonFile, {});
  await expect(connect(cli.home)).rejects.toMatchObject({
    code: 'DAEMON_DOWN',
    message: `Can't tell where the daemon is: ${cli.home.daemonFile} names no address`,
  });
});

test('another program on the port of a daemon that is gone is not taken for it', async () => {
  const cli = open();
  const url = await serve(answerWith(401, { error: { code: 'UNAUTHORIZED', message: 'no' } }));
  writeProcessRecord(cli.home.daemonFile, { identity: goneIdentity(), url });
  await expect((await connect(cli.home)).call('status')).rejects.toMatchObject({
    code: 'DAEMON_DOWN',
    message: `The daemon is gone and something else answers at ${url}`,
  });
});

test('a daemon that lives and does not answer is a time-out, not an absence', async () => {
  const cli = open();
  const url = await serve(() => {});
  writeProcessRecord(cli.home.daemonFile, { url });
  await expect((await connect(cli.home)).call('status', { timeoutMs: 50 })).rejects.toMatchObject({
    code: 'TIMED_OUT',
    message: `The daemon (pid ${process.pid}) did not answer GET /api/status within 50 ms`,
  });
});

test('what changes something and got no answer may have been done: only a refused connection says that nothing was', async () => {
  const cli = open();
  const url = await serve((request) => request.socket.destroy());
  writeProcessRecord(cli.home.daemonFile, { url });
  const client = await connect(cli.home);
  await expect(client.call('status')).rejects.toMatchObject({ code: 'DAEMON_DOWN' });
  await expect(client.call('cancelJob', { params: { id: 'j1' }, body: {} })).rejects.toMatchObject({
    code: 'ANSWER_LOST',
    hint: 'Whether it was done is unknown. Look whether it was before you ask again.',
  });
  writeProcessRecord(cli.home.daemonFile, { url: 'http://127.0.0.1:1' });
  await expect((await connect(cli.home)).call('cancelJob', { params: { id: 'j1' }, body: {} })).rejects.toMatchObject({
    code: 'DAEMON_DOWN',
  });
});

test('a text and a job are asked for under an id of their own, and a lost answer says how to ask again under it', async () => {
  const cli = open();
  const bodies: Record<string, unknown>[] = [];
  const url = await serve((request) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      bodies.push(JSON.parse(body) as Record<string, unknown>);
      request.socket.destroy();
    });
  });
  writeProcessRecord(cli.home.daemonFile, { url });
  const ends = await Promise.allSettled([
    sendText(cli, { id: 's-1', text: 'go on' }),
    run(cli, 'do something', { project: cli.home.dir }),
  ]);
  const send = bodies.find((body) => 'inputId' in body)?.inputId;
  const key = bodies.find((body) => 'idempotencyKey' in body)?.idempotencyKey;
  expect([send, key]).toEqual([expect.stringMatching(/^send-\w{16}$/), expect.stringMatching(/^cli-\w{16}$/)]);
  expect(ends.map((end) => (end.status === 'rejected' ? (end.reason as Fault).hint : end.value))).toEqual([
    `Whether it was done is unknown. The same command with --input-id ${String(send)} types nothing a second time.`,
    `Whether it was done is unknown. The same command with --key ${String(key)} makes no second job.`,
  ]);
});

test('an answer of another form, by a daemon of another version, names the field', async () => {
  const cli = open();
  const url = await serve(answerWith(200, { sessions: [{ id: 7 }] }));
  writeProcessRecord(cli.home.daemonFile, { url, version: '0.0.9' });
  await expect((await connect(cli.home)).call('listSessions')).rejects.toMatchObject({
    code: 'INTERNAL',
    message: expect.stringContaining('in an unexpected form at sessions.0.'),
  });
});
