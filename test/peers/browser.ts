/**
 * A headless Chromium for tests: playwright's driver with the executable of the npm package `@sparticuz/chromium`, which runs on a plain
 * Debian without anything else installed. Where it can't start, the reason is thrown as one clear sentence.
 *
 * The package's own unpacking writes to one name in the shared temporary folder and takes whatever it finds there, half-written by another
 * test or put there by another user. So it is unpacked here: beside the packages, under a name of this process, renamed when it is whole.
 */
import { createReadStream, createWriteStream, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createBrotliDecompress } from 'node:zlib';
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

/** A machine that needs longer has another problem. */
const startLimitMs = 60_000;

export async function startBrowser(): Promise<Browser> {
  try {
    return await chromium.launch({
      executablePath: await unpackChromium(),
      args,
      headless: true,
      timeout: startLimitMs,
    });
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new Error(`Chromium could not be started here, so the browser tests can't run: ${reason}`, { cause: error });
  }
}

/** Path of the executable; about two seconds the first time, nothing after that. */
async function unpackChromium(): Promise<string> {
  const root = fileURLToPath(new URL('..', import.meta.resolve('@sparticuz/chromium')));
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const folder = fileURLToPath(new URL('../../node_modules/.cache/muster/', import.meta.url));
  const whole = join(folder, `chromium-${version}`);
  if (existsSync(whole)) return whole;
  mkdirSync(folder, { recursive: true });
  const part = `${whole}.${process.pid}`;
  const packed = createReadStream(join(root, 'bin/chromium.br'));
  await pipeline(packed, createBrotliDecompress(), createWriteStream(part, { mode: 0o755 }));
  renameSync(part, whole);
  return whole;
}
