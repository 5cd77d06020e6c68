import { expect, test } from 'vitest';
import { roleOf } from './own-processes.ts';

const home = { dir: '/home/dev/my muster' };

test('a daemon or host of exactly this home is told by its arguments', () => {
  const of = (...words: string[]) => roleOf(words, home);
  expect([
    of('node', '/opt/muster/src/daemon/main.ts', '--home', '/home/dev/my muster'),
    of('node', '/opt/muster/src/daemon/main.ts', '--home', '/home/dev/my muster', '--port', '0'),
    of('node', '/opt/muster/dist/sessions/host/main.js', '--home', '/home/dev/my', 'muster'),
  ]).toEqual(['daemon', 'daemon', 'host']);
});

test('another home, another program, or an editor that has the file open is not', () => {
  const of = (...words: string[]) => roleOf(words, home);
  expect([
    of('node', '/opt/muster/src/daemon/main.ts', '--home', '/home/dev/my muster 2'.replace(' 2', '2')),
    of('node', '/opt/muster/src/daemon/main.ts', '--home', '/home/dev'),
    of('node', '/opt/muster/src/daemon/main.ts'),
    of('vim', '--home', '/home/dev/my muster', '/opt/muster/src/daemon/main.ts'),
    of('node', '/opt/other/main.ts', '--home', '/home/dev/my muster'),
    of(),
  ]).toEqual([undefined, undefined, undefined, undefined, undefined, undefined]);
});
