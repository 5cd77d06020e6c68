/** Where a room says what a person who looks for a cause may want to read. Never the place for news: those are events. */
export interface Log {
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
  readonly error: (fields: object, message: string) => void;
}

export const silentLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };
