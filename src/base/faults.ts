/**
 * The closed table of faults: every expected error that a person or a program can meet, with what follows from it.
 * `blame` says whose failure it is: the person's (wrong use), the outside's (network, disk, another program) or ours.
 * Exit codes: 1 the answer is no, 2 wrong use, 3 no daemon, 4 the outside, 5 ours. test/tidy keeps docs/faults.md equal to this table.
 */
export interface FaultEntry {
  readonly meaning: string;
  readonly status: number;
  readonly exit: 1 | 2 | 3 | 4 | 5;
  readonly blame: 'person' | 'outside' | 'ours';
}

export const faults = {
  BAD_REQUEST: { meaning: 'A request or option has a wrong shape or value', status: 400, exit: 2, blame: 'person' },
  UNAUTHORIZED: { meaning: 'The token or cookie is missing or wrong', status: 401, exit: 2, blame: 'person' },
  FORBIDDEN_ORIGIN: { meaning: 'The Host or Origin header is not ours', status: 403, exit: 2, blame: 'person' },
  NOT_FOUND: { meaning: 'Nothing has this id or name', status: 404, exit: 1, blame: 'person' },
  ROUTE_UNKNOWN: { meaning: 'The server has no such address', status: 404, exit: 2, blame: 'person' },
  WRONG_STATE: { meaning: 'The thing is in a state that does not allow this', status: 409, exit: 1, blame: 'person' },
  WORK_TEXT_TOO_SHORT: { meaning: 'The text of the job is too short to act on', status: 422, exit: 2, blame: 'person' },
  WORK_TEXT_TOO_LONG: {
    meaning: 'The text of the job is longer than a prompt may be',
    status: 422,
    exit: 2,
    blame: 'person',
  },
  WORK_TEXT_UNSAFE: {
    meaning: 'The text holds control characters that a terminal would act on',
    status: 422,
    exit: 2,
    blame: 'person',
  },
  AGENT_UNKNOWN: { meaning: 'No adapter has this name', status: 422, exit: 2, blame: 'person' },
  AGENT_MISSING: {
    meaning: 'The agent is not installed or could not be started',
    status: 422,
    exit: 4,
    blame: 'outside',
  },
  PERSONA_UNKNOWN: { meaning: 'No persona has this name', status: 422, exit: 2, blame: 'person' },
  PERSONA_INVALID: { meaning: 'The persona file can not be used', status: 422, exit: 2, blame: 'person' },
  PERSONA_UNTRUSTED: {
    meaning: 'The persona belongs to a project that is not trusted',
    status: 422,
    exit: 2,
    blame: 'person',
  },
  PROJECT_NOT_A_REPOSITORY: {
    meaning: 'The path is not inside a git repository',
    status: 422,
    exit: 2,
    blame: 'person',
  },
  PROJECT_WITHOUT_COMMIT: {
    meaning: 'The repository has no commit to start from',
    status: 422,
    exit: 2,
    blame: 'person',
  },
  PROJECT_DIRTY: {
    meaning: 'The repository has uncommitted changes that the job would not see',
    status: 422,
    exit: 2,
    blame: 'person',
  },
  CONFIG_UNREADABLE: { meaning: 'The configuration file can not be read', status: 500, exit: 2, blame: 'person' },
  CONFIG_INVALID: { meaning: 'The configuration file has a wrong value', status: 500, exit: 2, blame: 'person' },
  DAEMON_DOWN: { meaning: 'No daemon answers', status: 503, exit: 3, blame: 'person' },
  DAEMON_ALREADY_RUNS: { meaning: 'Another daemon owns this home', status: 409, exit: 1, blame: 'person' },
  DAEMON_FAILED_TO_START: { meaning: 'The daemon ended before it was ready', status: 500, exit: 4, blame: 'outside' },
  PORT_TAKEN: { meaning: 'The port is in use by another program', status: 500, exit: 4, blame: 'outside' },
  HOST_DOWN: { meaning: 'The PTY host does not answer', status: 503, exit: 4, blame: 'outside' },
  HOST_REFUSED: { meaning: 'The PTY host refused a command', status: 502, exit: 4, blame: 'outside' },
  HOST_UPGRADE: {
    meaning: 'The PTY host could not be upgraded and goes on as it was',
    status: 409,
    exit: 4,
    blame: 'outside',
  },
  HOST_VERSION: {
    meaning: 'The PTY host speaks another version of the protocol',
    status: 502,
    exit: 4,
    blame: 'outside',
  },
  SESSION_UNREADABLE: {
    meaning: 'The record of a session is there and can not be read',
    status: 500,
    exit: 4,
    blame: 'outside',
  },
  TERMINAL_UNREACHABLE: {
    meaning: 'The program that holds the terminal (tmux, cmux) does not answer or lets nobody in',
    status: 502,
    exit: 4,
    blame: 'outside',
  },
  DISK_FULL: { meaning: 'There is no space left to write', status: 507, exit: 4, blame: 'outside' },
  GIT_FAILED: { meaning: 'A git command failed', status: 500, exit: 4, blame: 'outside' },
  LEDGER_BUSY: { meaning: 'Another process holds the ledger', status: 500, exit: 4, blame: 'outside' },
  LEDGER_DAMAGED: { meaning: 'The ledger file is not readable as a ledger', status: 500, exit: 4, blame: 'outside' },
  LEDGER_UNREACHABLE: {
    meaning: 'The ledger file can not be opened or written',
    status: 500,
    exit: 4,
    blame: 'outside',
  },
  LEDGER_NEWER: {
    meaning: 'The ledger was written by a newer version of Muster',
    status: 500,
    exit: 2,
    blame: 'person',
  },
  RECORDING_INVALID: { meaning: 'The recording is not in asciicast v2 form', status: 422, exit: 2, blame: 'person' },
  ANSWER_LOST: {
    meaning: 'The connection broke before the answer came: whether it was done is unknown',
    status: 502,
    exit: 4,
    blame: 'outside',
  },
  TIMED_OUT: { meaning: 'The wait ended before the answer came', status: 504, exit: 4, blame: 'outside' },
  INTERNAL: { meaning: 'A defect of ours', status: 500, exit: 5, blame: 'ours' },
} as const satisfies Record<string, FaultEntry>;

export type FaultCode = keyof typeof faults;
