/**
 * npm's `prepare`: builds the web page into `web/dist` after `npm ci` in a clone. Where there is nothing to build from (the published
 * package has no `web/src`, and an install without development dependencies has no vite) it says nothing and succeeds; a build that
 * fails fails the install, because a daemon without its page would be found out much later.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const canBuild = existsSync(join(root, 'web/src/main.tsx')) && existsSync(join(root, 'node_modules/vite/package.json'));

if (canBuild) {
  process.env.NODE_ENV = 'production';
  const { build } = await import('vite');
  await build({ configFile: join(root, 'web/vite.config.ts'), logLevel: 'error' });
}
