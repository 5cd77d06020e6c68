/** Opening a terminal costs some ten milliseconds; a wall of sixty must not open all of them in one frame. One turn per frame. */
const waiting = new Set<() => void>();
let running = false;

/** Calls `work` in a frame of its own; the returned function gives the turn up. */
export function takeTurn(work: () => void): () => void {
  waiting.add(work);
  if (!running) {
    running = true;
    requestAnimationFrame(next);
  }
  return () => void waiting.delete(work);
}

function next(): void {
  const first = waiting.values().next();
  if (first.done) {
    running = false;
    return;
  }
  waiting.delete(first.value);
  requestAnimationFrame(next);
  first.value();
}
