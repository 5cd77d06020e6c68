import type { EvidenceSource } from '../protocol/state.ts';

/**
 * How long a claim must stand, uncontradicted, before it may correct a state that a more trusted source (or a source that knows
 * the thing better) made. Measured: hooks and session files lag behind each other by up to 150 ms, titles and screens by up to 350 ms.
 */
export const quietMs: Readonly<Record<EvidenceSource, number>> = {
  process: 0,
  control: 0,
  stream: 0,
  hook: 250,
  sessionFile: 500,
  input: 1000,
  osc7501: 100,
  title: 300,
  notification: 300,
  transcript: 400,
  screen: 450,
};

/** After an end that was told, a screen may go on showing work while the agent tidies up: 0.6 s were seen. */
export const afterEndMs = 1500;

/** A less trusted source corrects one that still shows the state only if that one seems to have stopped telling. */
export const againstLevelMs = 10_000;

/** A screen between two attempts of a failing model call looks like plain work; attempts that fail take under three seconds. */
export const retryQuietMs = 3000;

/** Codex shows work for 50 ms while it starts; before the first prompt such a flicker is not believed. */
export const startFlickerMs = 150;

/** An end may be overruled for so long: the failure, or the retry, is told a moment after the end. */
export const provisionalMs = 300;

/** A running turn from which nothing at all was heard for so long is stalled. Spinners tick every second, silent tools do too. */
export const stalledMs = 120_000;

/** Changes kept for `why`; the ledger has them all. Four a turn: fifty turns. */
export const changesKept = 200;

/** Evidence kept for `why`. Repeated claims are folded into one, so that this covers minutes. */
export const evidenceKept = 100;

/** Tool calls remembered by id, to count each once; one that ended so many calls ago is not heard of again. */
export const toolCallsKept = 200;

/** So far apart may a level source and an event source tell of the same end, in either order. */
export const endOrderMs = 1000;
