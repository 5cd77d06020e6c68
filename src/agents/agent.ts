/**
 * The contract of one agent CLI's adapter. An adapter is data and pure functions; what watches files, types keys and waits is `sessions`.
 *
 * Order in a session's life: `find` (is it there, which version) → `prepare` (files of this session only, command line, environment)
 * → `interpret` for everything that is observed → `keys` and `answerFile` for what is said to it.
 */
import type { PermissionMode, PermissionRule, UnkeptRule } from '../protocol/rules.ts';
import type { AgentId } from '../protocol/session.ts';
import type { Evidence, Observation, PermissionAsk, SessionState } from '../protocol/state.ts';

export interface Agent {
  readonly id: AgentId;
  readonly title: string;
  /** Versions the contract tests ran on, as shown to people: `2.1.328`, `0.15.x`. */
  readonly testedRange: string;
  readonly isTested: (version: string) => boolean;
  /** Name of the executable on PATH. */
  readonly executable: string;
  /** Arguments that print the version, and how to read it from the output. */
  readonly versionArgs: readonly string[];
  readonly parseVersion: (output: string) => string | undefined;
  /** Variables of the daemon's environment that this agent may see, besides the common ones; `*` at the end matches any rest. */
  readonly environment: readonly string[];
  /** Where the agent reads instructions from, relative to its working folder. */
  readonly personaFile: string;
  /** Writes this session's own files (under `plan.dir` only) and says how to start. Never touches the user's settings. */
  readonly prepare: (plan: LaunchPlan) => Promise<Launch>;
  /** Pure: the rules that this agent has no means to keep for one session, with the reason. `prepare` leaves them out. */
  readonly unkeptRules: (rules: readonly PermissionRule[], permissions: PermissionMode) => readonly UnkeptRule[];
  /** Before anything was observed. Memory is what an adapter must remember between observations, as plain JSON. */
  readonly memory: () => AgentMemory;
  /** Pure: what one observation says about the session. Unknown or malformed payloads give no evidence; nothing throws. */
  readonly interpret: (memory: AgentMemory, observation: Observation) => Interpretation;
  readonly keys: AgentKeys;
  /** What this agent would make of a pasted text that is no prompt to it (commands.ts); undefined: it is text. */
  readonly commandOf: (text: string) => string | undefined;
  /** How to know and read one that somebody else started, in a terminal that is not ours. */
  readonly adopted: AdoptedAgent;
  /** The answer to a structured permission request as a file that the agent's hook waits for; undefined where keys must do. */
  readonly answerFile?: (permission: PermissionAsk, decision: 'allow' | 'deny') => AnswerFile | undefined;
}

export type AgentMemory = Readonly<Record<string, unknown>>;

export interface Interpretation {
  readonly memory: AgentMemory;
  readonly evidence: readonly Evidence[];
}

/** Where an agent's program was found. `file` and `args` come before the session's own arguments. */
export interface FoundAgent {
  readonly file: string;
  readonly args: readonly string[];
  readonly version: string;
}

export interface LaunchPlan {
  readonly found: FoundAgent;
  /** Folder of this session, ours, 0700. Hooks spool into `dir/spool`, answers lie in `dir/answers`; both exist. */
  readonly dir: string;
  /** The worktree in which it works. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** ask: every tool call that the agent would ask about asks · edits: file edits inside the worktree go through · all: nothing asks. */
  readonly permissions: PermissionMode;
  /** Over the mode; by default none. */
  readonly rules?: readonly PermissionRule[];
  readonly model: string | undefined;
  /** The agent's own conversation id to go on with. */
  readonly resumeId: string | undefined;
  /** Further arguments from the configuration, put last. */
  readonly extraArgs: readonly string[];
}

export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly watches: readonly Watch[];
  /** Known before the start where the agent lets us choose it. */
  readonly resumeId: string | undefined;
}

/** What `sessions` watches for an agent, beside its terminal and its process. Each entry found becomes one `Observation`. */
export type Watch =
  /** Every file that appears in the folder (written under another name, then renamed) is one JSON payload; it is removed when read. */
  | { readonly kind: 'spool'; readonly dir: string; readonly source: 'hook' }
  /** A JSON file that is rewritten; `{pid}` in the path stands for the process id of the agent. Observed whenever its content changes. */
  | { readonly kind: 'json-file'; readonly path: string; readonly source: 'sessionFile' }
  /** A file of JSON rows that grows. `path` may be unknown until evidence tells `transcriptPath`. */
  | {
      readonly kind: 'rows';
      readonly path: string | undefined;
      readonly source: 'transcript';
      /** Where the agent itself names the file and nothing tells the path: how to find it. */
      readonly find?: RowsSearch;
    };

/** The youngest file under `dir`, at most `depth` folders down, that fits. Looked for until found; it may come with the first prompt only. */
export interface RowsSearch {
  readonly dir: string;
  readonly depth: number;
  readonly suffix: string;
  /** Text that the file's name must contain; undefined: any, but the file is younger than the launch. */
  readonly nameHas: string | undefined;
  /** Text that the first row (up to 256 KB of it) must contain. */
  readonly firstRowHas: string | undefined;
}

/** What is typed into the terminal. Each is one write; `submit` follows the paste after `settleMs`. */
export interface AgentKeys {
  readonly settleMs: number;
  readonly submit: string;
  /** Undefined where the state is answered by `answerFile` only. */
  readonly allow: string | undefined;
  readonly deny: string | undefined;
  readonly interrupt: string;
  /**
   * One round of keys that empty the line of the input box in which the cursor is; harmless in an empty one. Each character is a write
   * of its own, because agents take several controls at once for pasted text.
   */
  readonly clear: string;
  /** The agent's own command that begins a new conversation in the same process and makes it tell another id; undefined: none does. */
  readonly newConversation?: string;
  /** Written one after the other, `settleMs` apart, to end the agent from its prompt. */
  readonly quit: readonly string[];
}

/** What can be told about an agent that was not started by us: everything here only reads. */
export interface AdoptedAgent {
  /** npm packages under whose folder its program lies, for agents whose process is called `node`. */
  readonly packages: readonly string[];
  /** What stands in its input box, without placeholder; empty if nothing does, undefined if no box is on these rows. Faint text is blanked. */
  readonly composer: (rows: readonly string[]) => string | undefined;
  /** Variables of its environment that say where it keeps its files. */
  readonly environment: readonly string[];
  /** Files in which it leaves evidence without having been set up for it. */
  readonly traces: (env: Readonly<Record<string, string>>) => AdoptedTraces;
}

export interface AdoptedTraces {
  readonly watches: readonly Watch[];
  /** The file of its conversation: under `dir`, named by its resume id, or held open by its process. Undefined: it can't be told apart. */
  readonly conversation?: { readonly dir: string; readonly suffix: string; readonly by: 'resume-id' | 'open-file' };
}

export interface AnswerFile {
  /** Name inside the session's `answers` folder. */
  readonly name: string;
  readonly content: string;
}

/** States in which a prompt may be typed. */
export const promptStates: readonly SessionState[] = ['idle', 'done', 'failed'];
