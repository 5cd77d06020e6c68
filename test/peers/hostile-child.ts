/**
 * A program that wishes a terminal's holder ill: `node hostile-child.ts MEGABYTES TOTALS`. It ignores every signal that can be ignored,
 * forks away in three ways, prints every escape sequence that ECMA-48 has room for, whole, broken and endless ones, bytes that are no
 * text, then a flood in which every third megabyte moves the cursor; then it writes how many bytes it printed into TOTALS and goes on
 * printing for ever.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync, writeSync } from 'node:fs';

const [megabytes = '500', totals = ''] = process.argv.slice(2);
for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR2', 'SIGTSTP'] as const)
  process.on(signal, () => undefined);

const stubborn = 'trap "" TERM HUP INT QUIT; while :; do sleep 1; done';
spawn('setsid', ['bash', '-c', stubborn], { stdio: 'ignore', detached: true }).unref();
spawn('bash', ['-c', `(setsid bash -c '${stubborn}' &) ; exit 0`], { stdio: 'ignore', detached: true }).unref();
// This one keeps the terminal open.
spawn('bash', ['-c', `trap "" HUP; exec -a innocent bash -c '${stubborn}'`], { stdio: 'inherit' }).unref();

let printed = 0;
function print(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
  printed += bytes.length;
}

// Without translation of line ends, so that what is printed is what the holder reads.
process.stdout.on('error', () => undefined);
const escapes: string[] = [];
const parameters = [
  '',
  '0',
  '1',
  '25',
  '999999999',
  '1;2;3',
  '?1',
  '?1049',
  '?2026',
  '?9999',
  '>4;2',
  '4:3',
  '38;5;999',
  '-1',
  '1;;;;;;;'.repeat(20),
];
for (let final = 0x40; final <= 0x7e; final += 1)
  for (const parameter of parameters)
    for (const between of ['', ' ', '!', '"', '$', "'", '*'])
      escapes.push(`\u001b[${parameter}${between}${String.fromCharCode(final)}`);
for (let byte = 0x20; byte <= 0x7e; byte += 1)
  escapes.push(`\u001b${String.fromCharCode(byte)}`, `\u001b#${String.fromCharCode(byte)}`);
for (const number of [0, 1, 2, 4, 7, 8, 9, 10, 52, 99, 104, 777, 1337, 7501, 65536])
  for (const text of ['', '?', 'x'.repeat(5000), '\u001b[31m', 'file:///etc/passwd'])
    escapes.push(`\u001b]${number};${text}\u0007`, `\u001b]${number};${text}\u001b\\`, `\u001b]${number};${text}`);
for (const begin of ['P', 'X', '^', '_'])
  escapes.push(`\u001b${begin}${'q'.repeat(3000)}\u001b\\`, `\u001b${begin}never ended`, '\u0018');
print(Buffer.from(escapes.join('')));
for (let byte = 0x80; byte <= 0x9f; byte += 1) print(Buffer.from([byte, 0xc2, byte, 0xff, 0xfe, 0xf0, 0x9f]));
print(randomBytes(2_000_000));
print(Buffer.from('\u001bc\u001b[?1049h\u001b[?2026hnever shown\u001b[?1049l'));

const plain = Buffer.from('한글 and a line of text with 👩‍👩‍👧 in it\r\n'.repeat(18_000));
const moving = Buffer.from('\u001b[5;1H\u001b[2Khello\u001b[0m \u001b[7;10Hdrawn in places'.repeat(19_000));
for (let number = 0; printed < Number(megabytes) * 1e6; number += 1) print(number % 3 === 2 ? moving : plain);
print(Buffer.from('\u001bcthe flood is over\r\n'));
writeFileSync(totals, String(printed));
setInterval(() => process.stdout.write('\u001b]0;still here\u0007.'), 20);
