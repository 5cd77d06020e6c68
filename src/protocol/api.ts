/**
 * The HTTP requests of the daemon, one entry each: method, path, body, answer. The server registers exactly these, the command line and
 * the browser call exactly these. Every answer that is not 2xx is a `faultSchema`.
 */
import { z } from 'zod';
import { attemptViewSchema, eventSchema, jobStateSchema, jobViewSchema, totalsSchema } from './job.ts';
import { receiptSchema, sessionViewSchema, sessionWhySchema } from './session.ts';

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
});
export const answerSchema = z.strictObject({
  decision: z.enum(['allow', 'deny']),
  permissionId: z.string().max(200).optional(),
});
export const stopSessionSchema = z.strictObject({ graceMs: z.int().min(0).max(60_000).optional() });

/** `:name` in a path is a parameter; `query` and `body` are strict, so that a misspelt option is an error and not silence. */
export const routes = {
  status: { method: 'GET', path: '/api/status', query: empty, answer: statusSchema },
  submitJob: {
    method: 'POST',
    path: '/api/jobs',
    body: submitJobSchema,
    answer: z.object({ job: jobViewSchema, already: z.boolean() }),
  },
  listJobs: { method: 'GET', path: '/api/jobs', query: listJobsSchema, answer: jobPageSchema },
  showJob: { method: 'GET', path: '/api/jobs/:id', query: empty, answer: jobDetailSchema },
  jobEvents: { method: 'GET', path: '/api/jobs/:id/events', query: pageOfEvents, answer: eventPageSchema },
  whyJob: { method: 'GET', path: '/api/jobs/:id/why', query: empty, answer: jobWhySchema },
  cancelJob: { method: 'POST', path: '/api/jobs/:id/cancel', body: empty, answer: z.object({ job: jobViewSchema }) },
  retryJob: { method: 'POST', path: '/api/jobs/:id/retry', body: empty, answer: z.object({ job: jobViewSchema }) },
  listEvents: { method: 'GET', path: '/api/events', query: pageOfEvents, answer: eventPageSchema },
  listSessions: {
    method: 'GET',
    path: '/api/sessions',
    query: empty,
    answer: z.object({ sessions: z.array(sessionViewSchema) }),
  },
  showSession: {
    method: 'GET',
    path: '/api/sessions/:id',
    query: empty,
    answer: z.object({ session: sessionViewSchema }),
  },
  whySession: { method: 'GET', path: '/api/sessions/:id/why', query: empty, answer: sessionWhySchema },
  tailSession: {
    method: 'GET',
    path: '/api/sessions/:id/tail',
    query: z.strictObject({ lines: z.coerce.number().int().min(1).max(2000).optional() }),
    answer: z.object({ session: sessionViewSchema, lines: z.array(z.string()) }),
  },
  sendSession: {
    method: 'POST',
    path: '/api/sessions/:id/send',
    body: sendTextSchema,
    answer: z.object({ receipt: receiptSchema }),
  },
  answerSession: {
    method: 'POST',
    path: '/api/sessions/:id/answer',
    body: answerSchema,
    answer: z.object({ receipt: receiptSchema }),
  },
  interruptSession: {
    method: 'POST',
    path: '/api/sessions/:id/interrupt',
    body: empty,
    answer: z.object({ receipt: receiptSchema }),
  },
  stopSession: {
    method: 'POST',
    path: '/api/sessions/:id/stop',
    body: stopSessionSchema,
    answer: z.object({ session: sessionViewSchema }),
  },
  config: {
    method: 'GET',
    path: '/api/config',
    query: empty,
    answer: z.object({ path: z.string(), exists: z.boolean(), config: z.record(z.string(), z.unknown()) }),
  },
  agents: {
    method: 'GET',
    path: '/api/agents',
    query: empty,
    answer: z.object({ agents: z.array(agentStatusSchema) }),
  },
  loginCode: {
    method: 'POST',
    path: '/api/login-code',
    body: empty,
    answer: z.object({ url: z.string(), expiresAt: z.number() }),
  },
  stopDaemon: {
    method: 'POST',
    path: '/api/daemon/stop',
    body: z.strictObject({ sessions: z.enum(['end', 'keep']) }),
    answer: ok,
  },
} as const;
export type RouteName = keyof typeof routes;
