/** For what can only be false through a defect of ours; what the outside can cause is a `Fault` or a value. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** The end of a switch that names every member of a union. */
export function unreachable(value: never): never {
  throw new Error(`assertion failed: no case for ${JSON.stringify(value)}`);
}
