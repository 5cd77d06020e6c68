/** One action under way: a button that was pressed can't be pressed again before its answer, and the answer is shown as it came. */
import { useState } from 'react';
import type { Receipt } from '../../../src/protocol/session.ts';
import { type Api, describeFailure, type Reply } from '../live/api.ts';
import { useApi } from '../live/store.tsx';

export interface Notice {
  readonly tone: 'good' | 'bad' | 'unknown';
  readonly text: string;
}

export interface Action {
  readonly busy: boolean;
  readonly notice: Notice | null;
  readonly clear: () => void;
  readonly run: <T>(work: (api: Api) => Promise<Reply<T>>, tell: (value: T) => Notice | null) => Promise<void>;
}

export function useAction(): Action {
  const api = useApi();
  const [busy, setBusy] = useState(false);
  const [notice, setNotice] = useState<Notice | null>(null);
  return {
    busy,
    notice,
    clear: () => setNotice(null),
    run: async (work, tell) => {
      if (busy) return;
      setBusy(true);
      setNotice(null);
      const reply = await work(api);
      setBusy(false);
      if (reply.kind === 'ok') setNotice(tell(reply.value));
      else setNotice({ tone: reply.kind === 'unreachable' ? 'unknown' : 'bad', text: describeFailure(reply) });
    },
  };
}

/** What became of an input, in the words of its receipt. */
export function tellReceipt(receipt: Receipt): Notice {
  switch (receipt.kind) {
    case 'accepted':
      return { tone: 'good', text: `accepted (${receipt.by}: ${receipt.reason})` };
    case 'refused':
      return { tone: 'bad', text: `refused: ${receipt.reason}` };
    case 'unknown':
      return { tone: 'unknown', text: `unknown: ${receipt.tried}` };
  }
}
