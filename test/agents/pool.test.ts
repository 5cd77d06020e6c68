/** A pool of the real Claude Code, the one agent that proves that a conversation was begun anew: two jobs, one process. */
import { realpathSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JobView } from '../../src/protocol/job.ts';
import { type ModelServer, openModelServer } from '../peers/model-server.ts';
import { orSay } from '../peers/or-say.ts';
import { eventually, openStage, type Stage } from '../system/stage.ts';
import { subjects } from './subjects.ts';

const subject = subjects.find(({ name }) => name === 'claude');
if (!subject) throw new Error('claude is no subject any more');

describe.runIf(orSay(subject.program !== undefined, `${subject.name} is not installed`))(
  `${subject.name} ${subject.version}`,
  () => {
    let stage: Stage;
    let model: ModelServer;
    beforeAll(async () => {
      model = await openModelServer({});
      stage = openStage({ config: { agents: {} } });
      const env = subject.home(stage.agentHome, model.port, realpathSync(stage.repository));
      writeFileSync(
        stage.home.config,
        JSON.stringify({
          port: 0,
          defaults: { agent: subject.name },
          agents: { [subject.name]: { command: [subject.program], env, permissions: 'all' } },
          projects: { [stage.repository]: { pool: { warm: { dev: 1 } } } },
        }),
      );
      await stage.up();
    });
    afterAll(async () => {
      await stage.close();
      await model.close();
    });

    const readyTimes = async (count: number): Promise<true> =>
      eventually(`a session stood ready ${count} times`, async () =>
        (await stage.events()).filter((event) => event.type === 'pool.ready').length >= count ? true : undefined,
      );
    const work = async (file: string): Promise<JobView> => {
      const steps = JSON.stringify([{ text: 'I will.', shell: `echo ${file} > ${file}` }, { text: 'All done.' }]);
      return stage.ended((await stage.submit(`Write ${file} please. SCRIPT:${steps}`)).id);
    };

    test('[W1] [W5] two jobs in one process, each in a conversation of its own', async () => {
      await readyTimes(1);
      const one = await work('one.txt');
      await readyTimes(2);
      const first = await stage.sessionWhere(String(one.sessionId), (session) => session.exit === null);
      const two = await work('two.txt');
      expect([one, two]).toMatchObject([{ state: 'done' }, { state: 'done', sessionId: one.sessionId }]);
      expect(two).toMatchObject({ outcome: { files: ['two.txt'] } });
      const second = await stage.sessionWhere(String(two.sessionId), (session) => session.exit === null);
      expect(second.pid).toBe(first.pid);
    }, 120_000);
  },
);
