/**
 * One thread, many screen models: whose turn it is to parse. Each model does a small piece of its work and goes to the end of the line, so
 * that a flood next door costs a quiet one a few milliseconds; between two rounds the event loop reads, writes and answers.
 */

/** How long models may parse before the loop goes on; typing and answers of all sessions wait for no more than this. */
const roundMs = 2;

const line: (() => boolean)[] = [];
let underWay = false;

/** `piece` does about a millisecond of work and answers whether there is more. The caller joins only once at a time. */
export function takeTurns(piece: () => boolean): void {
  line.push(piece);
  if (underWay) return;
  underWay = true;
  setImmediate(round);
}

function round(): void {
  const until = performance.now() + roundMs;
  do {
    const piece = line.shift();
    if (piece?.()) line.push(piece);
  } while (line.length > 0 && performance.now() < until);
  underWay = line.length > 0;
  if (underWay) setImmediate(round);
}
