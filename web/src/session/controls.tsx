/** What a person can do to a session besides talking to it. Each button shows the receipt that came back. */
import { useState } from 'react';
import type { SessionView } from '../../../src/protocol/session.ts';
import { useStale } from '../live/store.tsx';
import type { TerminalMode } from '../live/terminal-link.ts';
import { tellReceipt, useAction } from '../parts/action.ts';
import { Confirm } from '../parts/confirm.tsx';
import { NoticeLine } from '../parts/notice.tsx';
import { hasEnded, sessionFaces } from '../parts/tones.ts';

export interface ControlsProps {
  readonly session: SessionView;
  readonly mode: TerminalMode;
  readonly onMode: (mode: TerminalMode) => void;
}

export function Controls({ session, mode, onMode }: ControlsProps) {
  const { busy, notice, run } = useAction();
  const [asking, setAsking] = useState(false);
  const stale = useStale();
  const ended = hasEnded(session.state);
  const off = busy || stale || ended;
  const own = session.kind === 'own';
  const control = mode === 'control';
  const interrupt = (): void =>
    void run(
      (api) => api.call('interruptSession', { id: session.id }),
      ({ receipt }) => tellReceipt(receipt),
    );
  const stop = (): void =>
    void run(
      (api) => api.call('stopSession', { id: session.id, body: {} }),
      ({ session: stopped }) => ({ tone: 'good', text: `stopped: ${sessionFaces[stopped.state].word}` }),
    );
  return (
    <div className="row controls" data-testid="controls">
      <button
        type="button"
        role="switch"
        aria-checked={control}
        className={`switch${control ? ' on' : ''}`}
        disabled={ended || stale || !own}
        onClick={() => onMode(control ? 'view' : 'control')}
        data-testid="control-switch"
      >
        <span className="switch-knob" aria-hidden="true" />
        {control ? 'You are in control' : 'Take control'}
      </button>
      <span className="soft control-note">
        {control ? (
          <>
            every key goes to the agent; <kbd>Ctrl</kbd> <kbd>]</kbd> gives the keyboard back
          </>
        ) : own ? (
          'watching: nothing you type reaches the agent'
        ) : (
          `adopted: its keyboard and its size belong to ${session.kind}`
        )}
      </span>
      <span className="top-space" />
      <NoticeLine notice={notice} />
      <button type="button" className="button" disabled={off} onClick={interrupt}>
        Interrupt
      </button>
      <button
        type="button"
        className="button danger"
        disabled={off || !own}
        title={own ? undefined : 'Started by a person: end it there, or with `muster session stop --force`'}
        onClick={() => setAsking(true)}
      >
        Stop…
      </button>
      {asking && (
        <Confirm
          title={`Stop session ${session.id}?`}
          text="The agent and everything it started are ended. Its turn is not finished, its worktree stays."
          yes="Stop it"
          onYes={stop}
          onClose={() => setAsking(false)}
        />
      )}
    </div>
  );
}
