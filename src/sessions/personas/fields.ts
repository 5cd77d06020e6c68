/**
 * The frontmatter of a persona's file and what each key may hold. A file is Markdown; the frontmatter is YAML between two lines `---` at
 * its top, and may be absent. Every error names file, key, value and what is allowed. Nothing is guessed: a key that is not known, or a
 * rule that can't be meant (a command pattern for reading), is an error.
 */
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { Fault } from '../../base/fault.ts';
import { clip, hasControls } from '../../base/text.ts';
import {
  mcpToolForm,
  type PermissionRule,
  permissionModes,
  type RuleDecision,
  ruleDecisions,
  toolKinds,
} from '../../protocol/rules.ts';
import { agentIds } from '../../protocol/session.ts';

/** A persona is read by a model at each start; beyond this it is a document, and belongs into the repository. */
export const personaBytesMax = 64 * 1024;
/** Of one file. More are a policy that nobody can hold in mind. */
const rulesMax = 100;
const listMax = 100;
const patternCharsMax = 200;

export const nameForm = /^[a-z0-9][a-z0-9-]{0,39}$/;
const nameRule = 'a-z, 0-9 and - are allowed, at most 40';

export interface PersonaFields {
  readonly extends?: string | undefined;
  readonly description?: string | undefined;
  readonly agent?: (typeof agentIds)[number] | undefined;
  readonly model?: string | undefined;
  readonly permissions?: (typeof permissionModes)[number] | undefined;
  readonly rules: readonly PermissionRule[];
  readonly unkeptRules?: 'refuse' | 'tell' | undefined;
  readonly scopePatterns?: readonly string[] | undefined;
  readonly tools?: readonly string[] | undefined;
  readonly skills?: readonly string[] | undefined;
  readonly limits: { readonly toolCalls?: number | undefined; readonly ageMinutes?: number | undefined };
  readonly text: string;
}

const plain = (value: string): boolean => value.trim() === value && !hasControls(value) && !value.includes('\n');
const line = z
  .string()
  .min(1)
  .max(patternCharsMax)
  .refine(plain, { error: 'one line without control characters, and without spaces at its ends, is allowed' });

const tool = line.refine((name) => (toolKinds as readonly string[]).includes(name) || mcpToolForm.test(name), {
  error: `allowed are ${toolKinds.join(', ')}, mcp:SERVER and mcp:SERVER/TOOL`,
});

/** Relative to the repository's root, and staying in it: a glob of `*`, `**`, `?` and plain characters. */
const glob = line.refine(
  (pattern) =>
    !pattern.startsWith('/') &&
    !pattern.startsWith('~') &&
    !pattern.startsWith('!') &&
    !/[\\[\]{}()]/.test(pattern) &&
    pattern.split('/').every((part) => part !== '' && part !== '.' && part !== '..'),
  {
    error:
      'allowed is a path from the root of the repository, with *, ** and ?, without .., brackets and a / at its ends',
  },
);

/** A `*` in the middle means different things to different agents, and more than most people think. */
const command = line.refine((pattern) => !pattern.replace(/ \*$/, '').includes('*') && !/[()]/.test(pattern), {
  error: 'allowed is a whole command, or its beginning with " *" at the end; no other * and no brackets',
});

const domain = line.refine((name) => /^([a-z0-9-]+\.)*[a-z0-9-]+$/.test(name), {
  error: 'allowed is a domain in small letters, like example.org',
});

const rule = z.strictObject({
  tool,
  command: command.optional(),
  path: glob.optional(),
  domain: domain.optional(),
});

const atMost = (max: number): { error: string } => ({ error: `at most ${max} entries are allowed` });
const frontmatterSchema = z.strictObject({
  extends: z.string().regex(nameForm, { error: nameRule }).optional(),
  description: line.optional(),
  agent: z.enum(agentIds).optional(),
  model: line.optional(),
  permissions: z.enum(permissionModes).optional(),
  rules: z
    .strictObject({ allow: z.array(rule), ask: z.array(rule), deny: z.array(rule) })
    .partial()
    .optional(),
  unkept_rules: z.enum(['refuse', 'tell']).optional(),
  scope_patterns: z.array(glob).max(listMax, atMost(listMax)).optional(),
  tools: z.array(tool).min(1).max(listMax, atMost(listMax)).optional(),
  skills: z.array(line).max(listMax, atMost(listMax)).optional(),
  limits: z
    .strictObject({
      tool_calls: z.int().min(1).max(1_000_000).optional(),
      age_minutes: z.number().min(1).max(100_000).optional(),
    })
    .optional(),
});

/** Throws PERSONA_INVALID with every problem that the file has. `where` is its path, for the message. */
export function parsePersonaFile(where: string, source: string): PersonaFields {
  if (Buffer.byteLength(source) > personaBytesMax)
    throw invalid(where, [`the file has ${Buffer.byteLength(source)} bytes; at most ${personaBytesMax} are allowed`]);
  const match = /^---[ \t]*\r?\n([\s\S]*?)(?:\r?\n)?---[ \t]*(?:\r?\n([\s\S]*))?$/.exec(source);
  if (match === null && /^---[ \t]*\r?\n/.test(source))
    throw invalid(where, ['frontmatter: begins with --- and has no closing line ---']);
  const text = (match === null ? source : (match[2] ?? '')).replaceAll('\r\n', '\n').trim();
  const fields = fieldsOf(where, parseYaml(where, match?.[1] ?? ''));
  if (hasControls(text)) throw invalid(where, ['text: holds control or direction-changing characters']);
  if (text === '' && fields.extends === undefined)
    throw invalid(where, ['text: is empty; say below the frontmatter who the agent is, or extend another persona']);
  return { ...fields, text };
}

function parseYaml(where: string, yaml: string): unknown {
  // `uniqueKeys` is on by default: a key that stands twice is an error. Aliases could grow without bound, and nobody needs them here.
  const document = parseDocument(yaml);
  const [problem] = document.errors;
  if (problem) throw invalid(where, [`frontmatter: is not YAML: ${problem.message.split('\n')[0] ?? ''}`]);
  return document.toJS({ maxAliasCount: 0 }) ?? {};
}

function fieldsOf(where: string, value: unknown): Omit<PersonaFields, 'text'> {
  const parsed = frontmatterSchema.safeParse(value);
  if (!parsed.success)
    throw invalid(
      where,
      parsed.error.issues.flatMap((issue) => problemOf(issue, value)),
    );
  const given = parsed.data;
  const rules = ruleDecisions.flatMap((decision) => rulesOf(decision, given.rules?.[decision] ?? []));
  const problems = [
    ...ruleDecisions.flatMap((decision) => misfits(decision, given.rules?.[decision] ?? [])),
    ...(rules.length > rulesMax ? [`rules: there are ${rules.length}; at most ${rulesMax} are allowed`] : []),
  ];
  if (problems.length > 0) throw invalid(where, problems);
  const { tool_calls: toolCalls, age_minutes: ageMinutes } = given.limits ?? {};
  return {
    extends: given.extends,
    description: given.description,
    agent: given.agent,
    model: given.model,
    permissions: given.permissions,
    rules,
    unkeptRules: given.unkept_rules,
    scopePatterns: given.scope_patterns,
    tools: given.tools,
    skills: given.skills,
    limits: { toolCalls, ageMinutes },
  };
}

type GivenRule = z.infer<typeof rule>;

const rulesOf = (decision: RuleDecision, given: readonly GivenRule[]): PermissionRule[] =>
  given.map((one) => ({ decision, ...one }));

const detailOf = { shell: 'command', read: 'path', edit: 'path', fetch: 'domain' } as const;

/** A detail that its tool has not: who wrote it meant something else. */
function misfits(decision: RuleDecision, given: readonly GivenRule[]): string[] {
  return given.flatMap((one, index) =>
    (['command', 'path', 'domain'] as const)
      .filter((key) => one[key] !== undefined && detailOf[one.tool as keyof typeof detailOf] !== key)
      .map((key) => {
        const allowed = detailOf[one.tool as keyof typeof detailOf];
        return `rules.${decision}.${index}.${key}: "${one[key]}" is given for tool "${one.tool}", for which ${
          allowed === undefined ? 'no detail is' : `only ${allowed} is`
        } allowed`;
      }),
  );
}

/** Key, value, and what is allowed. */
function problemOf(issue: z.core.$ZodIssue, root: unknown): string[] {
  const key = issue.path.join('.') || 'frontmatter';
  if (issue.code === 'unrecognized_keys') {
    const allowed = allowedKeys(issue.path);
    return issue.keys.map(
      (name) => `${issue.path.length === 0 ? '' : `${key}.`}${name}: there is no such key; allowed are ${allowed}`,
    );
  }
  const value = issue.path.reduce<unknown>(
    (at, part) => (typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[part] : undefined),
    root,
  );
  const allowed = issue.code === 'invalid_value' ? `allowed are ${issue.values.join(', ')}` : lower(issue.message);
  return [`${key}: ${value === undefined ? 'is missing' : clip(JSON.stringify(value), 100)}; ${allowed}`];
}

const lower = (text: string): string => text.replace(/^[A-Z]/, (letter) => letter.toLowerCase());

function allowedKeys(path: readonly PropertyKey[]): string {
  const known: Readonly<Record<string, readonly string[]>> = {
    '': Object.keys(frontmatterSchema.shape),
    rules: ruleDecisions,
    limits: ['tool_calls', 'age_minutes'],
  };
  return (known[path.join('.')] ?? Object.keys(rule.shape)).join(', ');
}

export const invalid = (where: string, problems: readonly string[], cause?: unknown): Fault =>
  new Fault('PERSONA_INVALID', `persona: ${where}: ${problems.join('; ')}`, {
    subject: 'persona',
    hint: 'docs/personas.md lists every key with its allowed values.',
    cause,
  });
