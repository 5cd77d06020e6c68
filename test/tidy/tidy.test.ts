/** What no reader should have to check: rooms import downwards and by the face, no circle, every word that is used is written down. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { faults } from '../../src/base/faults.ts';
import { eventTypes } from '../../src/protocol/job.ts';
import { rooms } from './rooms.ts';

const root = resolve(import.meta.dirname, '../..');
const src = join(root, 'src');

const filesUnder = (dir: string): string[] =>
  readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    return statSync(path).isDirectory() ? filesUnder(path) : [path];
  });

const sources = filesUnder(src).filter((path) => path.endsWith('.ts'));
const read = (path: string): string => readFileSync(path, 'utf8');

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

const importsOf = (path: string): Import[] =>
  [...read(path).matchAll(/(?:import|export)\s+(type\s)?[^;'"]*?from\s*'(\.[^']+)'|import\('(\.[^']+)'\)/g)].map(
    (match) => ({
      from: relative(src, path),
      to: relative(src, resolve(dirname(path), match[2] ?? match[3] ?? '')),
      typeOnly: match[1] !== undefined,
    }),
  );

const roomOf = (path: string): string => path.split('/')[0] ?? '';
const allImports = sources.flatMap(importsOf);
const isTest = (path: string): boolean => path.endsWith('.test.ts');

/** Files that other rooms may import beside `index.ts`: rooms without a single face, and contracts that are named as such. */
const openRooms = ['base', 'protocol', 'platform'];
const contracts = ['agents/agent.ts', 'daemon/offline.ts', 'daemon/main.ts'];

describe('rooms', () => {
  test('every folder of src is in the table, and every row of the table is a folder with something in it', () => {
    const folders = readdirSync(src).filter(
      (name) =>
        statSync(join(src, name)).isDirectory() && sources.some((path) => relative(src, path).startsWith(`${name}/`)),
    );
    expect(folders.toSorted()).toEqual(Object.keys(rooms).toSorted());
  });

  test('a room imports only from floors below it, and only what its row names', () => {
    for (const [room, { floor, may }] of Object.entries(rooms)) {
      for (const below of may) expect([room, below, (rooms[below]?.floor ?? 99) < floor]).toEqual([room, below, true]);
    }
    const climbing = allImports.filter(
      ({ from, to }) =>
        roomOf(from) !== roomOf(to) && !isTest(from) && !(rooms[roomOf(from)]?.may ?? []).includes(roomOf(to)),
    );
    expect(climbing.map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
  });

  test("outsiders import a room's face only", () => {
    const prying = allImports.filter(
      ({ from, to }) =>
        roomOf(from) !== roomOf(to) &&
        !isTest(from) &&
        !openRooms.includes(roomOf(to)) &&
        !to.endsWith('/index.ts') &&
        !contracts.includes(to),
    );
    expect(prying.map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
  });

  test("a room's own files do not import its face", () => {
    const inward = allImports.filter(
      ({ from, to }) =>
        roomOf(from) === roomOf(to) && to.endsWith('/index.ts') && dirname(from) === dirname(to) && !isTest(from),
    );
    expect(inward.map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
  });

  test('no circle of imports', () => {
    const graph = Map.groupBy(allImports, ({ from }) => from);
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
      else if (!done.has(path)) {
        for (const { to, typeOnly } of graph.get(path) ?? []) if (!typeOnly) visit(to, [...trail, path]);
        done.add(path);
      }
    };
    for (const path of graph.keys()) visit(path, []);
    expect(circles).toEqual([]);
  });

  test('ARCHITECTURE.md shows the table as it is', () => {
    const text = read(join(root, 'ARCHITECTURE.md'));
    const missing = Object.entries(rooms).filter(
      ([room, { floor, may }]) =>
        !text.includes(`| ${floor} | \`${room}\` |`) ||
        !text.includes(may.length === 0 ? '| - |' : `| ${may.join(', ')} |`),
    );
    expect(
      missing.map(([room, { floor, may }]) => `| ${floor} | \`${room}\` | … | ${may.join(', ') || '-'} |`),
    ).toEqual([]);
  });
});

describe('words', () => {
  test('every rule that is quoted stands in one SPEC.md, and every rule is quoted by a test', () => {
    const specs = filesUnder(src).filter((path) => path.endsWith('SPEC.md'));
    const rules = specs.flatMap((path) =>
      [...read(path).matchAll(/^- \[([A-Z]+\d+)\]/gm)].map((match) => match[1] ?? ''),
    );
    expect(rules.toSorted()).toEqual([...new Set(rules)].toSorted());
    const quoted = (paths: readonly string[]): string[] =>
      paths.flatMap((path) => [...read(path).matchAll(/\[([A-Z]\d+)\]/g)].map((match) => match[1] ?? ''));
    const tests = [...sources, ...filesUnder(join(root, 'test'))].filter(isTest);
    expect(quoted([...sources, ...tests]).filter((rule) => !rules.includes(rule))).toEqual([]);
    const tested = quoted(tests);
    expect(rules.filter((rule) => !tested.includes(rule))).toEqual([]);
  });

  test('every fault code that is thrown is in the table, and every code of the table is used', () => {
    const used = new Set(
      sources
        .filter((path) => !path.endsWith('faults.ts'))
        .flatMap((path) => [...read(path).matchAll(/'([A-Z][A-Z_]{4,})'/g)].map((match) => match[1] ?? '')),
    );
    expect(Object.keys(faults).filter((code) => !used.has(code))).toEqual([]);
  });

  test('the glossary has every noun that events are named by, no word twice, and none that is used nowhere', () => {
    const words = [...read(join(root, 'GLOSSARY.md')).matchAll(/\*\*([^*]+)\*\*/g)].map((match) => match[1] ?? '');
    const nouns = new Set(eventTypes.map((type) => type.split('.')[0] ?? ''));
    expect([...nouns].filter((noun) => !words.includes(noun))).toEqual([]);
    expect(words.filter((word, index) => words.indexOf(word) !== index)).toEqual([]);
    const pages = filesUnder(join(root, 'docs')).filter((path) => path.endsWith('.md'));
    const text = [...sources.filter((path) => !isTest(path)), ...pages].map(read).join('\n');
    expect(words.filter((word) => !new RegExp(`\\b${word}`, 'i').test(text))).toEqual([]);
  });
});

/** A condition of `runIf` or `skipIf` goes through `orSay`, which prints the reason; `skip` inside a test is given it. */
function silentSkips(text: string): string[] {
  const said = new Set([...text.matchAll(/const (\w+) = orSay\(/g)].map((match) => match[1] ?? ''));
  const flat = [...text.matchAll(/\b(?:it|test|describe)\.(?:only|todo|skip)\b/g)];
  const conditional = [...text.matchAll(/\.(?:runIf|skipIf)\((\w*)\S*/g)].filter(
    ([, first = '']) => first !== 'orSay' && !said.has(first),
  );
  const inside = text.includes('{ skip }') ? [...text.matchAll(/(?<![.\w])skip\([^'"`)]*\)/g)] : [];
  return [...flat, ...conditional, ...inside].map(([found]) => found);
}

describe('leftovers', () => {
  test('no focused test, and none that is skipped without a printed reason', () => {
    const all = [
      ...sources,
      ...filesUnder(join(root, 'test')),
      ...filesUnder(join(root, 'web')).filter((path) => !path.includes('/dist/')),
    ].filter((path) => isTest(path) && path !== import.meta.filename);
    expect(all.flatMap((path) => silentSkips(read(path)).map((found) => `${relative(root, path)}: ${found}`))).toEqual(
      [],
    );
  });

  test('a skip without a reason is seen, one with a reason is let be', () => {
    const silent = [
      'test.only(',
      'describe.skip(',
      'it.todo(',
      'it.runIf(isLinux)(',
      'test.skipIf(x === 1)(',
      '({ skip }) => skip()',
    ];
    expect(silent.flatMap(silentSkips)).toHaveLength(silent.length);
    const told = [
      `const can = orSay(isLinux, 'needs /proc'); test.runIf(can)('a', run);`,
      `describe.runIf(orSay(isLinux, 'needs /proc'))('a', run);`,
      `skip(!isLinux, 'needs /proc'); skip(\`needs \${x}\`);`,
    ];
    expect(told.flatMap(silentSkips)).toEqual([]);
  });

  test('no path of a machine, no tool of a workplace', () => {
    const bad = sources.flatMap((path) =>
      [...read(path).matchAll(/\/(?:root|work)\/|\.\.\/shared/g)].map(
        (match) => `${relative(root, path)}: ${match[0]}`,
      ),
    );
    expect(bad).toEqual([]);
  });
});
