/**
 * A session's live terminal in the page. In `view` mode it keeps the session's own columns and rows and is scaled to its box by a
 * transform; in `control` mode it fills the box, and the session takes its size. It exists only while it can be seen and the connection
 * is live; when either ends, the last picture stays until the page leaves it.
 */
import { type RefObject, useEffect, useRef, useState } from 'react';
import { useLive, useStale, useStore } from '../live/store.tsx';
import { openTerminalLink, type TerminalMode } from '../live/terminal-link.ts';
import { openScreen, type Screen } from './screen.ts';
import { takeTurn } from './turns.ts';

export interface TerminalViewProps {
  readonly sessionId: string;
  readonly cols: number;
  readonly rows: number;
  readonly mode: TerminalMode;
  /** What a screen reader calls it. */
  readonly label: string;
  readonly large?: boolean;
  readonly onLeave?: () => void;
  readonly onRefused?: (reason: string) => void;
}

/** Lines above the screen that can be scrolled back to on the session's own page; a tile has none. */
const scrollbackLarge = 5_000;
/** Agents break their screens below this. */
const colsMin = 20;
const rowsMin = 5;
/** A terminal is opened this far before it scrolls into view. */
const aheadPixels = '240px';

export function TerminalView(props: TerminalViewProps) {
  const box = useRef<HTMLDivElement>(null);
  const near = useNear(box);
  const stale = useStale();
  const { state, gap } = useTerminal(box, near, props);
  return (
    <div
      className="live-terminal"
      ref={box}
      role="img"
      aria-label={props.label}
      data-testid="terminal"
      data-session={props.sessionId}
      data-mode={props.mode}
      data-state={state}
    >
      <div className="terminal-inner" />
      {state === 'opening' && <span className="terminal-note">opening…</span>}
      {state === 'broken' && !stale && (
        <span className="terminal-gap">not live: reaching for this terminal again…</span>
      )}
      {state === 'refused' && <span className="terminal-note">no screen to show</span>}
      {gap && <span className="terminal-gap">output was skipped: this page was slower than the session</span>}
    </div>
  );
}

type TerminalState = 'opening' | 'live' | 'broken' | 'ended' | 'refused';

function useTerminal(box: RefObject<HTMLDivElement | null>, near: boolean, props: TerminalViewProps) {
  const { sessionId, mode } = props;
  const { origin } = useStore().api;
  const live = useLive((state) => state.connection.kind === 'live');
  const [state, setState] = useState<TerminalState>('opening');
  const [gap, setGap] = useState(false);
  const latest = useRef(props);
  latest.current = props;
  const screenRef = useRef<Screen | null>(null);

  // The screen: as long as it is near the window.
  const [ready, setReady] = useState(false);
  const typed = useRef<((input: string) => void) | null>(null);
  useEffect(() => {
    const inner = box.current?.querySelector<HTMLElement>('.terminal-inner');
    if (!near || !inner) return;
    const giveUp = takeTurn(() => {
      const { cols, rows, large } = latest.current;
      screenRef.current = openScreen(inner, {
        cols,
        rows,
        scrollback: large === true ? scrollbackLarge : 0,
        fontSize: large === true ? 14 : 12,
        onTyped: mode === 'control' ? (input) => typed.current?.(input) : null,
        onLeave: () => latest.current.onLeave?.(),
      });
      setReady(true);
    });
    return () => {
      giveUp();
      screenRef.current?.close();
      screenRef.current = null;
      setReady(false);
    };
  }, [box, near, mode]);

  // The connection: as long as there is a screen, and the daemon answers.
  useEffect(() => {
    const screen = screenRef.current;
    const element = box.current;
    if (!ready || !live || screen === null || element === null) return;
    const place = mode === 'view' ? () => scaleTo(element, screen) : sizeOffer(screen, (size) => link.send(size));
    const link = openTerminalLink(
      { origin, sessionId, mode },
      {
        onOutput: (bytes, drawn) => screen.write(bytes, drawn),
        onAbsent: () => setState('refused'),
        onConnected: (connected) => setState((before) => (connected ? 'live' : before === 'live' ? 'broken' : before)),
        onMessage: (message) => {
          switch (message.type) {
            case 'snapshot':
              screen.reset(message.cols, message.rows);
              screen.write(message.data, place);
              setGap(false);
              break;
            case 'resized':
              screen.resize(message.cols, message.rows);
              break;
            case 'gap':
              setGap(true);
              break;
            case 'exited':
              setState('ended');
              break;
            case 'refused':
              latest.current.onRefused?.(message.reason);
              break;
          }
          place();
        },
      },
    );
    typed.current = (data) => void link.send({ type: 'input', data });
    const observer = new ResizeObserver(place);
    observer.observe(element);
    if (mode === 'control') screen.focus();
    return () => {
      typed.current = null;
      observer.disconnect();
      link.close();
      setState((before) => (before === 'live' ? 'broken' : before));
    };
  }, [box, ready, live, origin, sessionId, mode]);
  return { state, gap };
}

/** Offers the session the size of the box, once for each size; smaller than an agent can draw in is not offered. */
function sizeOffer(screen: Screen, send: (size: { type: 'resize'; cols: number; rows: number }) => boolean) {
  let sent = '';
  return (): void => {
    const size = screen.proposed();
    if (size === null || size.cols < colsMin || size.rows < rowsMin) return;
    const name = `${size.cols}x${size.rows}`;
    if (name !== sent && send({ type: 'resize', ...size })) sent = name;
  };
}

function scaleTo(box: HTMLElement, screen: Screen): void {
  const inner = box.querySelector<HTMLElement>('.terminal-inner');
  const { width, height } = screen.size();
  if (inner === null || width === 0 || height === 0) return;
  const style = getComputedStyle(box);
  const room = {
    width: box.clientWidth - Number.parseFloat(style.paddingLeft) - Number.parseFloat(style.paddingRight),
    height: box.clientHeight - Number.parseFloat(style.paddingTop) - Number.parseFloat(style.paddingBottom),
  };
  const scale = Math.min(room.width / width, room.height / height, 1);
  inner.style.width = `${width}px`;
  inner.style.height = `${height}px`;
  inner.style.transform = `scale(${scale})`;
  inner.style.marginLeft = `${Math.max(0, (room.width - width * scale) / 2)}px`;
}

/** Whether the element is in the window or close to it. */
function useNear(box: RefObject<HTMLElement | null>): boolean {
  const [near, setNear] = useState(false);
  useEffect(() => {
    if (box.current === null) return;
    const observer = new IntersectionObserver((entries) => setNear(entries.some((entry) => entry.isIntersecting)), {
      rootMargin: aheadPixels,
    });
    observer.observe(box.current);
    return () => observer.disconnect();
  }, [box]);
  return near;
}
