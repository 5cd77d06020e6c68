/**
 * What is kept on disk of one session, in `session.json` of its folder: enough to find it again after any restart.
 *
 * The file is written before the process is started (so that no process exists that nobody knows), after each change of what is known,
 * and before we end it (so that its exit is told from a crash). It holds no environment and no secret of the user.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { AgentMemory, RowsSearch, Watch } from '../agents/agent.ts';
import { Fault, isErrno, messageOf } from '../base/fault.ts';
import type { SessionId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { writeFileAtomically } from '../platform/atomic-file.ts';
import { unkeptRuleSchema } from '../protocol/rules.ts';
import { agentIds } from '../protocol/session.ts';
import { type SessionFacts, sessionFactsSchema } from '../state/index.ts';
import type { PoolMark } from './pool/pool.ts';
import { resumedSchema, startedWithSchema } from './resume.ts';

/** Raised when a field changes its meaning; older files are then read as sessions whose state is unknown. */
const recordVersion = 1;

const rowsSearchSchema: z.ZodType<RowsSearch> = z
  .object({
    dir: z.string(),
    depth: z.number(),
    suffix: z.string(),
    nameHas: z.string().optional(),
    firstRowHas: z.string().optional(),
  })
  .transform((search) => ({ ...search, nameHas: search.nameHas, firstRowHas: search.firstRowHas }));

const watchSchema: z.ZodType<Watch> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('spool'), dir: z.string(), source: z.literal('hook') }),
  z.object({ kind: z.literal('json-file'), path: z.string(), source: z.literal('sessionFile') }),
  z
    .object({
      kind: z.literal('rows'),
      path: z.string().optional(),
      source: z.literal('transcript'),
      find: rowsSearchSchema.optional(),
    })
    .transform(({ find, ...watch }) => ({ ...watch, path: watch.path, ...(find ? { find } : {}) })),
]);

/** Where a session lives that somebody else started. Never an index: those are given away again. */
const adoptedSchema = z.object({
  place: z.discriminatedUnion('kind', [
    z.object({
      kind: z.literal('tmux'),
      socket: z.string(),
      pane: z.string(),
      panePid: z.int(),
      paneStart: z.string(),
    }),
    z.object({ kind: z.literal('cmux'), surface: z.string(), tty: z.string().nullable() }),
  ]),
  role: z.string(),
  /** As `session adopt` takes it. */
  target: z.string(),
  /** Start times of processes count from it. */
  bootId: z.string(),
});
export type AdoptedRecord = z.infer<typeof adoptedSchema>;

const poolMarkSchema: z.ZodType<PoolMark> = z.object({
  project: z.string(),
  persona: z.string(),
  personaVersion: z.string(),
  kind: z.enum(['warm', 'cold']),
  // An older record has none, which equals none: such a session is replaced.
  launch: z.string().default(''),
});

const begunInputSchema = z.object({ inputId: z.string(), at: z.number() });
export type BegunInput = z.infer<typeof begunInputSchema>;

const recordSchema = z.object({
  version: z.literal(recordVersion),
  id: z.string(),
  instance: z.string(),
  agent: z.enum(agentIds),
  agentVersion: z.string(),
  agentTested: z.boolean(),
  persona: z.string(),
  personaVersion: z.string().nullable().default(null),
  unkeptRules: z.array(unkeptRuleSchema).default([]),
  title: z.string(),
  cwd: z.string(),
  cols: z.int(),
  rows: z.int(),
  createdAt: z.number(),
  pid: z.int().nullable(),
  startTicks: z.string().nullable(),
  watches: z.array(watchSchema),
  rowsOffset: z.number(),
  /** We asked it to end: an exit after that is no crash. */
  endAsked: z.boolean(),
  exit: z.object({ code: z.int().nullable(), signal: z.string().nullable(), at: z.number() }).nullable(),
  lastOutputAt: z.number().nullable(),
  memory: z.record(z.string(), z.unknown()),
  facts: sessionFactsSchema,
  /** Only of a session that a pool keeps. */
  pool: poolMarkSchema.optional(),
  /** Since when it stands ready for a job in its pool; null: a job has it. */
  readyAt: z.number().nullable().optional(),
  /** Processes with this mark before any job worked in it (the agent, its helpers), each as its pid and start. */
  own: z.object({ instance: z.string(), processes: z.array(z.string()) }).optional(),
  /** Only of a session that was adopted. */
  adopted: adoptedSchema.optional(),
  /** When a person last typed into it through us. */
  typedAt: z.number().optional(),
  /** The beginning of the last prompt that we pasted: left in the input box it is known as ours. */
  lastText: z.string().optional(),
  /** The last inputs whose paste was intended, oldest first. */
  begun: z.array(begunInputSchema).optional(),
  /** The conversation's id as the agent of this very process told it. */
  toldResumeId: z.string().optional(),
  startedWith: startedWithSchema.optional(),
  /** Which process of this session it is, counted from 1, and how often its conversation was gone on with after a host had died. */
  incarnation: z.int().optional(),
  resumes: z.int().optional(),
  resumed: resumedSchema.optional(),
  /** It ended with its host, and was not resumed. */
  hostLost: z.boolean().optional(),
});

/** Before there were several, the last input that was begun stood alone. */
const storedSchema = recordSchema.extend({ pasted: begunInputSchema.optional() });

export interface SessionRecord extends Omit<z.infer<typeof recordSchema>, 'id' | 'memory' | 'facts'> {
  readonly id: SessionId;
  readonly memory: AgentMemory;
  readonly facts: SessionFacts;
}

const fileName = 'session.json';

/** What a session without a persona of ours has not. */
type Defaulted = 'personaVersion' | 'unkeptRules';

export const newRecord = (
  record: Omit<SessionRecord, 'version' | Defaulted> & Partial<Pick<SessionRecord, Defaulted>>,
): SessionRecord => ({ version: recordVersion, personaVersion: null, unkeptRules: [], ...record });

export const writeRecord = (dir: string, record: SessionRecord): Promise<void> =>
  writeFileAtomically(join(dir, fileName), JSON.stringify(record));

/** Folders looked into at once: there can be thousands, and descriptors are few. */
const readAtOnce = 32;
/** Answers of the system that say what lies there, and will say so again: no record. Any other may be about the moment. */
const noRecord = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP'];

/**
 * Every session that has a record under `root`, oldest first. What is no record is left where it is and said in the log. One that can't
 * be read at the moment is a Fault: to go on without it would be to end a session that nobody knows.
 */
export async function readRecords(root: string, log: Log): Promise<SessionRecord[]> {
  const names = await readdir(root).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const records: SessionRecord[] = [];
  for (let at = 0; at < names.length; at += readAtOnce) {
    const slice = names.slice(at, at + readAtOnce);
    const read = await Promise.all(slice.map((name) => readRecord(join(root, name), log)));
    records.push(...read.filter((record) => record !== undefined));
  }
  return records.toSorted((a, b) => a.createdAt - b.createdAt);
}

async function readRecord(dir: string, log: Log): Promise<SessionRecord | undefined> {
  const path = join(dir, fileName);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (!noRecord.some((code) => isErrno(error, code)))
      throw new Fault('SESSION_UNREADABLE', `The record of a session can not be read: ${messageOf(error)}`, {
        cause: error,
        subject: path,
        hint: 'Nothing was ended. Make the file readable and start again.',
      });
    if (!isErrno(error, 'ENOENT') && !isErrno(error, 'ENOTDIR')) log.warn({ path, error }, 'this is no session record');
    return undefined;
  }
  try {
    const { pasted, ...record } = storedSchema.parse(JSON.parse(text));
    return { ...record, ...(pasted && !record.begun ? { begun: [pasted] } : {}) } as SessionRecord;
  } catch (error) {
    log.warn({ path, error }, 'this is no session record');
    return undefined;
  }
}
