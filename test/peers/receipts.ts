/**
 * Prompts with every hazard, in every situation, and what must hold after them: each ends in a receipt; what was accepted was received
 * once and as it was sent, what was refused not at all, what is unknown at most once. `test/system/receipts.test.ts` runs some of them,
 * `bench/receipts.ts` a thousand, `test/agents/receipts.test.ts` the texts alone on the real agents.
 *
 * Order of the parts: the texts, the fleet (a life that can be killed, and asks again for what it owes), the situations, the account.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { withoutOpenEnd } from '../../src/agents/index.ts';
import { homeAt } from '../../src/platform/home.ts';
import { ownCommand } from '../../src/platform/own-node.ts';
import type { Receipt, SessionView } from '../../src/protocol/session.ts';
import type { LifeAct, LifePlan } from './session-life.ts';

// --- texts

const padded = (tag: string, bytes: number): string => `${tag} ${'x'.repeat(bytes)}`.slice(0, bytes);

/** `tag` makes each text unique; where the end is what matters it stands before it. */
export const hazards: Readonly<Record<string, (tag: string) => string>> = {
  plain: (tag) => `Say hello ${tag}`,
  lines: (tag) => `First line ${tag}\nsecond\n\n\nlast after two empty ones`,
  dash: (tag) => `-x --help ${tag}`,
  number: (tag) => `# a heading ${tag}`,
  mention: (tag) => `@README.md ${tag} and user@host`,
  mentionAtEnd: (tag) => `${tag} look at @READ`,
  backslashAtEnd: (tag) => `${tag} ends with \\`,
  path: (tag) => `/etc/hosts is a path ${tag}`,
  twoCharacters: (tag) => `no line break here: \\n nor \\t here ${tag}`,
  quotes: (tag) => `"double" 'single' \`back\` $HOME $(id) ; & | > ${tag}`,
  controls: (tag) => `nul\u0000 bell\u0007 escape\u001b[31m red ${tag} return\r\nend`,
  pasteEnd: (tag) => `inside\u001b[201~\r!touch escaped ${tag}`,
  hangul: (tag) => `한글 가각 ${tag} 각 e\u0301 👩‍👩‍👧 🇰🇷 日本語`,
  trailingBreak: (tag) => `${tag} with a line break behind\n`,
  leadingBreak: (tag) => `\n\n${tag} with line breaks before`,
  bytes63: (tag) => padded(tag, 63),
  bytes64: (tag) => padded(tag, 64),
  bytes65: (tag) => padded(tag, 65),
  bytes4095: (tag) => padded(tag, 4095),
  bytes4096: (tag) => padded(tag, 4096),
  manyLines: (tag) => Array.from({ length: 60 }, (_, index) => `${tag} line ${index}`).join('\n'),
  hundredKilobytes: (tag) => `${tag} ${'0123456789 abcdefghij '.repeat(4877)}`.slice(0, 102_400),
  shell: (tag) => `!touch escaped ${tag}`,
  command: (tag) => `/clear ${tag}`,
  commandOnSecondLine: (tag) => `\n/clear ${tag}`,
  white: () => '  \n\t ',
};
export const refusedTexts: readonly string[] = ['shell', 'command', 'commandOnSecondLine', 'white'];

/** What an agent gets: controls are dropped, line breaks are one character. */
export const asSent = (text: string): string =>
  withoutOpenEnd(text.replace(/\r\n?/g, '\n').replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, ''));

// --- the fleet

interface Owed {
  readonly session: string;
  readonly asked: LifeAct;
  readonly resolve: (answer: unknown) => void;
}

export interface Fleet {
  readonly ids: readonly string[];
  readonly deliver: (
    session: string,
    text: string,
    how?: { readyMs?: number; overDraft?: boolean; raw?: boolean },
  ) => Promise<Receipt>;
  readonly act: (session: string, asked: LifeAct) => Promise<unknown>;
  readonly stateIs: (session: string, ...states: SessionView['state'][]) => Promise<void>;
  /** Ends the life with -9 and starts the next, which is asked again for every answer that is owed. */
  readonly kill: () => Promise<void>;
  readonly inputs: readonly Input[];
  readonly received: () => { readonly prompt: string; readonly pid: number }[];
  readonly strays: () => { readonly where: string; readonly text: string }[];
  readonly close: () => Promise<void>;
}

export interface Input {
  readonly inputId: string;
  readonly text: string;
  readonly raw: boolean;
  receipt: Receipt | undefined;
}

/** Longer than any wait of a prompt's way together. */
const answerMs = 120_000;
const life = join(import.meta.dirname, 'session-life.ts');
const scriptedAgent = join(import.meta.dirname, 'scripted-agent.ts');

export async function openFleet(count: number, agentEnv: Readonly<Record<string, string>> = {}): Promise<Fleet> {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'muster-receipts-')));
  const home = homeAt(join(dir, 'home'));
  for (const each of [home.dir, home.run, home.logs, join(dir, 'agent')]) mkdirSync(each, { mode: 0o700 });
  const log = join(dir, 'prompts.ndjson');
  const ids = Array.from({ length: count }, (_, index) => `s-receipts${index}`);
  const plan: LifePlan = {
    home: home.dir,
    sessions: ids.map((id) => {
      mkdirSync(join(dir, id));
      const env = { PATH: process.env.PATH ?? '', HOME: join(dir, 'agent'), SCRIPTED_AGENT_LOG: log, ...agentEnv };
      return {
        id,
        agent: 'claude',
        found: { file: process.execPath, args: [scriptedAgent], version: '2.1.328' },
        cwd: join(dir, id),
        env,
      };
    }),
  };
  const planFile = join(dir, 'plan.json');
  writeFileSync(planFile, JSON.stringify(plan));

  const owed = new Map<number, Owed>();
  const inputs: Input[] = [];
  let numbers = 0;
  let child: ChildProcess | undefined;
  const ask = (n: number, { session, asked }: Owed): void =>
    void child?.stdin?.write(`${JSON.stringify({ n, session, ...asked })}\n`, () => undefined);
  const begin = async (): Promise<void> => {
    const command = ownCommand(life, [planFile]);
    const own = spawn(command.file, command.args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...command.env },
    });
    own.stdin?.on('error', () => undefined);
    const ready = Promise.withResolvers<void>();
    createInterface({ input: own.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as { ready?: true; n?: number; answer?: unknown; error?: string };
      if (said.ready) return ready.resolve();
      const waiting = owed.get(said.n ?? -1);
      owed.delete(said.n ?? -1);
      waiting?.resolve(said.error === undefined ? said.answer : { error: said.error });
    });
    own.once('exit', (code) => ready.reject(new Error(`a life of the sessions ended with ${code}`)));
    await ready.promise;
    child = own;
    for (const [n, waiting] of owed) ask(n, waiting);
  };
  const act = async (session: string, asked: LifeAct): Promise<unknown> => {
    const n = (numbers += 1);
    const answer = new Promise((resolve) => owed.set(n, { session, asked, resolve }));
    ask(n, owed.get(n) as Owed);
    const late = AbortSignal.timeout(answerMs);
    return Promise.race([
      answer,
      new Promise((_, reject) =>
        late.addEventListener('abort', () => reject(new Error(`no answer to ${JSON.stringify(asked).slice(0, 200)}`))),
      ),
    ]);
  };
  const gone = async (): Promise<void> => {
    const own = child;
    child = undefined;
    if (!own || own.exitCode !== null) return;
    await new Promise((done) => own.once('exit', done));
  };
  await begin();

  return {
    ids,
    inputs,
    act,
    deliver: async (session, text, how = {}) => {
      const input: Input = { inputId: `i-${inputs.length}`, text, raw: how.raw === true, receipt: undefined };
      inputs.push(input);
      const answer = await act(session, {
        act: 'deliver',
        input: { inputId: input.inputId, text, readyMs: 20_000, ...how },
      });
      input.receipt = answer as Receipt;
      return answer as Receipt;
    },
    stateIs: async (session, ...states) => {
      for (const until = Date.now() + 20_000; ; await delay(25)) {
        const view = (await act(session, { act: 'view' })) as SessionView;
        if (states.includes(view.state)) return;
        if (Date.now() > until)
          throw new Error(`${session} is ${view.state} (${view.reason}), not ${states.join(' or ')}`);
      }
    },
    kill: async () => {
      child?.kill('SIGKILL');
      await gone();
      await begin();
    },
    received: () => rowsOf(log),
    strays: () => rowsOf(`${log}.strays`),
    close: async () => {
      ask(0, { session: '', asked: { act: 'end' }, resolve: () => undefined });
      await gone();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const rowsOf = <T>(path: string): T[] =>
  existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as T)
    : [];

// --- situations

export type Situation = (fleet: Fleet, session: string, next: () => { name: string; text: string }) => Promise<void>;

const check = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what);
};
const wants = (receipt: Receipt, kinds: readonly Receipt['kind'][], about: string): void =>
  check(kinds.includes(receipt.kind), `${about}: ${JSON.stringify(receipt)}`);

/** A life that died in between may have to say unknown where another would say accepted. */
const taken: readonly Receipt['kind'][] = ['accepted', 'unknown'];

const atPrompt: Situation = async (fleet, session, next) => {
  const { name, text } = next();
  const receipt = await fleet.deliver(session, text);
  wants(receipt, refusedTexts.includes(name) ? ['refused'] : taken, `${name} at the prompt`);
};

const whileBusy: Situation = async (fleet, session, next) => {
  wants(
    await fleet.deliver(session, `${next().text.slice(0, 0)}Be busy ${fleet.inputs.length}\n@wait 600`),
    taken,
    'a long turn',
  );
  const refused = await fleet.deliver(session, next().text, { readyMs: 0 });
  wants(refused, ['refused', 'unknown', 'accepted'], 'while busy');
  const { name, text } = next();
  const queued = await fleet.deliver(session, text, { readyMs: 30_000 });
  wants(queued, refusedTexts.includes(name) ? ['refused'] : taken, `${name} in the queue`);
};

const atQuestion: Situation = async (fleet, session, next) => {
  wants(await fleet.deliver(session, `Ask me ${fleet.inputs.length}\n@question Which one?`), taken, 'a question');
  await fleet.stateIs(session, 'question');
  wants(await fleet.deliver(session, next().text, { readyMs: 300 }), ['refused'], 'at a question');
  wants(
    await fleet.deliver(session, next().text, { readyMs: 0, overDraft: true }),
    ['refused'],
    'at a question, over drafts',
  );
  // A life that is killed takes a key that it has not written yet with it.
  for (let tries = 1; ; tries += 1) {
    await fleet.act(session, { act: 'keys', data: '1' });
    try {
      return await fleet.stateIs(session, 'done', 'idle');
    } catch (error) {
      if (tries === 2) throw error;
    }
  }
};

const atPermission: Situation = async (fleet, session, next) => {
  wants(await fleet.deliver(session, `Ask for it ${fleet.inputs.length}\n@ask true`), taken, 'a permission');
  await fleet.stateIs(session, 'permission');
  wants(await fleet.deliver(session, next().text, { readyMs: 0 }), ['refused'], 'at a permission');
  await fleet.act(session, { act: 'allow' });
  await fleet.stateIs(session, 'done', 'idle');
};

const overDraft: Situation = async (fleet, session, next) => {
  await fleet.stateIs(session, 'done', 'idle');
  const draft = `half a thought ${fleet.inputs.length}`;
  await fleet.act(session, { act: 'keys', data: draft });
  const held = await fleet.deliver(session, 'Not over a draft', { readyMs: 0 });
  wants(held, ['refused'], 'over a draft');
  check(
    held.kind === 'refused' && held.reason.includes('half a thought'),
    `the draft is named: ${JSON.stringify(held)}`,
  );
  const lines = (await fleet.act(session, { act: 'tail' })) as string[];
  check(
    lines.some((line) => line.includes(draft)),
    `the draft still stands: ${lines.slice(-6).join('\n')}`,
  );
  const { name, text } = next();
  const over = await fleet.deliver(session, text, { overDraft: true });
  wants(over, refusedTexts.includes(name) ? ['refused'] : taken, `${name} over the draft as asked`);
  if (refusedTexts.includes(name))
    wants(await fleet.deliver(session, `Cleared ${fleet.inputs.length}`, { overDraft: true }), taken, 'cleared');
};

const twoAtOnce: Situation = async (fleet, session, next) => {
  await Promise.all([
    fleet.deliver(session, next().text),
    fleet.deliver(session, next().text),
    fleet.deliver(session, next().text),
  ]);
};

/** How often each comes in twenty. */
const weights: readonly (readonly [Situation, number])[] = [
  [atPrompt, 12],
  [twoAtOnce, 2],
  [whileBusy, 3],
  [atPermission, 1],
  [atQuestion, 1],
  [overDraft, 1],
];
const situations: readonly Situation[] = weights.flatMap(([situation, times]) =>
  Array<Situation>(times).fill(situation),
);

/** mulberry32, so that a run that failed can be named. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Sends at least `count` prompts, with so many lives killed in between, and gives the account. */
export async function sendMany(
  fleet: Fleet,
  { count, kills, seed }: { count: number; kills: number; seed: number },
): Promise<Account> {
  const random = randomFrom(seed);
  const names = Object.keys(hazards);
  let made = 0;
  const next = (): { name: string; text: string } => {
    const name = names[made % names.length] ?? 'plain';
    made += 1;
    return { name, text: (hazards[name] ?? hazards.plain)?.(`[${made}]`) ?? '' };
  };
  const killAt = Array.from({ length: kills }, (_, index) => Math.floor((count * (index + 1)) / (kills + 1)));
  const worker = async (session: string): Promise<void> => {
    while (fleet.inputs.length < count) {
      const situation = situations[Math.floor(random() * situations.length)] ?? atPrompt;
      await situation(fleet, session, next);
      if (killAt[0] !== undefined && fleet.inputs.length >= killAt[0]) {
        killAt.shift();
        await fleet.kill();
      }
    }
  };
  await Promise.all(fleet.ids.map((session) => worker(session)));
  return accountOf(fleet);
}

// --- the account

export interface Account {
  readonly prompts: number;
  readonly accepted: number;
  readonly refused: number;
  readonly unknown: number;
  /** Without a receipt. */
  readonly silent: readonly string[];
  /** Received more than once. */
  readonly twice: readonly string[];
  /** Refused, and received all the same. */
  readonly leaked: readonly string[];
  /** Accepted, and not received as it was sent. */
  readonly changed: readonly string[];
  /** Keys that a dialog, a shell or a running turn got. */
  readonly strays: readonly unknown[];
}

export function accountOf(fleet: Fleet): Account {
  const times = new Map<string, number>();
  for (const { prompt } of fleet.received()) times.set(prompt, (times.get(prompt) ?? 0) + 1);
  const received = (input: Input): number => times.get(asSent(input.text)) ?? 0;
  const kinds = (kind: Receipt['kind']): Input[] => fleet.inputs.filter((one) => one.receipt?.kind === kind);
  const shown = (list: readonly Input[]): string[] =>
    list.map((one) => `${one.inputId} ${JSON.stringify(one.text.slice(0, 60))}`);
  return {
    prompts: fleet.inputs.length,
    accepted: kinds('accepted').length,
    refused: kinds('refused').length,
    unknown: kinds('unknown').length,
    silent: shown(fleet.inputs.filter((one) => !['accepted', 'refused', 'unknown'].includes(one.receipt?.kind ?? ''))),
    twice: shown(fleet.inputs.filter((one) => received(one) > 1)),
    leaked: shown(kinds('refused').filter((one) => received(one) > 0)),
    changed: shown(kinds('accepted').filter((one) => !one.raw && received(one) !== 1)),
    strays: fleet.strays(),
  };
}
