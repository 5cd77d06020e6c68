/**
 * One life of the sessions room as a process of its own, so that it can be killed with -9 at any line: it opens the room over a home,
 * starts the sessions of a plan (or finds them running), and does what lines of JSON on standard input ask for.
 *
 * In: `{n, act, session, ...}`. Out: `{n, answer}` or `{n, error}`, and first `{ready: true}`.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { agents } from '../../src/agents/index.ts';
import { systemClock } from '../../src/base/clock.ts';
import { messageOf } from '../../src/base/fault.ts';
import type { SessionId } from '../../src/base/ids.ts';
import { silentLog } from '../../src/base/log.ts';
import { homeAt } from '../../src/platform/home.ts';
import type { AgentId } from '../../src/protocol/session.ts';
import { openSessions } from '../../src/sessions/index.ts';

export interface LifePlan {
  readonly home: string;
  readonly sessions: readonly {
    readonly id: string;
    readonly agent: AgentId;
    readonly found: { readonly file: string; readonly args: readonly string[]; readonly version: string };
    readonly cwd: string;
    readonly env: Readonly<Record<string, string>>;
  }[];
}

export type LifeAct =
  | {
      readonly act: 'deliver';
      readonly input: {
        readonly inputId: string;
        readonly text: string;
        readonly readyMs: number;
        readonly overDraft?: boolean;
        readonly raw?: boolean;
      };
    }
  | { readonly act: 'keys'; readonly data: string }
  | { readonly act: 'allow' | 'interrupt' | 'view' | 'tail' | 'end' };

const plan = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as LifePlan;
const sessions = await openSessions({
  home: homeAt(plan.home),
  agents,
  clock: systemClock,
  log: silentLog,
  recordingBytesMax: 64 * 1024 * 1024,
  news: { onChange: () => undefined, onHost: () => undefined },
});

for (const spec of plan.sessions) {
  const agent = agents.get(spec.agent);
  if (!agent) throw new Error(`no adapter for ${spec.agent}`);
  const started = await sessions.start({
    ...spec,
    id: spec.id as SessionId,
    agent,
    persona: 'dev',
    title: 'receipts',
    permissions: 'ask',
    model: undefined,
    resumeId: undefined,
    extraArgs: [],
  });
  if (started.kind === 'failed') throw new Error(started.reason);
}

async function perform(id: SessionId, asked: LifeAct): Promise<unknown> {
  switch (asked.act) {
    case 'deliver':
      return sessions.deliver(id, asked.input);
    case 'keys': {
      const terminal = await sessions.openTerminal(id, { onMessage: () => undefined, onOutput: () => undefined });
      await terminal?.input(asked.data);
      return terminal?.close();
    }
    case 'allow':
      return (await sessions.answer(id, { decision: 'allow', permissionId: undefined })).receipt;
    case 'interrupt':
      return sessions.interrupt(id);
    case 'view':
      return sessions.get(id);
    case 'tail':
      return sessions.tail(id, 60);
    case 'end':
      return sessions.close('end').then(() => setImmediate(() => process.exit(0)));
  }
}

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
createInterface({ input: process.stdin }).on('line', (line) => {
  const { n, session, ...asked } = JSON.parse(line) as { n: number; session: SessionId } & LifeAct;
  perform(session, asked as LifeAct).then(
    (answer) => say({ n, answer: answer ?? null }),
    (error: unknown) => say({ n, error: messageOf(error) }),
  );
});
say({ ready: true });
