/**
 * The steps of an attempt, one per phase, in the order in which they happen. Each says how it recognises that a life before this one
 * has already done it (SPEC.md, [D3]).
 */
import { Fault, messageOf, toFault } from '../base/fault.ts';
import type { SessionId } from '../base/ids.ts';
import { clip } from '../base/text.ts';
import { verifyInCleanCheckout } from '../gates/index.ts';
import { gitLine } from '../platform/git.ts';
import { branchRef } from '../platform/worktree.ts';
import type { Landed } from '../platform/worktree-work.ts';
import type { Outcome, OutcomeReason } from '../protocol/job.ts';
import type { Receipt } from '../protocol/session.ts';
import type { TurnError } from '../protocol/state.ts';
import type { Sessions, TurnEnd } from '../sessions/index.ts';
import { type AttemptRun, cancelled, type StepResult, type Steps, tell } from './attempt.ts';
import { buildPrompt, endsWithMarker } from './prompt.ts';

export interface StepLimits {
  readonly startMs: number;
  readonly setupMs: number;
  readonly turnMs: number;
  readonly verifyMs: number;
}

export interface StepOptions {
  readonly limits: StepLimits;
  /** Folder for clean checkouts. */
  readonly checkouts: string;
  /** Starts the session of an attempt, or finds it started. */
  readonly startSession: (run: AttemptRun) => ReturnType<Sessions['start']>;
  /** Environment of verify commands. */
  readonly environment: Readonly<Record<string, string>>;
}

/** What a verify command may print before the rest is dropped. */
const verifyOutputBytesMax = 4 * 1024 * 1024;
/** How much of the agent's last words an outcome keeps. */
const messageCharsMax = 2000;

export function attemptSteps(options: StepOptions): Steps {
  return {
    claimed: prepareWorkspace,
    prepared: (run) => startSession(run, options),
    started: (run) => announcePrompt(run, options),
    delivering: (run) => deliverPrompt(run, options),
    delivered: (run) => awaitTurn(run, options),
    ended: captureWork,
    captured: (run) => verifyWork(run, options),
    verified: landWork,
    landed: concludeDone,
  };
}

/** A worktree on its own branch with the persona in it; made again over a half-made one. */
async function prepareWorkspace(run: AttemptRun): Promise<StepResult> {
  const made = await run.workspace.prepare(run);
  if (made.kind === 'failed') return failed('WORKSPACE_FAILED', made.reason);
  const { persona } = made;
  if (persona.kind === 'file') {
    const { name, version, path, sources } = persona;
    await tell(run, { type: 'persona.written', data: { persona: name, version, path, sources } });
  }
  return {
    kind: 'advance',
    to: 'prepared',
    event: {
      type: 'workspace.prepared',
      data: {
        worktree: run.attempt.worktree,
        branch: run.attempt.branch,
        base: run.job.baseCommit,
        persona:
          persona.kind === 'file'
            ? { kind: 'file', path: persona.path, version: persona.version }
            : { kind: 'prompt', reason: persona.reason, version: persona.version },
        unignored: made.unignored,
        shared: made.shared,
      },
    },
  };
}

/** The session's id was fixed at the claim; asking for one that runs gives that one. */
async function startSession(run: AttemptRun, options: StepOptions): Promise<StepResult> {
  const started = await options.startSession(run);
  if (started.kind === 'failed') return failed('AGENT_DID_NOT_START', started.reason);
  const { session } = started;
  return {
    kind: 'advance',
    to: 'started',
    event: {
      type: 'session.started',
      data: { agent: session.agent, version: session.agentVersion, tested: session.agentTested, pid: session.pid },
    },
  };
}

/** Waits for the agent's prompt, then writes down what will be typed before any of it is. */
async function announcePrompt(run: AttemptRun, { limits }: StepOptions): Promise<StepResult> {
  const ready = await run.sessions.ready(run.attempt.sessionId as SessionId, {
    startMs: limits.startMs,
    setupMs: limits.setupMs,
    signal: run.signal,
  });
  switch (ready.kind) {
    case 'ready':
      return {
        kind: 'advance',
        to: 'delivering',
        facts: { prompt: buildPrompt(run.job, await run.workspace.placePersona(run)) },
        event: { type: 'prompt.typing', data: { inputId: inputId(run), state: ready.state, source: ready.source } },
      };
    case 'ended':
      return failed(
        ready.hostLost ? 'HOST_LOST' : ready.crashed ? 'AGENT_CRASHED' : 'AGENT_EXITED',
        `${ready.reason} before it was ready`,
      );
    case 'needs-setup':
      return failed('AGENT_NEEDS_SETUP', ready.reason);
    case 'late':
      return failed('AGENT_DID_NOT_START', ready.reason);
  }
}

/** One id for the whole life of the attempt: the host applies each part of an input at most once. */
const inputId = (run: AttemptRun): string => `prompt-${run.attempt.id}`;

/** [D6] What may have been typed and is not proved to have been received is unknown, whatever broke off. */
async function deliverPrompt(run: AttemptRun, { limits }: StepOptions): Promise<StepResult> {
  const text = run.attempt.prompt;
  if (text === null) throw new Fault('INTERNAL', `attempt ${run.attempt.id} delivers without a prompt`);
  const sessionId = run.attempt.sessionId as SessionId;
  const id = inputId(run);
  try {
    const receipt = await run.sessions.deliver(sessionId, {
      inputId: id,
      text,
      readyMs: limits.startMs,
      signal: run.signal,
    });
    return afterReceipt(receipt, id);
  } catch (error) {
    // What broke off before the first byte of it is a fault like any other.
    if (run.signal.aborted || !run.sessions.mayBeTyped(sessionId, id)) throw error;
    return unconfirmed(`typing the prompt; then: ${messageOf(error)}`);
  }
}

const unconfirmed = (tried: string): StepResult => ({
  kind: 'settle',
  outcome: { kind: 'unknown', reason: 'PROMPT_UNCONFIRMED', tried, commit: null },
});

function afterReceipt(receipt: Receipt, id: string): StepResult {
  switch (receipt.kind) {
    case 'accepted':
      return {
        kind: 'advance',
        to: 'delivered',
        event: {
          type: 'prompt.accepted',
          data: { inputId: id, by: receipt.by, reason: receipt.reason, at: receipt.at },
        },
      };
    case 'refused':
      return failed('PROMPT_REFUSED', receipt.reason);
    case 'unknown':
      return unconfirmed(receipt.tried);
  }
}

async function awaitTurn(run: AttemptRun, options: StepOptions): Promise<StepResult> {
  const end = await turnEnd(run, options);
  if (end.kind !== 'cut') return afterTurn(end);
  return (await goOn(run, options, end.reason)) ?? afterTurn(await turnEnd(run, options));
}

const turnEnd = (run: AttemptRun, { limits }: StepOptions): Promise<TurnEnd> =>
  run.sessions.turnEnd(run.attempt.sessionId as SessionId, { limitMs: limits.turnMs, signal: run.signal });

const goOnText = 'The connection was cut. Go on with the task where you were.';

/**
 * [D16] A word to the process that goes on with the conversation, by an input id of its own. When it was received the turn that it
 * began is the attempt's, also for a life after this one. Undefined if it was.
 */
async function goOn(run: AttemptRun, { limits }: StepOptions, cause: string): Promise<StepResult | undefined> {
  const { startMs, setupMs } = limits;
  const sessionId = run.attempt.sessionId as SessionId;
  const ready = await run.sessions.ready(sessionId, { startMs, setupMs, signal: run.signal });
  if (ready.kind !== 'ready')
    return failed('HOST_LOST', `${cause}; the session was started again, and ${ready.reason}`);
  const id = `${inputId(run)}-resume`;
  const receipt = await run.sessions.deliver(sessionId, {
    inputId: id,
    text: goOnText,
    readyMs: startMs,
    signal: run.signal,
  });
  if (receipt.kind === 'refused') return failed('HOST_LOST', `${cause}; to go on was refused: ${receipt.reason}`);
  const said = afterReceipt(receipt, id);
  if (said.kind === 'settle') return said;
  await tell(run, said.event);
  return undefined;
}

function afterTurn(end: TurnEnd): StepResult {
  switch (end.kind) {
    case 'done': {
      const message = clip(end.message, messageCharsMax);
      return {
        kind: 'advance',
        to: 'ended',
        event: {
          type: 'turn.ended',
          data: {
            source: end.source,
            reason: end.reason,
            marker: endsWithMarker(end.message),
            message,
            toolCalls: end.toolCalls,
          },
        },
      };
    }
    case 'failed':
      return failed(
        reasonOfError(end.error),
        end.error
          ? `${end.error.message}${end.error.http === undefined ? '' : ` (HTTP ${end.error.http})`}`
          : end.reason,
      );
    case 'interrupted':
      return failed('TURN_INTERRUPTED', end.reason);
    case 'exited':
      return failed('AGENT_EXITED', end.reason);
    case 'crashed':
      return failed('AGENT_CRASHED', end.reason);
    case 'late':
      return failed('TURN_TIMED_OUT', end.reason);
    case 'cut':
    case 'host-lost':
      return failed('HOST_LOST', end.reason);
    case 'lost':
      return { kind: 'settle', outcome: { kind: 'unknown', reason: 'SESSION_LOST', tried: end.reason, commit: null } };
  }
}

function reasonOfError(error: TurnError | undefined): OutcomeReason {
  if (error?.kind === 'authentication') return 'AUTHENTICATION_LOST';
  if (error?.kind === 'rate-limit' || error?.kind === 'usage-limit') return 'USAGE_LIMIT';
  return 'TURN_FAILED';
}

/** The worktree's content becomes one commit under refs/muster/attempts; doing it again gives the same content again. */
async function captureWork(run: AttemptRun): Promise<StepResult> {
  const captured = await run.workspace.capture(run);
  if (captured.kind === 'captured') {
    return {
      kind: 'advance',
      to: 'captured',
      facts: { commit: captured.commit },
      event: {
        type: 'work.captured',
        data: { commit: captured.commit, files: captured.files.slice(0, filesMax), fileCount: captured.fileCount },
      },
    };
  }
  if (!run.job.allowEmpty) return failed('NO_CHANGES', 'the agent ended its turn without changing anything');
  return {
    kind: 'advance',
    to: 'captured',
    facts: { commit: run.job.baseCommit },
    event: { type: 'work.captured', data: { commit: null, files: [], fileCount: 0 } },
  };
}

/** Files an event or an outcome names; the commit has them all. */
const filesMax = 100;

async function verifyWork(run: AttemptRun, options: StepOptions): Promise<StepResult> {
  const commit = commitOf(run);
  if (run.job.verify === null)
    return {
      kind: 'advance',
      to: 'verified',
      event: { type: 'verification.passed', data: { command: null, commit, note: 'this job has no verify command' } },
    };
  await tell(run, { type: 'verification.started', data: { command: run.job.verify, commit } });
  const result = await verifyInCleanCheckout({
    repository: run.job.projectPath,
    commit,
    command: run.job.verify,
    dir: options.checkouts,
    timeoutMs: options.limits.verifyMs,
    outputBytesMax: verifyOutputBytesMax,
    env: options.environment,
    signal: run.signal,
  });
  if (result.kind === 'passed')
    return {
      kind: 'advance',
      to: 'verified',
      event: { type: 'verification.passed', data: { ...result.verification } },
    };
  run.signal.throwIfAborted();
  const reason = (
    { failed: 'VERIFY_FAILED', 'timed-out': 'VERIFY_TIMED_OUT', 'could-not-run': 'VERIFY_COULD_NOT_RUN' } as const
  )[result.kind];
  await tell(run, { type: 'verification.failed', data: { ...result.verification, reason } });
  return {
    kind: 'settle',
    outcome: { kind: 'failed', reason, detail: result.reason, commit, verification: result.verification },
  };
}

/**
 * Compare-and-swap of the branch; a branch that points to the commit already is landed. [D13] That a life before this one has moved it,
 * and died before it could say so, is seen there alone; so it is looked at before a cancellation is obeyed and after a move broke off.
 *
 * [D10] A git that was stopped may still move the branch after it was looked at. It is asked for once more, which moves it or finds it
 * moved; where it does neither, nobody knows.
 */
async function landWork(run: AttemptRun): Promise<StepResult> {
  const commit = commitOf(run);
  const { branch } = run.attempt;
  if (run.cancel.aborted) {
    const stands = await standsAt(run, commit).catch(toFault);
    if (stands === false) return cancelled(run);
    if (stands !== true)
      return unlanded(
        commit,
        `looking whether branch ${branch} was moved to ${commit} before ${String(run.cancel.reason)} cancelled; it can't be read: ${stands.message}`,
      );
  }
  const first = await tryToLand(run, commit);
  const stopped = first.kind === 'broken' && first.fault.code === 'TIMED_OUT';
  const last = stopped ? await tryToLand(run, commit) : first;
  if (last.kind === 'landed') return landedAt(run, commit, last.warning);
  const stands = await standsAt(run, commit).catch(toFault);
  if (stands === true) return landedAt(run, commit, last.reason);
  if (stopped || stands !== false) {
    const again = stopped ? `${first.reason}; and again; then: ` : '';
    const where =
      stands === false ? 'a git that was stopped may move it yet' : `where it stands can't be read: ${stands.message}`;
    return unlanded(commit, `moving branch ${branch} to ${commit}; then: ${again}${last.reason}; and ${where}`);
  }
  if (last.kind === 'broken') throw last.fault;
  const outcome = { kind: 'failed', reason: 'BRANCH_MOVED', detail: last.reason, commit, verification: null } as const;
  return { kind: 'settle', outcome };
}

type Tried = Landed | { readonly kind: 'broken'; readonly reason: string; readonly fault: Fault };

const tryToLand = (run: AttemptRun, commit: string): Promise<Tried> =>
  run.workspace.land(run, commit).catch((error: unknown) => {
    const fault = toFault(error);
    return { kind: 'broken', reason: fault.message, fault };
  });

const unlanded = (commit: string, tried: string): StepResult => ({
  kind: 'settle',
  outcome: { kind: 'unknown', reason: 'WORKSPACE_FAILED', tried, commit },
});

/** Throws where it can't be read: a repository that does not answer is no branch that stands elsewhere. */
const standsAt = async ({ job, attempt }: AttemptRun, commit: string): Promise<boolean> =>
  (await gitLine(['for-each-ref', '--format=%(objectname)', branchRef(attempt.branch)], { cwd: job.projectPath })) ===
  commit;

const landedAt = (run: AttemptRun, commit: string, warning: string | undefined): StepResult => ({
  kind: 'advance',
  to: 'landed',
  event: {
    type: 'branch.landed',
    data: { branch: run.attempt.branch, commit, ...(warning === undefined ? {} : { warning }) },
  },
});

/** The evidence is read from the events, so that a later life tells the same story. */
async function concludeDone(run: AttemptRun): Promise<StepResult> {
  const story = await run.workspace.story(run);
  const empty = commitOf(run) === run.job.baseCommit;
  const outcome: Outcome = {
    kind: 'done',
    branch: run.attempt.branch,
    commit: empty ? null : commitOf(run),
    files: story.files,
    verification: story.verification,
    message: story.message,
  };
  return { kind: 'settle', outcome };
}

function commitOf(run: AttemptRun): string {
  const commit = run.attempt.commit;
  if (commit === null)
    throw new Fault('INTERNAL', `attempt ${run.attempt.id} has no commit in phase ${run.attempt.phase}`);
  return commit;
}

const failed = (reason: OutcomeReason, detail: string): StepResult => ({
  kind: 'settle',
  outcome: { kind: 'failed', reason, detail, commit: null, verification: null },
});
