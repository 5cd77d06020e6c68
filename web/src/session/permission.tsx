/**
 * A permission that an agent waits for. The answer names the ask by its id: if the agent has gone on meanwhile, the daemon refuses the answer
 * instead of giving it to another question. Nothing can be answered while the connection is lost.
 */
import type { PermissionAsk as Ask } from '../../../src/protocol/state.ts';
import { useStale } from '../live/store.tsx';
import { type Notice, tellReceipt, useAction } from '../parts/action.ts';
import { NoticeLine } from '../parts/notice.tsx';
import { HiddenCharacters, Line } from '../parts/text.tsx';

export interface PermissionProps {
  readonly sessionId: string;
  readonly ask: Ask;
  readonly compact?: boolean;
}

export function PermissionAsk({ sessionId, ask, compact }: PermissionProps) {
  const { busy, notice, run } = useAction();
  const stale = useStale();
  const answer = (decision: 'allow' | 'deny'): void =>
    void run(
      (api) => api.call('answerSession', { id: sessionId, body: { decision, permissionId: ask.id } }),
      ({ receipt }): Notice => tellReceipt(receipt),
    );
  return (
    <section
      className={`permission${compact === true ? ' compact' : ''}`}
      data-testid="permission"
      aria-label="Permission"
    >
      <p className="permission-what">
        <strong>
          <Line text={ask.tool} max={80} />
        </strong>{' '}
        <code>
          <Line text={ask.summary} max={500} />
        </code>{' '}
        <HiddenCharacters text={ask.summary} />
      </p>
      <div className="row">
        <button
          type="button"
          className="button good"
          disabled={busy || stale}
          onClick={() => answer('allow')}
          data-answer="allow"
          aria-label={`Allow ${ask.tool} in session ${sessionId}`}
        >
          Allow
        </button>
        <button
          type="button"
          className="button danger"
          disabled={busy || stale}
          onClick={() => answer('deny')}
          data-answer="deny"
          aria-label={`Deny ${ask.tool} in session ${sessionId}`}
        >
          Deny
        </button>
        <NoticeLine notice={notice} />
      </div>
    </section>
  );
}

/** For the keys A and D: answers the permission of the tile that has the focus, as a click would. */
export function answerFocused(decision: 'allow' | 'deny'): void {
  const place = document.activeElement?.closest('[data-session]') ?? document.querySelector('main > [data-session]');
  place?.querySelector<HTMLButtonElement>(`[data-answer="${decision}"]`)?.click();
}
