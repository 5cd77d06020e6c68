/**
 * The real agent CLIs, driven as a user would: a job by `muster`, on a PTY of the real host, against the scripted model server. Claude
 * Code and Codex run where `npm run agents -- claude codex` has installed them, Qwen Code always (it is a dev dependency).
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findMarked } from '../../src/platform/processes.ts';
import type { JobView } from '../../src/protocol/job.ts';
import type { SessionView } from '../../src/protocol/session.ts';
import { type ModelServer, openModelServer } from '../peers/model-server.ts';
import { eventually, openStage, type Stage } from '../system/stage.ts';
import { subjects } from './subjects.ts';

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
    await model.close();
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

  test('[C9] [D16] the host is killed with -9 in a turn: the same conversation goes on', async () => {
    const job = await submit('Go on with this one.', '[{"delayMs":8000,"text":"All done."}]');
    // Codex names its conversation in the file that it begins with the first prompt.
    const before = await sessionOf(job, (one) => one.state === 'working' && one.resumeId !== null);
    const record = (): string => readFileSync(join(stage.home.sessions, before.id, 'session.json'), 'utf8');
    await eventually('the agent told its id', async () => record().includes('"toldResumeId":') || undefined);
    await stage.jobWhere(job.id, (one) => one.phase === 'delivered');
    // One that was not written yet when the host died can't be gone on with by anybody. An agent's list of prompts is no conversation.
    const conversation = (): string => conversationsBelow(stage.agentHome, String(before.resumeId)).join('');
    await eventually('it is on disk', async () => conversation().includes('Go on with this one.') || undefined);
    const { host } = await stage.client().call('status');
    process.kill(Number(host.pid), 'SIGKILL');
    const end = await stage.ended(job.id);
    expect([end.state, end.attempts, end.outcome]).toEqual(['done', 1, expect.anything()]);
    const session = await stage.session(before.id);
    expect(session).toMatchObject({ resumes: 1, resumeId: before.resumeId });
    expect(session.pid).not.toBe(before.pid);
    expect(conversation()).toContain('The connection was cut.');
    const events = await stage.events(job.id);
    expect(events.filter(({ type }) => type === 'prompt.accepted').map(({ data }) => data.inputId)).toEqual([
      `prompt-${job.id}.1`,
      `prompt-${job.id}.1-resume`,
    ]);
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

/** What the agent wrote of the conversation with that id: a file that is named by it. */
const conversationsBelow = (dir: string, id: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(`${id}.jsonl`))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
