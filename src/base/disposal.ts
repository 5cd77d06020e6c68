/** Undoes one thing that was opened, subscribed or started. Calling it twice is harmless. */
export type Dispose = () => void;

/** A set of listeners; one that throws does not keep the others from hearing. */
export interface Emitter<T> {
  readonly on: (listener: (value: T) => void) => Dispose;
  readonly emit: (value: T) => void;
}

export function emitter<T>(onListenerError: (error: unknown) => void): Emitter<T> {
  const listeners = new Set<(value: T) => void>();
  return {
    on: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    emit: (value) => {
      for (const listener of listeners) {
        try {
          listener(value);
        } catch (error) {
          onListenerError(error);
        }
      }
    },
  };
}
