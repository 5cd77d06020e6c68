/**
 * The one door through which work enters. Everything that can be known to be wrong before a job exists is refused here, with the
 * field and a remedy; after this door a job is in the ledger and will come to an end.
 */
import { basename } from 'node:path';
import { Fault } from '../base/fault.ts';
import { hasControls } from '../base/text.ts';
import type { Ledger } from '../ledger/index.ts';
import { describeRepository } from '../platform/git.ts';
import type { SubmitJob } from '../protocol/api.ts';
import type { JobView } from '../protocol/job.ts';
import type { AgentId } from '../protocol/session.ts';
import { workTextCharsMax } from './prompt.ts';

export interface Intake {
  readonly ledger: Ledger;
  /** Which agent to take; throws AGENT_UNKNOWN or AGENT_MISSING. */
  readonly chooseAgent: (wanted: string | undefined) => Promise<AgentId>;
  /** The agent that the persona wants, if it wants one. `project` is the repository's root. Throws PERSONA_*. */
  readonly agentOfPersona: (name: string, project: string) => Promise<AgentId | undefined>;
  /** Throws PERSONA_INVALID if this agent can't keep the persona's rules. */
  readonly checkPersona: (name: string, project: string, agent: AgentId) => Promise<void>;
  readonly defaults: { readonly persona: string; readonly verify: string | undefined };
}

export async function submitJob(intake: Intake, request: SubmitJob): Promise<{ job: JobView; already: boolean }> {
  checkText(request.text);
  const persona = request.persona ?? intake.defaults.persona;
  const repository = await checkRepository(request.projectPath, request.allowDirty === true);
  const wanted = await intake.agentOfPersona(persona, repository.root);
  const agent = await intake.chooseAgent(request.agent ?? wanted);
  await intake.checkPersona(persona, repository.root, agent);
  const project = await intake.ledger.registerProject({ path: repository.root, name: basename(repository.root) });
  return intake.ledger.submit({
    projectId: project.id,
    text: request.text.trim(),
    persona,
    agent,
    verify: request.verify ?? intake.defaults.verify ?? null,
    allowEmpty: request.allowEmpty ?? false,
    baseCommit: repository.head,
    baseRef: repository.branch ?? repository.head,
    submittedBy: request.submittedBy ?? 'api',
    idempotencyKey: request.idempotencyKey ?? null,
  });
}

/** Enough to act on: two words and ten letters, where a letter of a script without spaces between syllables counts twice. */
const wordsMin = 2;
const weightMin = 10;

export function checkText(text: string): void {
  const letters = text.match(/\p{L}|\p{N}/gu) ?? [];
  const weight = letters.reduce(
    (sum, letter) =>
      sum + (/[\p{Script=Hangul}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u.test(letter) ? 2 : 1),
    0,
  );
  if (weight < weightMin || text.trim().split(/\s+/).length < wordsMin) {
    throw new Fault(
      'WORK_TEXT_TOO_SHORT',
      `text: "${text.trim()}" is too short to act on; at least ${wordsMin} words and ${weightMin} letters are needed`,
      {
        subject: 'text',
        hint: 'Say what should change and where, e.g. "Fix the failing test in test/sum.test.js".',
      },
    );
  }
  if (text.length > workTextCharsMax) {
    throw new Fault('WORK_TEXT_TOO_LONG', `text: ${text.length} characters; at most ${workTextCharsMax} are allowed`, {
      subject: 'text',
      hint: 'Put the long part into a file of the repository and name that file in the text.',
    });
  }
  if (hasControls(text.replaceAll('\r\n', '\n'))) {
    throw new Fault(
      'WORK_TEXT_UNSAFE',
      'text: holds control or direction-changing characters, which a terminal would act on',
      {
        subject: 'text',
        hint: 'Paste it as plain text.',
      },
    );
  }
}

/** How many changed files an error names. */
const namedFilesMax = 5;

async function checkRepository(
  path: string,
  allowDirty: boolean,
): Promise<{ root: string; head: string; branch: string | null }> {
  const repository = await describeRepository(path);
  if (repository.kind === 'none') {
    throw new Fault('PROJECT_NOT_A_REPOSITORY', `project: ${path} ${repository.reason}`, {
      subject: 'project',
      hint: 'Give the path of a git repository with --project, or run the command inside one.',
    });
  }
  if (repository.head === null) {
    throw new Fault('PROJECT_WITHOUT_COMMIT', `project: ${repository.root} has no commit yet`, {
      subject: 'project',
      hint: 'Make a first commit: a job starts from one.',
    });
  }
  if (!allowDirty && repository.dirty.length > 0) {
    const more = repository.dirty.length > namedFilesMax ? ` and ${repository.dirty.length - namedFilesMax} more` : '';
    throw new Fault(
      'PROJECT_DIRTY',
      `project: ${repository.root} has uncommitted changes the job would not see: ${repository.dirty.slice(0, namedFilesMax).join(', ')}${more}`,
      {
        subject: 'project',
        hint: 'Commit or stash them, or pass --allow-dirty to start from the last commit all the same.',
      },
    );
  }
  return { root: repository.root, head: repository.head, branch: repository.branch };
}
