/**
 * The real agent CLIs, driven as a user would: a job by `muster`, on a PTY of the real host, against the scripted model server. Claude
 * Code and Codex run where `npm run agents -- claude codex` has installed them, Qwen Code always (it is a dev dependency).
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findMarked } from '../../src/platform/processes.ts';
import type { JobView } from '../../src/protocol/job.ts';
import type { SessionView } from '../../src/protocol/session.ts';
import { type ModelServer, openModelServer } from '../peers/model-server.ts';
import { eventually, openStage, type Stage } from '../system/stage.ts';
import { installedAgent } from './pinned.ts';

interface Subject {
  readonly name: 'claude' | 'codex' | 'qwen';
  readonly version: string;
  readonly program: string | undefined;
  /** Prepares a fresh HOME as its owner would have left it, and says what the agent's environment is. */
  readonly home: (home: string, modelPort: number, repository: string) => Record<string, string>;
  /** Codex asks only where the model asks for more than its sandbox allows. */
  readonly asking: string;
  readonly sources: number;
}

const qwen = join(import.meta.dirname, '../../node_modules/.bin/qwen');

const subjects: readonly Subject[] = [
  {
    name: 'claude',
    version: '2.1.328',
    program: installedAgent('claude'),
    home: (home, port, repository) => {
      const seeded = {
        hasCompletedOnboarding: true,
        customApiKeyResponses: { approved: ['sk-scripted-key'] },
        projects: { [repository]: { hasTrustDialogAccepted: true } },
      };
      writeFileSync(join(home, '.claude.json'), JSON.stringify(seeded));
      return {
        HOME: home,
        ANTHROPIC_BASE_URL: `http://127.0.0.1:${port}`,
        ANTHROPIC_API_KEY: 'sk-scripted-key',
        CLAUDE_CODE_MAX_RETRIES: '3',
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      };
    },
    asking: '',
    sources: 2,
  },
  {
    name: 'codex',
    version: '0.169.0',
    program: installedAgent('codex'),
    home: (home, port) => {
      mkdirSync(join(home, '.codex'));
      writeFileSync(
        join(home, '.codex', 'config.toml'),
        [
          'model = "gpt-5.5"',
          'model_provider = "scripted"',
          'check_for_update_on_startup = false',
          '[model_providers.scripted]',
          'name = "scripted"',
          `base_url = "http://127.0.0.1:${port}/v1"`,
          'wire_api = "responses"',
          'env_key = "OPENAI_API_KEY"',
          'request_max_retries = 3',
          'stream_max_retries = 3',
          '[tui]',
          'screen_reader_detection_done = true',
          '[notice.model_migrations]',
          '"gpt-5.5" = "gpt-6-sol"',
          '',
        ].join('\n'),
      );
      return { HOME: home, OPENAI_API_KEY: 'scripted-key' };
    },
    asking: ',"escalate":true',
    sources: 2,
  },
  {
    name: 'qwen',
    version: '0.15.10',
    program: qwen,
    home: (home, port) => {
      mkdirSync(join(home, '.qwen'));
      writeFileSync(
        join(home, '.qwen', 'settings.json'),
        JSON.stringify({ security: { auth: { selectedType: 'openai' } } }),
      );
      return {
        HOME: home,
        OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`,
        OPENAI_API_KEY: 'scripted-key',
        OPENAI_MODEL: 'scripted-model',
      };
    },
    asking: '',
    sources: 2,
  },
];

for (const subject of subjects) {
  if (subject.program === undefined)
    console.log(
      `skipped: ${subject.name} ${subject.version} is not installed; \`npm run agents -- ${subject.name}\` does it`,
    );
}

describe.each(subjects.filter((subject) => subject.program !== undefined))('$name $version', (subject) => {
  let stage: Stage;
  let model: ModelServer;
  beforeAll(async () => {
    model = await openModelServer({});
    stage = openStage({ config: { agents: {} } });
    const env = subject.home(stage.agentHome, model.port, realpathSync(stage.repository));
    writeFileSync(
      stage.home.config,
      JSON.stringify({ port: 0, agents: { [subject.name]: { command: [subject.program], env } } }),
    );
    await stage.up();
  });
  afterAll(async () => {
    await stage.close();
    model.close();
  });

  const submit = (what: string, steps: string): Promise<JobView> =>
    stage.submit(`${what} SCRIPT:${steps}`, { agent: subject.name, allowEmpty: true });
  const sessionOf = async (job: JobView, test: (session: SessionView) => boolean): Promise<SessionView> => {
    const started = await stage.jobWhere(job.id, (one) => one.sessionId !== null);
    return stage.sessionWhere(String(started.sessionId), test);
  };
  const muster = async (...args: string[]): Promise<string> => {
    const launcher = join(import.meta.dirname, '../../bin/muster.mjs');
    const { stdout } = await promisify(execFile)(process.execPath, [launcher, '--home', stage.home.dir, ...args]);
    return stdout;
  };
  const asks = (command: string): string =>
    `[{"text":"I will run a command.","shell":${JSON.stringify(command)}${subject.asking}},{"text":"All done."}]`;

  test('prompt → permission → approved by `muster session approve` → tool → done, by two sources at least', async () => {
    const job = await submit('Approve this one.', asks('echo approved > approved.txt'));
    // Codex says first that it asks, and a moment later on its screen what.
    const session = await sessionOf(job, (one) => one.state === 'permission' && one.permission?.summary !== '');
    expect(session.permission?.summary).toContain('echo approved');
    expect(await muster('session', 'approve', session.id)).toContain('accepted');
    const end = await stage.ended(job.id);
    expect(end).toMatchObject({ state: 'done', outcome: { files: ['approved.txt'] } });
    const why = await stage.client().call('whySession', { params: { id: session.id } });
    expect(
      new Set(
        why.evidence
          .filter((each) => each.source !== 'control' && each.source !== 'process')
          .map((each) => each.source),
      ).size,
    ).toBeGreaterThanOrEqual(subject.sources);
    expect(why.session).toMatchObject({ agentVersion: subject.version, agentTested: true, state: 'exited' });
    expect(why.session.resumeId).toMatch(/^[0-9a-f-]{36}$/);
    expect(why.changes.map((change) => change.to).filter((state) => state === 'permission')).toHaveLength(1);
  }, 90_000);

  test('a denied tool does not run', async () => {
    const job = await submit('Deny this one.', asks('echo denied > denied.txt'));
    const session = await sessionOf(job, (one) => one.state === 'permission');
    expect(await muster('session', 'deny', session.id)).toContain('accepted');
    const end = await stage.ended(job.id);
    expect(['done', 'failed']).toContain(end.state);
    expect(end.outcome?.kind === 'done' ? end.outcome.files : []).toEqual([]);
    if (end.outcome?.kind === 'failed') expect(end.outcome.reason).toBe('TURN_INTERRUPTED');
  }, 90_000);

  test('a turn that is interrupted ends as interrupted', async () => {
    const job = await submit('Interrupt this one.', '[{"delayMs":30000,"text":"too late"}]');
    const session = await sessionOf(job, (one) => one.state === 'working');
    await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    expect(await muster('session', 'interrupt', session.id)).toContain('accepted');
    expect(await stage.ended(job.id)).toMatchObject({ state: 'failed', outcome: { reason: 'TURN_INTERRUPTED' } });
  }, 90_000);

  test('one 429 is survived', async () => {
    const job = await submit(
      'Survive this one.',
      '[{"error":{"status":429,"type":"rate_limit_error","message":"scripted","retryAfter":2,"times":1},"text":"Recovered."}]',
    );
    expect(await stage.ended(job.id)).toMatchObject({ state: 'done', outcome: { kind: 'done' } });
    expect(model.entries.filter((entry) => entry.status === 429).length).toBeGreaterThanOrEqual(1);
  }, 120_000);

  test('a request that the model refuses fails the turn, with the status where the agent tells it', async () => {
    const job = await submit(
      'Fail this one.',
      '[{"error":{"status":400,"type":"invalid_request_error","message":"scripted refusal"}}]',
    );
    const end = await stage.ended(job.id);
    expect(end).toMatchObject({ state: 'failed', outcome: { kind: 'failed', reason: 'TURN_FAILED' } });
  }, 120_000);

  test('killed with -9 in a tool: crashed at once, and the tool does not live on', async () => {
    const job = await submit('Kill this one.', asks('echo started > started.txt; tail -f /dev/null'));
    const session = await sessionOf(job, (one) => one.state === 'permission');
    await muster('session', 'approve', session.id);
    await eventually('the tool runs', async () =>
      (await findMarked()).some(({ command }) => command.includes('tail -f')) ? true : undefined,
    );
    process.kill(Number(session.pid), 'SIGKILL');
    expect(await stage.ended(job.id)).toMatchObject({ state: 'failed', outcome: { reason: 'AGENT_CRASHED' } });
    expect((await stage.session(session.id)).state).toBe('crashed');
    await eventually('the tool is gone', async () =>
      (await findMarked()).some(({ command }) => command.includes('tail -f')) ? undefined : true,
    );
  }, 120_000);

  test("the person's own settings are as they were, except for what the agent itself writes", async () => {
    const file =
      subject.name === 'claude'
        ? '.claude.json'
        : subject.name === 'codex'
          ? '.codex/config.toml'
          : '.qwen/settings.json';
    const now = readFileSync(join(stage.agentHome, file), 'utf8');
    expect(now).not.toContain(stage.home.dir);
    expect(now.toLowerCase()).not.toContain('muster_');
  });
});
