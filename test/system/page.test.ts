/** The page served by the real daemon, in a real browser, with a scripted agent behind a real permission. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { startBrowser } from '../peers/browser.ts';
import { openStage, type Stage } from './stage.ts';

let stage: Stage;
let browser: Browser;
beforeAll(async () => {
  stage = openStage();
  await stage.up();
  browser = await startBrowser();
}, 90_000);
afterAll(async () => {
  await browser?.close();
  await stage.close();
});

/** Set to a folder to get the screenshots. */
const screenshots = process.env.MUSTER_TEST_SCREENSHOTS;

test('a job from its permission on the wall to its outcome; then the daemon is killed and comes back', async () => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  const shoot = async (name: string): Promise<void> => {
    if (screenshots === undefined) return;
    mkdirSync(screenshots, { recursive: true });
    await page.screenshot({ path: join(screenshots, `${name}.png`) });
  };
  const badge = (state: string) => page.locator(`[data-testid=badge][data-state=${state}]`);
  const { url } = await stage.client().call('loginCode', { body: {} });
  await page.goto(url);
  const job = await stage.submit(
    'Ask before you write please\n@say a line to be seen\n@ask echo yes > a.txt\n@wait 4000',
    {
      verify: 'grep yes a.txt',
    },
  );
  const tile = page.getByTestId('tile').filter({ has: badge('permission') });
  await tile.locator('.xterm-rows').filter({ hasText: 'Do you want to proceed?' }).waitFor();
  await shoot('permission');
  await tile.getByRole('button', { name: 'Allow Bash' }).click();
  await page
    .getByTestId('tile')
    .filter({ has: badge('working') })
    .waitFor();

  await stage.kill();
  await page.getByTestId('connection').or(page.getByTestId('banner')).first().waitFor();
  await page
    .getByTestId('tile')
    .filter({ has: badge('unknown') })
    .first()
    .waitFor();
  await shoot('lost');
  // The daemon comes back on another port: the page can't follow, a person opens the new link.
  await stage.up();
  const again = await stage.client().call('loginCode', { body: {} });
  await page.goto(again.url);
  expect(await stage.ended(job.id)).toMatchObject({ state: 'done', outcome: { verification: { exitCode: 0 } } });
  await page.goto(`${new URL(again.url).origin}/jobs/${job.id}`);
  await page.getByTestId('outcome').filter({ hasText: 'a.txt' }).waitFor();
  await shoot('job');
  expect(problems).toEqual([]);
  await context.close();
}, 60_000);

describe('who may speak to it', () => {
  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${stage.client().url}${path}`, { headers, redirect: 'manual' });
  const bearer = (): Record<string, string> => ({ authorization: `Bearer ${stage.client().token}` });

  test('nobody without the token, and a code works once', async () => {
    expect((await get('/api/status')).status).toBe(401);
    expect((await get('/api/status', { authorization: 'Bearer wrong' })).status).toBe(401);
    for (const path of ['/%61pi/status', '//api/status', '/api/./status', '/API/status', '/api%2fstatus'])
      expect([
        path,
        (await get(path)).status === 200 && (await get(path)).headers.get('content-type')?.includes('json'),
      ]).toEqual([path, false]);
    expect((await get('/api/status', bearer())).status).toBe(200);
    const { url } = await stage.client().call('loginCode', { body: {} });
    const first = await fetch(url, { redirect: 'manual' });
    const cookie = first.headers.get('set-cookie') ?? '';
    expect([first.status, cookie.includes('HttpOnly'), cookie.includes('SameSite=Strict')]).toEqual([303, true, true]);
    expect((await fetch(url, { redirect: 'manual' })).status).toBe(401);
    expect((await get('/api/status', { cookie: cookie.split(';')[0] ?? '' })).status).toBe(200);
  });

  test('no page of another site, and no name that only resolves to this machine', async () => {
    expect((await get('/api/status', { ...bearer(), origin: 'http://evil.example' })).status).toBe(403);
    const { port } = new URL(stage.client().url);
    const answer = await new Promise<number>((resolve, reject) => {
      import('node:http')
        .then(({ request }) =>
          request(
            { host: '127.0.0.1', port, path: '/api/status', headers: { ...bearer(), host: `evil.example:${port}` } },
            (reply) => resolve(reply.statusCode ?? 0),
          )
            .on('error', reject)
            .end(),
        )
        .catch(reject);
    });
    expect(answer).toBe(403);
    const refused = await new Promise<string>((resolve) => {
      const socket = new WebSocket(`${stage.client().url.replace('http', 'ws')}/api/feed`, {
        headers: { ...bearer(), origin: 'http://evil.example' },
      });
      socket.on('error', (error) => resolve(error.message));
      socket.on('open', () => resolve('open'));
    });
    expect(refused).toContain('403');
  });

  test('a request of a wrong form is told which field, and an address that is none is told so', async () => {
    const wrong = await fetch(`${stage.client().url}/api/jobs`, {
      method: 'POST',
      headers: { ...bearer(), 'content-type': 'application/json' },
      body: JSON.stringify({ text: 'x', projectPath: '/', veriffy: 'y' }),
    });
    expect([wrong.status, ((await wrong.json()) as { error: { code: string } }).error.code]).toEqual([
      400,
      'BAD_REQUEST',
    ]);
    const nowhere = await get('/api/nowhere', bearer());
    expect([nowhere.status, ((await nowhere.json()) as { error: { code: string } }).error.code]).toEqual([
      404,
      'ROUTE_UNKNOWN',
    ]);
    expect((await get('/../../etc/passwd.txt', bearer())).status).toBe(404);
  });
});
