/**
 * The HTTP requests of the daemon, one entry each: method, path, body, answer. The server registers exactly these, the command line and
 * the browser call exactly these. Every answer that is not 2xx is a `faultSchema`.
 */
import { z } from 'zod';
import { addresses } from './addresses.ts';
import { attemptViewSchema, eventSchema, jobStateSchema, jobViewSchema, totalsSchema } from './job.ts';
import { listedPersonaSchema, personaDetailSchema, personaListSchema, projectTrustSchema } from './persona.ts';
import { receiptSchema, sessionViewSchema, sessionWhySchema } from './session.ts';
import { treeSchema } from './tree.ts';
import { worktreeListSchema, worktreeRemovalSchema, worktreeViewSchema } from './worktree.ts';

export const faultSchema = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    hint: z.string().optional(),
    subject: z.string().optional(),
  }),
});
export type FaultBody = z.infer<typeof faultSchema>;

/** `text` is checked by intake, so that its errors carry intake's codes. */
export const submitJobSchema = z.strictObject({
  text: z.string(),
  /** Absolute path inside the repository. */
  projectPath: z.string().min(1).max(4096),
  persona: z.string().min(1).max(100).optional(),
  agent: z.string().min(1).max(100).optional(),
  verify: z.string().min(1).max(4000).optional(),
  /** A job that ends its turn without any change counts as done, not as failed. */
  allowEmpty: z.boolean().optional(),
  /** Start although the repository has uncommitted changes (the job does not see them). */
  allowDirty: z.boolean().optional(),
  /** The same key with the same content gives the job that is already there. */
  idempotencyKey: z.string().min(1).max(200).optional(),
  submittedBy: z.string().max(100).optional(),
});
export type SubmitJob = z.infer<typeof submitJobSchema>;

export const listJobsSchema = z.strictObject({
  state: jobStateSchema.optional(),
  limit: z.coerce.number().int().min(1).max(500).optional(),
  /** Only jobs with a smaller number than this one: the cursor for the next page. */
  before: z
    .string()
    .regex(/^j\d+$/)
    .optional(),
});
export type ListJobs = z.infer<typeof listJobsSchema>;

const ok = z.object({ ok: z.literal(true) });
const empty = z.strictObject({});

export const hostStatusSchema = z.object({
  connected: z.boolean(),
  pid: z.int().nullable(),
  startedAt: z.number().nullable(),
  rssBytes: z.number().nullable(),
});

export const statusSchema = z.object({
  version: z.string(),
  home: z.string(),
  url: z.string(),
  daemon: z.object({ pid: z.int(), startedAt: z.number(), rssBytes: z.number(), node: z.string() }),
  host: hostStatusSchema,
  jobs: totalsSchema,
  /** The job whose turn it is, if it can't start. */
  waiting: z.object({ jobId: z.string(), reason: z.string() }).nullable(),
  sessions: z.array(sessionViewSchema),
  lastEvent: z.int(),
});
export type Status = z.infer<typeof statusSchema>;

export const whyStepSchema = z.object({ at: z.number(), what: z.string(), evidence: z.string() });
export const jobWhySchema = z.object({
  job: jobViewSchema,
  attempts: z.array(attemptViewSchema),
  steps: z.array(whyStepSchema),
  conclusion: z.string(),
});
export type JobWhy = z.infer<typeof jobWhySchema>;

export const jobPageSchema = z.object({
  jobs: z.array(jobViewSchema),
  next: z.string().nullable(),
  totals: totalsSchema,
});
export type JobPage = z.infer<typeof jobPageSchema>;
export const jobDetailSchema = z.object({ job: jobViewSchema, attempts: z.array(attemptViewSchema) });
export type JobDetail = z.infer<typeof jobDetailSchema>;
export const eventPageSchema = z.object({ events: z.array(eventSchema), next: z.int().nullable() });
export type EventPage = z.infer<typeof eventPageSchema>;

export const agentStatusSchema = z.object({
  id: z.string(),
  title: z.string(),
  found: z.boolean(),
  path: z.string().nullable(),
  version: z.string().nullable(),
  testedRange: z.string(),
  tested: z.boolean(),
  detail: z.string(),
});
export type AgentStatus = z.infer<typeof agentStatusSchema>;

export const checkResultSchema = z.object({
  id: z.string(),
  what: z.string(),
  verdict: z.enum(['ok', 'warn', 'fail', 'unknown']),
  expected: z.string(),
  found: z.string(),
  remedy: z.string().nullable(),
});
export type CheckResult = z.infer<typeof checkResultSchema>;

const pageOfEvents = z.strictObject({
  after: z.coerce.number().int().min(0).optional(),
  limit: z.coerce.number().int().min(1).max(1000).optional(),
});

export const sendTextSchema = z.strictObject({
  text: z.string().min(1).max(200_000),
  inputId: z.string().min(1).max(100).optional(),
  /** Waits so long for the agent's prompt; without it a session that is busy refuses. */
  queueMs: z.int().min(0).max(600_000).optional(),
  /** Empties the input box first if somebody's draft stands in it. */
  overDraft: z.boolean().optional(),
  /** Sends also what the agent takes for a command of its own. */
  raw: z.boolean().optional(),
});
export const answerSchema = z.strictObject({
  decision: z.enum(['allow', 'deny']),
  permissionId: z.string().max(200).optional(),
});
export const stopSessionSchema = z.strictObject({
  graceMs: z.int().min(0).max(60_000).optional(),
  /** Needed to end an agent that a person started. */
  force: z.boolean().optional(),
});
export const adoptSessionSchema = z.strictObject({
  /** `tmux:PANE`, `tmux:SOCKET/PANE` or `cmux:SURFACE`. */
  target: z.string().min(1).max(1000),
  agent: z.string().min(1).max(100).optional(),
  /** What it is called; by default the agent's name and a number. */
  role: z.string().trim().min(1).max(60).optional(),
});

const folderPath = z.string().min(1).max(4096);
/** Without a project only the personas of the home and the built-in ones are seen. */
const ofProject = z.strictObject({ project: folderPath.optional() });
const personaText = z.string().max(200_000);
export const checkPersonaSchema = z.strictObject({ text: personaText, project: folderPath.optional() });
export const writePersonaSchema = z.strictObject({
  text: personaText,
  /** What the file held when it was read; null: it was absent. */
  base: personaText.nullable(),
});
export const removeWorktreeSchema = z.strictObject({
  dryRun: z.boolean().optional(),
  /** Repositories inside it (submodules, clones) go unsaved. */
  discardNested: z.boolean().optional(),
});

/** The process that holds the terminals. */
export const runningHostSchema = z.object({
  pid: z.int(),
  startedAt: z.number(),
  version: z.string().nullable(),
  /** Which code it runs, and which is installed; null if it is too old to say. They differ: `muster host upgrade`. */
  code: z.string().nullable(),
  installed: z.string(),
  /** In place, since it was started. */
  upgrades: z.int(),
  /** Those that live. */
  sessions: z.int(),
});
export type RunningHost = z.infer<typeof runningHostSchema>;

/** Method and path are in `addresses.ts`; `query` and `body` are strict, so that a misspelt option is an error and not silence. */
export const routes = {
  status: { ...addresses.status, query: empty, answer: statusSchema },
  submitJob: {
    ...addresses.submitJob,
    body: submitJobSchema,
    answer: z.object({ job: jobViewSchema, already: z.boolean() }),
  },
  listJobs: { ...addresses.listJobs, query: listJobsSchema, answer: jobPageSchema },
  showJob: { ...addresses.showJob, query: empty, answer: jobDetailSchema },
  jobEvents: { ...addresses.jobEvents, query: pageOfEvents, answer: eventPageSchema },
  whyJob: { ...addresses.whyJob, query: empty, answer: jobWhySchema },
  cancelJob: { ...addresses.cancelJob, body: empty, answer: z.object({ job: jobViewSchema }) },
  retryJob: { ...addresses.retryJob, body: empty, answer: z.object({ job: jobViewSchema }) },
  listEvents: { ...addresses.listEvents, query: pageOfEvents, answer: eventPageSchema },
  listSessions: {
    ...addresses.listSessions,
    query: empty,
    answer: z.object({ sessions: z.array(sessionViewSchema) }),
  },
  showSession: {
    ...addresses.showSession,
    query: empty,
    answer: z.object({ session: sessionViewSchema }),
  },
  whySession: { ...addresses.whySession, query: empty, answer: sessionWhySchema },
  tailSession: {
    ...addresses.tailSession,
    query: z.strictObject({ lines: z.coerce.number().int().min(1).max(2000).optional() }),
    answer: z.object({ session: sessionViewSchema, lines: z.array(z.string()) }),
  },
  sendSession: {
    ...addresses.sendSession,
    body: sendTextSchema,
    answer: z.object({ receipt: receiptSchema }),
  },
  answerSession: {
    ...addresses.answerSession,
    body: answerSchema,
    answer: z.object({ receipt: receiptSchema }),
  },
  interruptSession: {
    ...addresses.interruptSession,
    body: empty,
    answer: z.object({ receipt: receiptSchema }),
  },
  stopSession: {
    ...addresses.stopSession,
    body: stopSessionSchema,
    answer: z.object({ session: sessionViewSchema }),
  },
  adoptSession: {
    ...addresses.adoptSession,
    body: adoptSessionSchema,
    answer: z.object({ session: sessionViewSchema, already: z.boolean() }),
  },
  releaseSession: {
    ...addresses.releaseSession,
    body: empty,
    answer: z.object({ session: sessionViewSchema }),
  },
  sessionTree: { ...addresses.sessionTree, query: empty, answer: treeSchema },
  listPersonas: { ...addresses.listPersonas, query: ofProject, answer: personaListSchema },
  showPersona: { ...addresses.showPersona, query: ofProject, answer: personaDetailSchema },
  checkPersona: { ...addresses.checkPersona, body: checkPersonaSchema, answer: personaDetailSchema },
  writePersona: { ...addresses.writePersona, body: writePersonaSchema, answer: personaDetailSchema },
  listProjects: {
    ...addresses.listProjects,
    query: empty,
    answer: z.object({ projects: z.array(projectTrustSchema) }),
  },
  showProject: {
    ...addresses.showProject,
    query: z.strictObject({ project: folderPath }),
    answer: z.object({ trust: projectTrustSchema, personas: z.array(listedPersonaSchema) }),
  },
  trustProject: {
    ...addresses.trustProject,
    body: z.strictObject({ project: folderPath, hash: z.string().min(1).max(100) }),
    answer: z.object({ trust: projectTrustSchema }),
  },
  distrustProject: {
    ...addresses.distrustProject,
    body: z.strictObject({ project: folderPath }),
    answer: z.object({ trust: projectTrustSchema }),
  },
  listWorktrees: { ...addresses.listWorktrees, query: empty, answer: worktreeListSchema },
  showWorktree: { ...addresses.showWorktree, query: empty, answer: z.object({ worktree: worktreeViewSchema }) },
  removeWorktree: {
    ...addresses.removeWorktree,
    body: removeWorktreeSchema,
    answer: z.object({ removal: worktreeRemovalSchema }),
  },
  pruneWorktrees: {
    ...addresses.pruneWorktrees,
    body: z.strictObject({ dryRun: z.boolean().optional() }),
    answer: z.object({ removals: z.array(worktreeRemovalSchema) }),
  },
  config: {
    ...addresses.config,
    query: empty,
    answer: z.object({ path: z.string(), exists: z.boolean(), config: z.record(z.string(), z.unknown()) }),
  },
  agents: {
    ...addresses.agents,
    query: empty,
    answer: z.object({ agents: z.array(agentStatusSchema) }),
  },
  loginCode: {
    ...addresses.loginCode,
    body: empty,
    answer: z.object({ url: z.string(), expiresAt: z.number() }),
  },
  showHost: { ...addresses.showHost, query: empty, answer: z.object({ host: runningHostSchema }) },
  upgradeHost: {
    ...addresses.upgradeHost,
    body: empty,
    /** `pauseMs`: how long nobody answered. */
    answer: z.object({ host: runningHostSchema, pauseMs: z.number() }),
  },
  stopDaemon: {
    ...addresses.stopDaemon,
    body: z.strictObject({ sessions: z.enum(['end', 'keep']) }),
    answer: ok,
  },
} as const;
export type RouteName = keyof typeof routes;
