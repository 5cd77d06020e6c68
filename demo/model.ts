/**
 * The demo's model server as a process of its own, so that the daemon can be restarted and the demo left without cutting the agents off.
 * It ends by itself: it lives as long as the demo that started it, or a daemon or host of that home, and looks ten times a second.
 *
 * `node demo/model.ts --home DIR --conversations FILE --record FILE --log FILE --demo PID`
 */
import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { writeFileAtomically } from '../src/platform/atomic-file.ts';
import { type Home, homeAt } from '../src/platform/home.ts';
import { findOwnProcesses } from '../src/platform/own-processes.ts';
import { readProcessRecord } from '../src/platform/process-record.ts';
import { identify, isAlive, type ProcessIdentity } from '../src/platform/processes.ts';
import { openModelServer, readConversations } from '../test/peers/model-server.ts';

/** `muster down` leaves nothing running: this is how long "nothing" takes. */
const lookEveryMs = 100;

const text = { type: 'string', default: '' } as const;
const { values } = parseArgs({ options: { home: text, conversations: text, record: text, log: text, demo: text } });
const home = homeAt(values.home);
const demo = identify(Number(values.demo));

const server = await openModelServer({ conversations: readConversations(values.conversations), log: values.log });
const record = { ...identify(process.pid), url: server.url };
await writeFileAtomically(values.record, `${JSON.stringify(record)}\n`);

async function end(): Promise<void> {
  rmSync(values.record, { force: true });
  await server.close();
  process.exit(0);
}

async function isRecordedAlive(file: string): Promise<boolean> {
  const found = await readProcessRecord(file);
  return found.kind === 'found' && isAlive(found.record);
}

/** The records first, which costs nothing; only when they name nobody, the list of all processes: one may be just starting. */
async function isNeeded(by: ProcessIdentity | undefined, of: Home): Promise<boolean> {
  if (by && isAlive(by)) return true;
  if ((await isRecordedAlive(of.daemonFile)) || (await isRecordedAlive(of.hostFile))) return true;
  return (await findOwnProcesses(of)).length > 0;
}

let looking = false;
setInterval(() => {
  if (looking) return;
  looking = true;
  isNeeded(demo, home)
    .then((needed) => (needed ? undefined : end()))
    .catch((error: unknown) => {
      console.error('demo model:', error);
      process.exit(1);
    })
    .finally(() => {
      looking = false;
    });
}, lookEveryMs);
process.on('SIGTERM', () => void end());
