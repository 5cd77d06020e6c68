import { createRequire } from 'node:module';

/** From package.json, the only place that knows it. */
export function ownVersion(): string {
  const { version } = createRequire(import.meta.url)('../../package.json') as { readonly version: string };
  return version;
}
