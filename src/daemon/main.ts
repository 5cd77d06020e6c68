/**
 * The daemon's process: `node src/daemon/main.ts --home DIR [--port N]`. SIGTERM and SIGINT stop it and leave sessions running, because
 * whoever signals may only want to replace it; ending sessions is asked for by name (`muster down`).
 * A start that fails leaves its fault in `run/daemon-error.json`, for whoever asked for the start.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { toFault } from '../base/fault.ts';
import { homeAt } from '../platform/home.ts';
import { startDaemon } from './daemon.ts';

const { values } = parseArgs({ options: { home: { type: 'string' }, port: { type: 'string' } } });
if (!values.home) throw new Error('--home is needed');
const home = homeAt(values.home);
const errorFile = join(home.run, 'daemon-error.json');
const log = pino(
  { base: null, timestamp: pino.stdTimeFunctions.isoTime, redact: ['token', '*.token', 'env', '*.env'] },
  pino.destination({ dest: 1, sync: true }),
);

process.on('unhandledRejection', (error) => log.error({ error }, 'a rejection that nobody handled'));
process.on('uncaughtException', (error) => {
  log.fatal({ error }, 'a defect: the daemon ends; sessions go on and are taken up by the next one');
  process.exit(5);
});
process.on('SIGHUP', () => undefined);

try {
  rmSync(errorFile, { force: true });
  const daemon = await startDaemon({
    home,
    port: values.port === undefined ? undefined : Number(values.port),
    env: process.env,
    log,
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void daemon.stop('keep'));
  // Node would write it only at a clean end; the next start, after a kill as well, is to profit.
  flushCompileCache();
  await daemon.stopped;
  process.exit(0);
} catch (error) {
  const fault = toFault(error);
  log.error({ code: fault.code, error }, fault.message);
  mkdirSync(home.run, { recursive: true, mode: 0o700 });
  writeFileSync(
    errorFile,
    JSON.stringify({
      error: { code: fault.code, message: fault.message, ...(fault.hint ? { hint: fault.hint } : {}) },
      at: Date.now(),
    }),
    { mode: 0o600 },
  );
  process.exit(fault.exit);
}
