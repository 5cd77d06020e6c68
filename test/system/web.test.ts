/**
 * The web page in a real browser against the scripted daemon of `test/peers/web-api.ts`: what it shows, what it sends, and that neither the
 * text of agents nor a lost connection can make it do or show something that is not so. After each test the browser's console is empty of
 * errors (a broken policy, an exception), and nothing that the page opened is left.
 */
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { TerminalFromClient } from '../../src/protocol/feed.ts';
import { startBrowser } from '../peers/browser.ts';
import { openWebPeer, type WebPeer, type WebPeerOptions } from '../peers/web-api.ts';
import { aDoneJob, agentScreen, aJob, aSession, workLines } from '../peers/web-world.ts';

const soon = { timeout: 10_000, interval: 20 };
/** The browser itself reports requests that found nobody; tests that take the daemon away expect them. */
const expectedErrors =
  /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|status of 401|WebSocket connection/;

let browser: Browser;
let context: BrowserContext;
let page: Page;
let peer: WebPeer;
let problems: string[];

beforeAll(async () => {
  browser = await startBrowser();
}, 90_000);
afterAll(async () => {
  await browser?.close();
});
beforeEach(() => {
  problems = [];
});
afterEach(async () => {
  await context.close();
  await vi.waitFor(() => expect([peer.feedReaders(), peer.terminals.readers()]).toEqual([0, 0]), soon);
  await peer.close();
  expect(problems).toEqual([]);
});

async function open(path: string, options: WebPeerOptions = {}, size = { width: 1280, height: 900 }): Promise<void> {
  peer = await openWebPeer(options);
  context = await browser.newContext({ viewport: size, permissions: ['clipboard-read', 'clipboard-write'] });
  page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('dialog', (dialog) => {
    problems.push(`a dialog opened: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('console', (message) => {
    if (message.type() === 'error' && !expectedErrors.test(message.text())) problems.push(message.text());
  });
  await page.goto(peer.origin + path);
}

const tile = (id: string) => page.locator(`[data-testid=tile][data-session="${id}"]`);
const badge = (id: string) => tile(id).getByTestId('badge');
const rows = (scope = page.locator('main')) => scope.locator('.xterm-rows');
const has = (text: string, scope = page.locator('main')) => rows(scope).filter({ hasText: text }).first().waitFor();
/** What readers have sent, without sizes. */
const inputs = (): TerminalFromClient[] =>
  peer.terminals.received.map(({ message }) => message).filter(({ type }) => type === 'input');
const path = () => new URL(page.url()).pathname;

const permission = { id: 'ask-1', tool: 'Bash', summary: 'git push origin HEAD' };
const waiting = aSession({ id: 's-waits', state: 'permission', reason: 'hook PermissionRequest', permission });

test('a tile shows what its session prints, as it prints it, and acknowledges what it has drawn', async () => {
  await open('/', { sessions: [aSession({ id: 's-1' })] });
  await tile('s-1').locator('[data-testid=terminal][data-state=live]').waitFor();
  const screen = agentScreen({ title: 'Parse dates', cols: 110, rows: 34, lines: workLines });
  const more = '\u001b[20;1Hall 14 tests pass now';
  peer.terminals.print('s-1', screen);
  await has('Parse dates', tile('s-1'));
  peer.terminals.print('s-1', more);
  await has('all 14 tests pass now', tile('s-1'));
  await vi.waitFor(() => expect(peer.terminals.acknowledged('s-1')).toBe(Buffer.byteLength(screen + more)), soon);
});

test('a state that changes is shown with its evidence', async () => {
  await open('/', { sessions: [aSession({ id: 's-1' })] });
  await badge('s-1').filter({ hasText: 'working' }).waitFor();
  peer.setSession(aSession({ id: 's-1', state: 'stalled', source: 'screen', reason: 'nothing heard for 90 s' }));
  await badge('s-1').filter({ hasText: 'stalled' }).waitFor();
  expect(await tile('s-1').getByTestId('evidence').innerText()).toBe('screen nothing heard for 90 s');
});

test('a terminal whose own connection breaks says that it is not live, and comes back by itself', async () => {
  await open('/', { sessions: [aSession({ id: 's-1' })] });
  await tile('s-1').locator('[data-testid=terminal][data-state=live]').waitFor();
  peer.terminals.refuse('s-1', true);
  await tile('s-1').getByText('not live').waitFor();
  peer.terminals.print('s-1', 'printed meanwhile');
  peer.terminals.refuse('s-1', false);
  await has('printed meanwhile', tile('s-1'));
  await tile('s-1').getByText('not live').waitFor({ state: 'detached' });
});

test('who needs a person stands first, and a permission is answered from its tile, naming the ask', async () => {
  await open('/', { sessions: [aSession({ id: 's-1' }), waiting] });
  const ids = () =>
    page
      .getByTestId('tile')
      .evaluateAll((tiles) =>
        tiles.map((each) => (each as unknown as { dataset: { session: string } }).dataset.session),
      );
  await tile('s-waits').waitFor();
  expect(await ids()).toEqual(['s-waits', 's-1']);
  expect(await tile('s-waits').getByTestId('permission').innerText()).toContain('git push origin HEAD');
  await tile('s-waits').getByRole('button', { name: 'Allow Bash' }).click();
  await badge('s-waits').filter({ hasText: 'working' }).waitFor();
  expect(peer.seen.requests.filter(({ route }) => route === 'answerSession')).toEqual([
    { route: 'answerSession', id: 's-waits', body: { decision: 'allow', permissionId: 'ask-1' } },
  ]);
  await tile('s-waits').getByTestId('permission').waitFor({ state: 'detached' });
});

test('an answer to what is asked no more is shown as refused, with the reason', async () => {
  await open('/', { sessions: [waiting] });
  await tile('s-waits').waitFor();
  peer.world.sessions.set('s-waits', { ...waiting, permission: { ...permission, id: 'ask-2' } });
  await tile('s-waits').getByRole('button', { name: 'Deny Bash' }).click();
  expect(await tile('s-waits').getByTestId('notice').innerText()).toBe(
    'refused: nothing with this id is asked any more',
  );
});

test('when the daemon is gone every state is unknown and dated, and when it is back no event is missing', async () => {
  const job = aJob({ id: 'j1', sessionId: 's-waits' });
  await open('/', { sessions: [aSession({ id: 's-1' }), waiting], jobs: [job] });
  await badge('s-1').filter({ hasText: 'working' }).waitFor();
  peer.addEvent({ type: 'job.submitted', jobId: 'j1' });
  await peer.goAway();
  await page.getByTestId('banner').waitFor();
  expect(await page.getByTestId('banner').innerText()).toMatch(
    /Connection lost, showing what was true at \d\d:\d\d:\d\d\./,
  );
  const states = await page
    .getByTestId('badge')
    .evaluateAll((all) => all.map((each) => each.getAttribute('data-state')));
  expect(states).toEqual(['unknown', 'unknown']);
  expect(await tile('s-waits').getByRole('button', { name: 'Allow Bash' }).isDisabled()).toBe(true);
  peer.addEvent({ type: 'job.claimed', jobId: 'j1' });
  peer.addEvent({ type: 'prompt.accepted', jobId: 'j1' });
  await peer.comeBack();
  await badge('s-1')
    .filter({ hasText: /^.?working$/s })
    .waitFor();
  await page.getByTestId('banner').waitFor({ state: 'detached' });
  peer.terminals.print('s-1', 'and on it goes');
  await has('and on it goes', tile('s-1'));
  await tile('s-waits').getByRole('link', { name: 'j1' }).click();
  const types = () =>
    page.locator('[data-testid=timeline] li').evaluateAll((all) => all.map((each) => each.getAttribute('data-type')));
  await vi.waitFor(
    async () => expect(await types()).toEqual(['job.submitted', 'job.claimed', 'prompt.accepted']),
    soon,
  );
});

test('text from outside is text: no markup, no reversed reading, no clipboard, no answer, no link', async () => {
  const nasty = '<img src=x onerror="document.title=1"><b>bold</b> \u202egnp.exe\u202c \u001b[31m';
  const session = aSession({
    id: 's-1',
    title: nasty,
    reason: nasty,
    persona: nasty,
    state: 'permission',
    permission: { id: 'p', tool: nasty, summary: nasty },
  });
  await open('/', { sessions: [session], jobs: [aJob({ id: 'j1', text: nasty, sessionId: 's-1' })] });
  await tile('s-1').waitFor();
  await page.evaluate(() => navigator.clipboard.writeText('mine'));
  expect(await tile('s-1').locator('img, b').count()).toBe(0);
  expect(await tile('s-1').innerText()).not.toMatch(/[\u202e\u202c\u001b]/);
  expect(await tile('s-1').getByTestId('permission').innerText()).toContain('contains hidden characters');
  await page.goto(`${peer.origin}/sessions/s-1`);
  await page.getByTestId('control-switch').click();
  await page.locator('[data-testid=terminal][data-mode=control][data-state=live]').waitFor();
  const queries =
    '\u001b[c\u001b[>c\u001b[6n\u001b[5n\u001b[?6n\u001b[?2026$p\u001b[>q\u001b[?u\u001b[18t\u001b]10;?\u0007\u001b]4;1;?\u0007\u001bP$qm\u001b\\\u001b]7501;?\u0007\u001b[?1003;1006h\u001b[?1004h';
  const clipboard = `\u001b]52;c;${Buffer.from('evil').toString('base64')}\u0007`;
  const link = '\u001b]8;;http://127.0.0.1:1/\u001b\\click here\u001b]8;;\u001b\\';
  peer.terminals.print('s-1', `${queries}${clipboard}${link} \u001b]0;new title\u0007nothing happened`);
  await has('nothing happened');
  await page.getByText('click here').first().click({ force: true });
  await page.mouse.move(300, 500);
  await page.locator('.xterm-helper-textarea').blur();
  await page.locator('.xterm-helper-textarea').focus();
  await page.keyboard.type('y');
  await vi.waitFor(() => expect(inputs()).toEqual([{ type: 'input', data: 'y' }]), soon);
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('mine');
  expect(path()).toBe('/sessions/s-1');
  expect(await page.title()).toMatch(/s-1 · Muster$/);
});

test('viewing sends nothing; control sends keys, pastes and the size, until Ctrl+] gives the keyboard back', async () => {
  await open('/sessions/s-1', { sessions: [aSession({ id: 's-1' })] });
  await page.locator('[data-testid=terminal][data-state=live]').waitFor();
  await page.getByTestId('terminal').click();
  await page.keyboard.type('xyz');
  await page.getByTestId('control-switch').click();
  await page.locator('[data-testid=terminal][data-mode=control][data-state=live]').waitFor();
  await vi.waitFor(() => expect(peer.terminals.received.map(({ message }) => message.type)).toEqual(['resize']), soon);
  await page.keyboard.type('ls');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Escape');
  await page.keyboard.press('ArrowUp');
  const typed = () =>
    inputs()
      .flatMap((message) => (message.type === 'input' ? [message.data] : []))
      .join('');
  const all = 'ls\r\u001b\u001b[A\u001b[200~two\rlines\u001b[201~';
  peer.terminals.print('s-1', '\u001b[?2004hready for a paste');
  await has('ready for a paste');
  await page.locator('.xterm-helper-textarea').evaluate((field) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', 'two\nlines');
    field.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }));
  });
  await vi.waitFor(() => expect(typed()).toBe(all), soon);
  await page.keyboard.press('Control+]');
  await page.locator('[data-testid=terminal][data-mode=view][data-state=live]').waitFor();
  await page.keyboard.type('q');
  await page.keyboard.press('Escape');
  await page.getByTestId('wall').waitFor();
  expect(typed()).toBe(all);
  expect(new Set(peer.terminals.received.map(({ mode }) => mode))).toEqual(new Set(['control']));
});

test('a text that is sent shows its receipt as it is: accepted, refused or unknown', async () => {
  await open('/sessions/s-1', { sessions: [aSession({ id: 's-1' })] });
  const send = async (text: string): Promise<string> => {
    await page.getByLabel('Send text').fill(text);
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByRole('button', { name: 'Send' }).waitFor();
    return page.locator('form').getByTestId('notice').innerText();
  };
  expect(await send('go on')).toBe('accepted (hook: hook UserPromptSubmit)');
  expect(await page.getByLabel('Send text').inputValue()).toBe('');
  peer.world.receipt = { kind: 'refused', at: 1, reason: 'a turn is running' };
  expect(await send('and more')).toBe('refused: a turn is running');
  expect(await page.getByLabel('Send text').inputValue()).toBe('and more');
  peer.world.receipt = { kind: 'unknown', at: 1, tried: 'typed once, no proof within 20 s' };
  expect(await send('and then')).toBe('unknown: typed once, no proof within 20 s');
});

test('stopping asks first; an ended session stands apart with its exit and its last screen', async () => {
  await open('/sessions/s-1', { sessions: [aSession({ id: 's-1' }), aSession({ id: 's-2' })] });
  peer.terminals.print('s-1', 'the last words');
  await page.getByRole('button', { name: 'Stop…' }).click();
  await page.getByRole('button', { name: 'Keep it' }).click();
  expect(peer.seen.requests.filter(({ route }) => route === 'stopSession')).toEqual([]);
  await page.getByRole('button', { name: 'Stop…' }).click();
  await page.getByRole('button', { name: 'Stop it' }).click();
  await page.getByTestId('badge').filter({ hasText: 'exited' }).waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('f');
  await has('the last words', tile('s-1'));
  expect(await tile('s-1').getByTestId('exit').innerText()).toMatch(/^ended with code 0 at \d\d:\d\d:\d\d$/);
  expect(await page.getByTestId('fleet-summary').innerText()).toBe('2 sessions: 0 waiting for you, 1 running, 1 ended');
});

test('the keyboard alone leads through the page', async () => {
  const sessions = ['s-1', 's-2', 's-3'].map((id, index) => aSession({ id, startedAt: index }));
  await open('/', { sessions: [...sessions, waiting], jobs: [aJob({ id: 'j1' })] });
  await tile('s-waits').waitFor();
  // Keys are heard a moment after the tiles are drawn.
  const focused = () =>
    page.evaluate(() => document.activeElement?.closest('[data-session]')?.getAttribute('data-session') ?? null);
  await vi.waitFor(async () => {
    if ((await focused()) === null) await page.keyboard.press('j');
    expect(await focused()).toBe('s-waits');
  });
  await page.keyboard.press('A');
  await badge('s-waits').filter({ hasText: 'working' }).waitFor();
  await page.keyboard.press('?');
  await page.getByTestId('help').getByText('go to the jobs').waitFor();
  await page.keyboard.press('Escape');
  await page.getByTestId('help').waitFor({ state: 'detached' });
  await page.evaluate(() => (document.activeElement as unknown as { blur: () => void }).blur());
  await page.keyboard.press('j');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  await page.keyboard.press('Enter');
  await page.getByTestId('session-page').waitFor();
  expect(path()).toBe('/sessions/s-2');
  await page.keyboard.press('Escape');
  await page.getByTestId('wall').waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('j');
  await page.getByTestId('jobs').waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.getByTestId('job-page').waitFor();
  await page.keyboard.press('Escape');
  await page.getByTestId('jobs').waitFor();
  expect(path()).toBe('/jobs');
});

test('the jobs add up, are filtered and paged, and a job shows the evidence of its outcome', async () => {
  const done = Array.from({ length: 60 }, (_, index) => aDoneJob({ id: `j${index + 1}` }));
  await open('/jobs', {
    jobs: [...done, aJob({ id: 'j61' }), aJob({ id: 'j62', state: 'queued', phase: null, attempts: 0 })],
  });
  const ids = () => page.getByTestId('job-row').evaluateAll((all) => all.map((each) => each.getAttribute('data-job')));
  await page.getByTestId('older').waitFor();
  expect((await page.getByTestId('totals').innerText()).replace(/\s+/g, ' ')).toBe(
    '62 jobs = 1 queued 1 running 60 done 0 failed 0 unknown 0 cancelled',
  );
  expect((await ids()).slice(0, 3)).toEqual(['j62', 'j61', 'j60']);
  await page.getByTestId('older').click();
  await vi.waitFor(async () => expect((await ids()).length).toBe(12), soon);
  await page.getByTestId('totals').getByText('failed').click();
  await page.getByTestId('empty').getByText('No job is failed').waitFor();
  await page.goto(`${peer.origin}/jobs/j7`);
  const outcome = await page.getByTestId('outcome').innerText();
  for (const proof of [
    'b7e0c1d2f3a4958677869504a3b2c1d0e9f8a7b6',
    'src/parse/date.ts',
    'ended with code 0',
    '112 passed',
  ]) {
    expect(outcome).toContain(proof);
  }
});

test('cancelling a job asks first; a failed one can be tried again', async () => {
  const failed = aJob({
    id: 'j2',
    state: 'failed',
    phase: 'settled',
    endedAt: 1,
    outcome: { kind: 'failed', reason: 'NO_CHANGES', detail: 'nothing was changed', commit: null, verification: null },
  });
  await open('/jobs/j1', { jobs: [aJob({ id: 'j1' }), failed] });
  await page.getByRole('button', { name: 'Cancel…' }).click();
  await page.getByRole('button', { name: 'Cancel the job' }).click();
  await page.getByRole('button', { name: 'Cancel requested' }).waitFor();
  await page.goto(`${peer.origin}/jobs/j2`);
  await page.getByRole('button', { name: 'Retry' }).click();
  await page.getByTestId('badge').filter({ hasText: 'queued' }).waitFor();
  const changes = peer.seen.requests.filter(({ route }) => route === 'cancelJob' || route === 'retryJob');
  expect(changes.map(({ route, id }) => [route, id])).toEqual([
    ['cancelJob', 'j1'],
    ['retryJob', 'j2'],
  ]);
});

test('a page without a valid cookie says how to log in, and nothing else', async () => {
  await open('/', { sessions: [aSession({ id: 's-1' })], cookie: 'muster=right' });
  await page.getByTestId('logged-out').getByText('muster open').waitFor();
  expect(await page.getByTestId('tile').count()).toBe(0);
  await context.addCookies([{ name: 'muster', value: 'right', url: peer.origin }]);
  await tile('s-1').waitFor();
});

test('an empty fleet and an empty list of jobs tell the command that fills them', async () => {
  await open('/');
  await page.getByTestId('empty').getByText('muster run').waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('j');
  await page.getByTestId('empty').getByText('No jobs yet').waitFor();
});

test('sixty sessions are on the wall at once, with terminals only where somebody can see them', async () => {
  const sessions = Array.from({ length: 60 }, (_, index) =>
    aSession({ id: `s-${index}`, startedAt: index, title: `Task ${index}` }),
  );
  await open('/', { sessions });
  await vi.waitFor(async () => expect(await page.getByTestId('tile').count()).toBe(60), soon);
  await vi.waitFor(() => expect(peer.terminals.readers('s-0')).toBe(1), soon);
  expect(peer.terminals.readers('s-59')).toBe(0);
  expect(peer.terminals.readers()).toBeLessThan(20);
  await tile('s-59').scrollIntoViewIfNeeded();
  peer.terminals.print('s-59', 'here I am');
  await has('here I am', tile('s-59'));
  await vi.waitFor(() => expect(peer.terminals.readers('s-0')).toBe(0), soon);
});

test('a flood is taken in windows, the page stays usable, and the screen ends as the session’s', async () => {
  await open('/sessions/s-1', { sessions: [aSession({ id: 's-1' })] });
  await page.locator('[data-testid=terminal][data-state=live]').waitFor();
  for (let round = 0; round < 300; round += 1) peer.terminals.print('s-1', `${'flood '.repeat(3_000)}\r\n`);
  await page.getByRole('button', { name: 'Stop…' }).click();
  await page.getByRole('button', { name: 'Keep it' }).click();
  peer.terminals.print('s-1', '\u001b[2J\u001b[Hafter the flood');
  await has('after the flood');
  expect(peer.terminals.mostUnacknowledged()).toBeLessThan(300 * 1024);
});

test('on a phone everything fits its width', async () => {
  const jobs = [aDoneJob({ id: 'j1' }), aJob({ id: 'j2', sessionId: 's-waits' })];
  await open('/', { sessions: [aSession({ id: 's-1' }), waiting], jobs }, { width: 360, height: 740 });
  await tile('s-1').waitFor();
  const overflow = () =>
    page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const found: Record<string, number> = { '/': await overflow() };
  for (const [address, mark] of [
    ['/sessions/s-waits', 'story'],
    ['/jobs', 'jobs'],
    ['/jobs/j1', 'timeline'],
  ] as const) {
    await page.goto(peer.origin + address);
    await page.getByTestId(mark).or(page.getByText('No change of state yet')).waitFor({ state: 'attached' });
    found[address] = await overflow();
  }
  expect(found).toEqual({ '/': 0, '/sessions/s-waits': 0, '/jobs': 0, '/jobs/j1': 0 });
});

test('the colours that somebody chose are there again on the next visit', async () => {
  await open('/');
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  await page.getByRole('button', { name: 'Colours: system. Change' }).click();
  await page.getByRole('button', { name: 'Colours: light. Change' }).click();
  await page.reload();
  await page.getByRole('button', { name: 'Colours: dark. Change' }).waitFor();
  expect(await theme()).toBe('dark');
});
