/**
 * The keyboard: one listener for the whole page. A component brings its bindings with `useKeys`; the newest component that knows a key
 * gets it. Keys typed into a field or into a terminal under control are never taken. `stops` are the elements that j, k and the arrows
 * walk over: everything marked `data-stop`, in the order of the page.
 */
import { useEffect, useRef } from 'react';

export interface KeyBinding {
  /** `j`, `Enter`, or two keys one after the other: `g f`. */
  readonly keys: string;
  readonly what: string;
  readonly run: () => void;
}

/** Time between the two keys of a pair. */
const pairMs = 1_200;

const layers: (() => readonly KeyBinding[])[] = [];
let pending: { key: string; at: number } | null = null;

export function useKeys(bindings: readonly KeyBinding[]): void {
  const latest = useRef(bindings);
  latest.current = bindings;
  useEffect(() => {
    const layer = (): readonly KeyBinding[] => latest.current;
    layers.push(layer);
    return () => void layers.splice(layers.indexOf(layer), 1);
  }, []);
}

/** All keys that work now, newest layer first, each once. */
export function allBindings(): readonly KeyBinding[] {
  const seen = new Map<string, KeyBinding>();
  for (const layer of [...layers].reverse()) {
    for (const binding of layer()) if (!seen.has(binding.keys)) seen.set(binding.keys, binding);
  }
  return [...seen.values()];
}

export function listenToKeys(): () => void {
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || takesText(event.target)) return;
    if (document.querySelector('dialog[open]') !== null) return;
    const pair = pending !== null && event.timeStamp - pending.at < pairMs ? `${pending.key} ${event.key}` : null;
    const known = allBindings();
    const binding = known.find(({ keys }) => keys === pair) ?? known.find(({ keys }) => keys === event.key);
    const begins = known.some(({ keys }) => keys.startsWith(`${event.key} `));
    pending = binding === undefined && begins ? { key: event.key, at: event.timeStamp } : null;
    if (binding === undefined) return;
    event.preventDefault();
    binding.run();
  };
  window.addEventListener('keydown', onKey);
  return () => window.removeEventListener('keydown', onKey);
}

const takesText = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

export type Direction = 'next' | 'previous' | 'up' | 'down';

/** Moves the focus to another stop: along the order of the page, or to the nearest one above or below. */
export function moveStop(direction: Direction): void {
  const stops = [...document.querySelectorAll<HTMLElement>('main [data-stop]')];
  const here = stops.findIndex((stop) => stop.contains(document.activeElement));
  const from = stops[here];
  const to = from === undefined ? stops[0] : neighbour(stops, here, from, direction);
  to?.focus();
  to?.scrollIntoView({ block: 'nearest' });
}

function neighbour(stops: readonly HTMLElement[], here: number, from: HTMLElement, direction: Direction) {
  if (direction === 'next') return stops[here + 1];
  if (direction === 'previous') return stops[here - 1];
  const origin = from.getBoundingClientRect();
  const distance = (stop: HTMLElement): number => {
    const box = stop.getBoundingClientRect();
    const down = direction === 'down' ? box.top - origin.top : origin.top - box.top;
    return down < origin.height / 2 ? Number.POSITIVE_INFINITY : down * 3 + Math.abs(box.left - origin.left);
  };
  const nearest = [...stops].sort((a, b) => distance(a) - distance(b))[0];
  return nearest !== undefined && Number.isFinite(distance(nearest)) ? nearest : undefined;
}
