/**
 * The ends of children that a former image of this process forked (see `replaceImage` in `own-node.ts`): they are still ours, but nobody
 * waits for them any more. Linux keeps the status of one that has ended until it is waited for, and shows it in /proc to its own user.
 *
 * Node can't wait for a child that it didn't start, so these stay zombies, which hold a process number each, until this process ends.
 */
import { readFileSync } from 'node:fs';
import { isZombie, statField, statFields } from './proc.ts';
import { type PtyExit, signalName } from './pty-native.ts';

/** SIGCHLD comes at once but may come once for several, and all are looked at; this is for one that was lost. */
const lookMs = 1000;

const waiting = new Map<number, (exit: PtyExit) => void>();
let timer: NodeJS.Timeout | undefined;

/** `onExit` comes once, in a later turn. One that is gone without a trace ends with neither code nor signal. */
export function watchChild(pid: number, onExit: (exit: PtyExit) => void): void {
  if (waiting.size === 0) {
    process.on('SIGCHLD', look);
    timer = setInterval(look, lookMs).unref();
  }
  waiting.set(pid, onExit);
  setImmediate(look);
}

function look(): void {
  for (const [pid, onExit] of waiting) {
    const exit = childExit(pid);
    if (exit === undefined) continue;
    waiting.delete(pid);
    onExit(exit);
  }
  if (waiting.size > 0) return;
  process.off('SIGCHLD', look);
  clearInterval(timer);
}

/** Undefined while it runs. */
export function childExit(pid: number): PtyExit | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    // Somebody else has waited for it: its end can't be known any more.
    return { code: null, signal: null };
  }
  const fields = statFields(stat);
  if (!isZombie(fields)) return undefined;
  // As wait(2) gives it.
  const status = Number(fields[statField.exitStatus]);
  const signal = status & 0x7f;
  return signal === 0 ? { code: (status >> 8) & 0xff, signal: null } : { code: null, signal: signalName(signal) };
}
