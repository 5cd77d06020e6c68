/** The overlay behind `?`: every key that works on the page as it is now. */
import { useEffect, useRef } from 'react';
import { allBindings } from './keys.tsx';

export function Help({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} className="dialog" onClose={onClose} aria-labelledby="help-title" data-testid="help">
      <h2 id="help-title">Keys</h2>
      <dl className="keys">
        {groups().map(([what, keys]) => (
          <div key={what}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
        <div>
          <dt>
            <kbd>Ctrl</kbd>
            <kbd>]</kbd>
          </dt>
          <dd>give the keyboard back, when in control of a session</dd>
        </div>
      </dl>
      <div className="row end">
        <button type="button" className="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
    </dialog>
  );
}

const names: Readonly<Record<string, string>> = {
  ArrowRight: '→',
  ArrowLeft: '←',
  ArrowUp: '↑',
  ArrowDown: '↓',
  Escape: 'Esc',
};

/** Keys that do the same stand together; the two keys of a pair are written with a space. */
function groups(): [string, string[]][] {
  const byWhat = new Map<string, string[]>();
  for (const { keys, what } of allBindings()) byWhat.set(what, [...(byWhat.get(what) ?? []), names[keys] ?? keys]);
  return [...byWhat];
}
