import type { Notice } from './action.ts';
import { Line } from './text.tsx';

/** The answer to an action; a screen reader says it. */
export function NoticeLine({ notice }: { readonly notice: Notice | null }) {
  return (
    <span className="notice-place" role="status" aria-live="polite">
      {notice !== null && (
        <span className={`notice tone-${notice.tone}`} data-testid="notice">
          <Line text={notice.text} max={400} />
        </span>
      )}
    </span>
  );
}
