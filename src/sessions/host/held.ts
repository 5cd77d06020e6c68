/**
 * The marks of the sessions that the host holds, one small file each in `run/held`, written before the program is started and removed when
 * nothing of the session is left. What lies there when a host starts belonged to one that was killed: its programs got a hang-up, but what
 * ignores that, or left its terminal, lives on without anybody who would end it.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import type { Home } from '../../platform/home.ts';
import { sweep } from '../../platform/processes.ts';

export interface Held {
  /** Throws on a full disk. */
  readonly note: (sessionId: string, instance: string) => void;
  readonly drop: (sessionId: string) => void;
  /** Ends what earlier hosts of this home have left; `kept`: sessions that are ours. */
  readonly endOthers: (kept: ReadonlySet<string>) => Promise<void>;
  /** Leaves nothing behind but marks of what would not end. */
  readonly close: () => void;
}

/** A mark as short as this could be anything. */
const markCharactersMin = 8;

export function openHeld(home: Home, log: Log): Held {
  const dir = join(home.run, 'held');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const drop = (sessionId: string): void => rmSync(join(dir, sessionId), { force: true });
  return {
    note: (sessionId, instance) => writeFileSync(join(dir, sessionId), instance, { mode: 0o600 }),
    drop,
    endOthers: async (kept) => {
      const left = readdirSync(dir).filter((sessionId) => !kept.has(sessionId));
      const marks = new Set(
        left.map((name) => readMark(join(dir, name))).filter((mark) => mark.length >= markCharactersMin),
      );
      if (marks.size > 0) {
        const { ended, survivors } = await sweep(marks);
        log.info({ sessions: left, ended, survivors }, 'an earlier host was killed; what its sessions left is ended');
        if (survivors.length > 0) return;
      }
      for (const sessionId of left) drop(sessionId);
    },
    close: () => {
      try {
        rmdirSync(dir);
      } catch {
        // Not empty: for the next host.
      }
    },
  };

  /** One that can't be read was cut off by a crash before the program was started. */
  function readMark(path: string): string {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      log.warn({ path, error: messageOf(error) }, 'the mark of a session can not be read');
      return '';
    }
  }
}
