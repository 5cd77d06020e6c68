/**
 * Sends one text to the agent and shows what became of it. The id of the input is made when typing begins and kept until a receipt has come,
 * so that sending again after an answer was lost can't type the text twice.
 */
import { useRef, useState } from 'react';
import { useStale } from '../live/store.tsx';
import { tellReceipt, useAction } from '../parts/action.ts';
import { NoticeLine } from '../parts/notice.tsx';

/** The receipt may take as long as the agent takes to show that it received the text. */
const receiptLimitMs = 60_000;

export function SendText({ sessionId }: { readonly sessionId: string }) {
  const [text, setText] = useState('');
  const inputId = useRef<string | null>(null);
  const { busy, notice, run } = useAction();
  const stale = useStale();
  const send = (): void => {
    inputId.current ??= newInputId();
    const body = { text, inputId: inputId.current };
    void run(
      (api) => api.call('sendSession', { id: sessionId, body, limitMs: receiptLimitMs }),
      ({ receipt }) => {
        inputId.current = null;
        if (receipt.kind === 'accepted') setText('');
        return tellReceipt(receipt);
      },
    );
  };
  return (
    <form
      className="send"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label htmlFor="send-text">Send text</label>
      <textarea
        id="send-text"
        rows={2}
        value={text}
        placeholder="Typed into the agent and submitted. Ctrl+Enter sends."
        onChange={({ target }) => {
          inputId.current = null;
          setText(target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && text.trim() !== '' && !busy && !stale)
            send();
          if (event.key === 'Escape') event.currentTarget.blur();
        }}
      />
      <div className="row">
        <button type="submit" className="button primary" disabled={busy || stale || text.trim() === ''}>
          {busy ? 'Waiting for the receipt…' : 'Send'}
        </button>
        <NoticeLine notice={notice} />
      </div>
    </form>
  );
}

/** `crypto.randomUUID` needs a secure context, which a phone on the home network is not. */
function newInputId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `web-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
