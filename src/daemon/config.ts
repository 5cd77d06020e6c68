/**
 * The configuration: `config.yaml` in the home, read once at the start. Every key has a default, so the file may be absent; an unknown
 * key or a wrong value stops the start with the key's path, the value and what is allowed.
 */
import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { Fault, isErrno, messageOf } from '../base/fault.ts';
import type { Home } from '../platform/home.ts';
import { agentIds } from '../protocol/session.ts';
import { projectsSchema, worktreesSchema } from './worktree-config.ts';

const agentConfigSchema = z.strictObject({
  /** The program and its first arguments; by default the agent's own name is looked up on PATH. */
  command: z.array(z.string().min(1)).min(1).optional(),
  /** Variables for this agent's sessions, over the ones it gets from the daemon's environment. */
  env: z.record(z.string(), z.string()).default({}),
  permissions: z.enum(['ask', 'edits', 'all']).default('ask'),
  model: z.string().min(1).optional(),
  args: z.array(z.string()).default([]),
  /** What a session takes, until enough of them were measured. */
  memoryMegabytes: z.number().min(1).max(1_000_000).optional(),
});
export type AgentConfig = z.infer<typeof agentConfigSchema>;

const configSchema = z.strictObject({
  /** 0 takes any free port. */
  port: z.int().min(0).max(65_535).default(4140),
  defaults: z
    .strictObject({
      /** By default the first of claude, codex, qwen, ... that is installed. */
      agent: z.enum(agentIds).optional(),
      persona: z.string().min(1).default('dev'),
      verify: z.string().min(1).optional(),
    })
    .prefault({}),
  limits: z
    .strictObject({
      /** Attempts that run at the same time. */
      sessions: z.int().min(1).max(200).default(3),
      /** From launch to the agent's prompt. */
      startSeconds: z.number().min(1).max(600).default(90),
      /** How long a trust, login or onboarding screen waits for a person. */
      setupMinutes: z.number().min(0.1).max(1440).default(15),
      turnMinutes: z.number().min(0.1).max(10_080).default(240),
      verifyMinutes: z.number().min(0.1).max(1440).default(20),
      /** Largest recording of one session. 0 records nothing. */
      recordingMegabytes: z.number().min(0).max(1024).default(16),
      /** Memory that stays free whatever waits; by default a tenth of what there is, 256 MB to 4 GB. */
      reserveMegabytes: z.number().min(0).max(1_000_000).optional(),
      /** Memory pressure (PSI some avg10) from which on nothing starts. */
      pressurePercent: z.number().min(1).max(100).default(20),
      /** The kernel keeps each session under it, where it can be told to; by default there is no limit. */
      sessionMegabytes: z.number().min(64).max(1_000_000).optional(),
    })
    .prefault({}),
  /** A folder for worktrees, or everything about them. */
  worktrees: worktreesSchema.optional(),
  /** By the path of the repository. */
  projects: projectsSchema.default({}),
  /** The programs that are asked about terminals to adopt; by default looked up on PATH and in the usual folders. */
  adopt: z.strictObject({ tmux: z.string().min(1).optional(), cmux: z.string().min(1).optional() }).prefault({}),
  agents: z.partialRecord(z.enum(agentIds), agentConfigSchema).default({}),
});
export type Config = z.infer<typeof configSchema>;

export interface ReadConfig {
  readonly path: string;
  readonly exists: boolean;
  readonly config: Config;
}

/** Throws CONFIG_UNREADABLE or CONFIG_INVALID; an absent file is the defaults. */
export async function readConfig(home: Home): Promise<ReadConfig> {
  const text = await readFile(home.config, 'utf8').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw new Fault('CONFIG_UNREADABLE', `Can't read ${home.config}: ${messageOf(error)}`, {
      cause: error,
      subject: home.config,
      hint: 'Make it a file that you can read, or remove it to run on defaults.',
    });
  });
  return { path: home.config, exists: text !== undefined, config: parseConfig(text ?? '', home) };
}

function parseConfig(text: string, home: Home): Config {
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem) throw invalid(home, problem.message.split('\n')[0] ?? 'not YAML', problem);
  const parsed = configSchema.safeParse(document.toJS() ?? {});
  if (!parsed.success) throw invalid(home, parsed.error.issues.map(issueLine).join('; '), parsed.error);
  return parsed.data;
}

const issueLine = (issue: z.core.$ZodIssue): string => `${issue.path.join('.') || 'the file'}: ${issue.message}`;

const invalid = (home: Home, what: string, cause: unknown): Fault =>
  new Fault('CONFIG_INVALID', `${home.config}: ${what}`, {
    cause,
    subject: home.config,
    hint: 'docs/configuration.md lists every key with its allowed values.',
  });

/** What is shown of the configuration: values of environment variables are secrets and are hidden. */
export const shownConfig = (config: Config): Record<string, unknown> => ({
  ...config,
  agents: Object.fromEntries(
    Object.entries(config.agents).map(([id, agent]) => [
      id,
      { ...agent, env: Object.fromEntries(Object.keys(agent?.env ?? {}).map((key) => [key, '(hidden)'])) },
    ]),
  ),
});
