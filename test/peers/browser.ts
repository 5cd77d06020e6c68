/**
 * A headless Chromium for tests: playwright's driver with the executable of the npm package `@sparticuz/chromium`, which runs on a plain
 * Debian without anything else installed. Where it can't start, the reason is thrown as one clear sentence.
 */
import chromiumPackage from '@sparticuz/chromium';
import { type Browser, chromium } from 'playwright-core';

/** No traffic of its own, no sandbox (tests run as root in containers), nothing that needs a GPU. */
const args = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The first start unpacks 170 MB; a machine that needs longer has another problem. */
const startLimitMs = 60_000;

export async function startBrowser(): Promise<Browser> {
  chromiumPackage.setGraphicsMode = false;
  try {
    const executablePath = await chromiumPackage.executablePath();
    return await chromium.launch({ executablePath, args, headless: true, timeout: startLimitMs });
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new Error(`Chromium could not be started here, so the browser tests can't run: ${reason}`, { cause: error });
  }
}
