/**
 * Work of this process that must not overlap, one after the other for each key. git locks a repository's configuration and its list of
 * worktrees without waiting, so those who prepare one there wait for each other; so do two that remove the same one.
 */
const last = new Map<string, Promise<unknown>>();

export function inTurn<T>(key: string, run: () => Promise<T>): Promise<T> {
  const next = (last.get(key) ?? Promise.resolve()).then(run, run);
  last.set(key, next);
  const forget = (): void => {
    if (last.get(key) === next) last.delete(key);
  };
  next.then(forget, forget);
  return next;
}
