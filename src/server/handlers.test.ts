import { expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { useLedgerFile } from '../ledger/fixtures/ledger.ts';
import { type HandlerSources, handlers } from './handlers.ts';

const { open } = useLedgerFile();

test('an answer that was given is told as given, also where the ledger can not write it down', async () => {
  const ledger = await open();
  await ledger.close();
  const receipt = { kind: 'accepted', at: 1, by: 'hooks', reason: 'it goes on' };
  const logged: unknown[] = [];
  const sources = {
    ledger,
    log: { ...silentLog, error: (...told: unknown[]) => void logged.push(told[1]) },
    sessions: { get: () => ({ id: 's-1', permission: null }), answer: async () => ({ receipt, asked: null }) },
    dispatch: {},
  } as unknown as HandlerSources;
  const answered = await handlers(sources).answerSession({ id: 's-1', query: {}, body: { decision: 'allow' } });
  expect(answered).toEqual({ receipt });
  expect(logged).toEqual(['what was done could not be written to the ledger']);
});

test('a page of events names a next one only where there is one', async () => {
  const ledger = await open();
  for (let count = 0; count < 3; count += 1) await ledger.record({ type: 'daemon.started' });
  const { listEvents } = handlers({ ledger, dispatch: {} } as unknown as HandlerSources);
  const nextOf = async (query: { after?: number; limit: number }): Promise<number | null> =>
    (await listEvents({ id: '', query, body: undefined })).next;
  expect(await Promise.all([nextOf({ limit: 2 }), nextOf({ limit: 3 }), nextOf({ after: 1, limit: 2 })])).toEqual([
    2,
    null,
    null,
  ]);
});
