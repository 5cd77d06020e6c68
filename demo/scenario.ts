/**
 * A scenario: a folder with `repository/` (the files that the agent works on), `jobs.yaml` (what is asked, and how it is verified) and
 * `conversations.yaml` (what the scripted model says and does). Everything is checked before anything is started; an error names the file
 * and the field.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { Fault, messageOf } from '../src/base/fault.ts';
import type { Conversation } from '../test/peers/model/step.ts';
import { readConversations } from '../test/peers/model-server.ts';

/** More would not fit a screen. */
const jobsMax = 10;

const jobSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9-]{1,20}$/, 'lower-case letters, digits and dashes, at most 20'),
  title: z.string().min(1).max(60),
  text: z.string().min(1),
  /** Run in a clean checkout of the job's commit; `{scenario}` is the scenario's folder. */
  verify: z.string().min(1).max(4000).optional(),
  persona: z.string().min(1).max(100).optional(),
  /** Submitted when these have ended; the branches of those that are done have been merged by then. */
  after: z.array(z.string()).default([]),
});

const jobsSchema = z.strictObject({
  title: z.string().min(1).max(120),
  /** The repository's own tests, which must accept every branch in the end. */
  test: z.string().min(1).max(4000),
  jobs: z.array(jobSchema).min(1).max(jobsMax),
});

export type ScenarioJob = z.infer<typeof jobSchema>;

export interface Scenario {
  readonly dir: string;
  readonly title: string;
  readonly test: string;
  readonly jobs: readonly ScenarioJob[];
  readonly repository: string;
  readonly conversationsFile: string;
}

export function readScenario(folder: string): Scenario {
  const dir = resolve(folder);
  const repository = join(dir, 'repository');
  if (!statSync(repository, { throwIfNoEntry: false })?.isDirectory()) {
    throw invalid(repository, 'is no folder; a scenario keeps the files for the agent there');
  }
  if (existsSync(join(repository, '.git')))
    throw invalid(repository, 'must be plain files: the demo makes the git repository itself');
  const jobsFile = join(dir, 'jobs.yaml');
  const read = jobsSchema.safeParse(yamlOf(jobsFile));
  if (!read.success) throw invalid(jobsFile, z.prettifyError(read.error));
  const { title, test, jobs } = read.data;
  checkOrder(jobsFile, jobs);
  const conversationsFile = join(dir, 'conversations.yaml');
  checkWords(conversationsFile, jobs, readConversations(conversationsFile));
  const placed = jobs.map((job) => ({ ...job, ...(job.verify ? { verify: withFolder(job.verify, dir) } : {}) }));
  return { dir, title, test: withFolder(test, dir), jobs: placed, repository, conversationsFile };
}

function yamlOf(file: string): unknown {
  try {
    return parseYaml(readFileSync(file, 'utf8'));
  } catch (error) {
    throw invalid(file, messageOf(error), error);
  }
}

const invalid = (file: string, problem: string, cause?: unknown): Fault =>
  new Fault('CONFIG_INVALID', `${file}: ${problem}`, {
    subject: file,
    hint: 'docs/demo.md says what a scenario is made of.',
    cause,
  });

/** A job waits only for jobs above it, so that the list can be worked off from top to bottom. */
function checkOrder(file: string, jobs: readonly ScenarioJob[]): void {
  const above = new Set<string>();
  for (const { id, after } of jobs) {
    if (above.has(id)) throw invalid(file, `two jobs are called '${id}'`);
    const missing = after.find((other) => !above.has(other));
    if (missing !== undefined) throw invalid(file, `job '${id}' comes after '${missing}', which is no job above it`);
    above.add(id);
  }
}

const plainWords = (text: string): string => text.replace(/\s+/g, ' ').trim().toLowerCase();

/** A job that no conversation knows would end without a change, and nobody would see why. */
function checkWords(file: string, jobs: readonly ScenarioJob[], conversations: readonly Conversation[]): void {
  const silent = jobs.find(
    ({ text }) => !conversations.some(({ when }) => plainWords(text).includes(plainWords(when))),
  );
  if (silent) throw invalid(file, `no conversation's 'when' is in the text of job '${silent.id}'`);
}

/** The folder as one word of the shell, whatever characters are in it. */
const withFolder = (command: string, dir: string): string =>
  command.replaceAll('{scenario}', `'${dir.replaceAll("'", `'\\''`)}'`);
