/**
 * cmux through its command line, which is kept compatible by a written contract; its socket is not. Every answer is classified: who was
 * refused must do something else than who was not heard. An exit code proves nothing about what was typed: it may say yes without effect,
 * and a command that timed out may have been carried out. Surfaces are named by UUID only; refs (`surface:2`) are renumbered.
 */
import { z } from 'zod';
import { oneLine } from '../base/text.ts';
import { askProgram, findProgram, type ProgramAnswer } from './ask-program.ts';

export interface CmuxOptions {
  readonly program: string | undefined;
  /** PATH, HOME, CMUX_SOCKET_PATH and CMUX_SOCKET_PASSWORD are used. The password never becomes an argument. */
  readonly env: NodeJS.ProcessEnv;
  /** How long one command may take; by default 15 s, for which a locked screen is known to need. */
  readonly limitMs?: number;
}

export type CmuxRefusal =
  /** There is no such program on this machine. */
  | { readonly kind: 'absent'; readonly reason: string }
  /** cmux does not run, or listens elsewhere. */
  | { readonly kind: 'down'; readonly reason: string }
  /** It lets in only what was started inside cmux. */
  | { readonly kind: 'denied'; readonly reason: string }
  /** It wants a password, or another one. */
  | { readonly kind: 'unauthorized'; readonly reason: string }
  /** No answer in time: what was asked may have been done. */
  | { readonly kind: 'slow'; readonly reason: string }
  /** It heard and said no. */
  | { readonly kind: 'failed'; readonly reason: string; readonly unknownVerb: boolean };
export type CmuxAnswer<T> = { readonly kind: 'answered'; readonly value: T } | CmuxRefusal;

export interface CmuxSurface {
  readonly id: string;
  readonly ref: string;
  readonly title: string;
  readonly type: string;
  readonly tty: string | null;
  readonly focused: boolean;
}
export interface CmuxWorkspace {
  readonly id: string;
  readonly ref: string;
  readonly title: string;
  readonly selected: boolean;
  readonly surfaces: readonly CmuxSurface[];
}
export interface CmuxWindow {
  readonly id: string;
  readonly ref: string;
  readonly workspaces: readonly CmuxWorkspace[];
}

/** What cmux itself says about the input box of a surface; `unsupported` by builds that do not know the question. */
export interface CmuxInputState {
  readonly state: 'empty' | 'draft' | 'dialog' | 'unknown' | 'unsupported';
  readonly agent: string | null;
}

export interface Cmux {
  readonly ping: () => Promise<CmuxAnswer<null>>;
  readonly tree: () => Promise<CmuxAnswer<readonly CmuxWindow[]>>;
  /** The visible rows; with `lines` also so much of the history. */
  readonly read: (surface: string, lines?: number) => Promise<CmuxAnswer<readonly string[]>>;
  readonly inputState: (surface: string) => Promise<CmuxAnswer<CmuxInputState>>;
  /** A bracketed paste; `failed` with `unknownVerb` by builds without it. */
  readonly paste: (surface: string, text: string) => Promise<CmuxAnswer<null>>;
  /** Typed as keys, `\n` `\r` `\t` of two characters as Enter and Tab: only for text without a backslash or line end. */
  readonly send: (surface: string, text: string) => Promise<CmuxAnswer<null>>;
  readonly key: (surface: string, key: 'enter' | 'escape') => Promise<CmuxAnswer<null>>;
}

const commandLimitMs = 15_000;
const usualFolders = ['/usr/local/bin', '/opt/homebrew/bin', '/Applications/cmux.app/Contents/Resources/bin'];

export function openCmux({ program, env, limitMs = commandLimitMs }: CmuxOptions): Cmux {
  const wanted = ['PATH', 'HOME', 'USER', 'LANG', 'LC_ALL', 'CMUX_SOCKET_PATH', 'CMUX_SOCKET_PASSWORD'];
  const clientEnv = Object.fromEntries(
    wanted.flatMap((name): [string, string][] => (env[name] ? [[name, env[name]]] : [])),
  );
  const ask = async (args: readonly string[], input?: string): Promise<CmuxAnswer<string>> => {
    const file = await findProgram(program ?? 'cmux', env.PATH ?? '', usualFolders);
    if (file === undefined) return { kind: 'absent', reason: `there is no program ${program ?? 'cmux'}` };
    return classify(
      await askProgram({
        file,
        args,
        env: clientEnv,
        timeoutMs: limitMs,
        ...(input === undefined ? {} : { input }),
      }),
    );
  };
  const done = async (args: readonly string[], input?: string): Promise<CmuxAnswer<null>> =>
    map(await ask(args, input), () => null);
  return {
    ping: async () => map(await ask(['ping']), () => null),
    tree: async () => parsed(await ask(['tree', '--all', '--json', '--id-format', 'both']), readTree),
    read: async (surface, lines) => {
      const history = lines === undefined ? [] : ['--lines', String(lines)];
      return map(await ask(['read-screen', '--surface', surface, ...history]), (text) =>
        text.replace(/\n$/, '').split('\n'),
      );
    },
    inputState: async (surface) => {
      const answer = await ask(['rpc', 'surface.input_state', JSON.stringify({ surface_id: surface })]);
      if (answer.kind === 'failed' && answer.unknownVerb)
        return { kind: 'answered', value: { state: 'unsupported', agent: null } };
      return parsed(answer, readInputState);
    },
    paste: (surface, text) => done(['paste', '--surface', surface, '-'], text),
    send: (surface, text) => done(['send', '--surface', surface, '--', text]),
    key: (surface, key) => done(['send-key', '--surface', surface, key]),
  };
}

/** By the words that were seen in the field; a broken pipe is how some builds say "denied". */
function classify(answer: ProgramAnswer): CmuxAnswer<string> {
  if (answer.kind === 'could-not-run') return { kind: 'absent', reason: answer.reason };
  if (answer.kind === 'unanswered') return { kind: 'slow', reason: `cmux: ${answer.reason}` };
  const words = oneLine(`${answer.stderr} ${answer.code === 0 ? '' : answer.stdout}`, 300);
  const saysError = /^\s*ERROR\b/.test(answer.stdout);
  if (answer.code === 0 && !saysError) return { kind: 'answered', value: answer.stdout };
  const reason = words || oneLine(answer.stdout, 300) || `cmux ended with code ${answer.code}`;
  if (/access denied|broken pipe|errno 32/i.test(reason)) return { kind: 'denied', reason };
  if (/password|unauthori[sz]ed|auth(entication)? (required|failed)/i.test(reason))
    return { kind: 'unauthorized', reason };
  if (/timed? ?out/i.test(reason)) return { kind: 'slow', reason };
  if (/failed to connect|connection refused|no such file|socket not found|not running/i.test(reason))
    return { kind: 'down', reason };
  return {
    kind: 'failed',
    reason,
    unknownVerb: /unknown (command|method|subcommand|verb)|method_not_found/i.test(reason),
  };
}

function map<T, U>(answer: CmuxAnswer<T>, read: (value: T) => U): CmuxAnswer<U> {
  return answer.kind === 'answered' ? { kind: 'answered', value: read(answer.value) } : answer;
}

/** What is not in the known form is an answer that nothing can be done with. */
function parsed<T>(answer: CmuxAnswer<string>, read: (value: unknown) => T): CmuxAnswer<T> {
  if (answer.kind !== 'answered') return answer;
  try {
    return { kind: 'answered', value: read(JSON.parse(answer.value)) };
  } catch {
    // Not JSON, or JSON of another shape: said, so that nobody waits for it.
    const reason = `cmux answered in an unknown form: ${oneLine(answer.value, 100)}`;
    return { kind: 'failed', reason, unknownVerb: false };
  }
}

const text = z.string().max(2000);
const surfaceSchema = z.object({
  id: text,
  ref: text.default(''),
  title: text.nullish(),
  type: text.default('terminal'),
  tty: text.nullish(),
  focused: z.boolean().default(false),
});
const treeSchema = z.object({
  windows: z.array(
    z.object({
      id: text,
      ref: text.default(''),
      workspaces: z.array(
        z.object({
          id: text,
          ref: text.default(''),
          title: text.nullish(),
          selected: z.boolean().default(false),
          panes: z.array(z.object({ surfaces: z.array(surfaceSchema) })),
        }),
      ),
    }),
  ),
});

function readTree(value: unknown): readonly CmuxWindow[] {
  return treeSchema.parse(value).windows.map(({ id, ref, workspaces }) => ({
    id,
    ref,
    workspaces: workspaces.map((workspace) => ({
      id: workspace.id,
      ref: workspace.ref,
      title: workspace.title ?? '',
      selected: workspace.selected,
      surfaces: workspace.panes
        .flatMap((pane) => pane.surfaces)
        .map(({ title, tty, ...surface }) => ({ ...surface, title: title ?? '', tty: tty ?? null })),
    })),
  }));
}

const inputStateSchema = z.object({
  state: z.enum(['empty', 'draft', 'dialog', 'unknown']).catch('unknown'),
  agent: text.nullish(),
});

function readInputState(value: unknown): CmuxInputState {
  const { state, agent } = inputStateSchema.parse(value);
  return { state, agent: agent ?? null };
}
