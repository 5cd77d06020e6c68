/**
 * Completes `package-lock.json` after `npm install` against a registry that does not carry the builds of every platform: npm leaves out
 * what it can't see, and `npm ci` then refuses the lock file. Each optional dependency that names one exact version gets an entry with
 * the platform its name says; machines of that platform fetch it by name and version, all others skip it. Run it after each change
 * of dependencies; test/tidy fails on a lock file that is not complete. Plain JavaScript: it must run before anything is installed.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const systems = {
  darwin: 'darwin',
  linux: 'linux',
  win32: 'win32',
  android: 'android',
  freebsd: 'freebsd',
  openharmony: 'openharmony',
};
const processors = {
  arm64: 'arm64',
  x64: 'x64',
  ia32: 'ia32',
  arm: 'arm',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
};

/** @param {string} name `@scope/binding-linux-x64-musl` → `{os, cpu, libc}` */
function platformOf(name) {
  const words = name.split(/[/-]/);
  const os = words.map((word) => systems[word]).filter(Boolean);
  const cpu = words.map((word) => processors[word]).filter(Boolean);
  const libc = words.some((word) => word.startsWith('musl')) ? ['musl'] : words.includes('gnu') ? ['glibc'] : undefined;
  return { cpu, os, ...(os[0] === 'linux' && libc ? { libc } : {}) };
}

/** Optional dependencies without an entry: `[path in the lock file, exact version]`. */
export function missingEntries(lock) {
  const missing = new Map();
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const nested = `${path}/node_modules/${name}`;
      const hoisted = `node_modules/${name}`;
      if (path === '' || lock.packages[nested] || lock.packages[hoisted]) continue;
      missing.set(hoisted, { name, version, license: entry.license, dev: entry.dev });
    }
  }
  return missing;
}

export function complete(lock) {
  const packages = { ...lock.packages };
  for (const [path, { name, version, license, dev }] of missingEntries(lock)) {
    if (!/^\d+\.\d+\.\d+/.test(version)) throw new Error(`${name}@${version}: only an exact version can be added`);
    packages[path] = {
      version,
      ...platformOf(name),
      ...(dev ? { dev } : {}),
      ...(license ? { license } : {}),
      optional: true,
    };
  }
  const sorted = Object.entries(packages).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return { ...lock, packages: Object.fromEntries(sorted) };
}

if (import.meta.main) {
  const file = new URL('../package-lock.json', import.meta.url);
  const lock = JSON.parse(readFileSync(file, 'utf8'));
  const added = missingEntries(lock).size;
  writeFileSync(file, `${JSON.stringify(complete(lock), null, 2)}\n`);
  process.stdout.write(`${added} entries added\n`);
}
