/**
 * npm's `prepare`: builds the web page into `web/dist` after `npm ci` in a clone. Where there is nothing to build from (an install without
 * development dependencies has no vite, the published package has no `web/src` and brings `web/dist`) it says nothing and succeeds. A
 * build that fails fails the install, because a daemon without its page would be found out much later.
 *
 * Plain JavaScript, because an install without development dependencies runs it on whatever Node is there.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const canBuild = existsSync(join(root, 'web/src/main.tsx')) && existsSync(join(root, 'node_modules/vite/package.json'));

if (canBuild) {
  process.env.NODE_ENV = 'production';
  const { build } = await import('vite');
  await build({ configFile: join(root, 'web/vite.config.ts'), logLevel: 'error' });
}
