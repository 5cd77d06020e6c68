/** What an adopted terminal is to the rest of the room, whoever holds it: something that can be looked at, and typed into with care. */
import type { Typed } from '../../platform/tmux.ts';
import type { ScreenView } from '../../protocol/state.ts';

/** How it is at one instant. */
export type Look =
  | {
      readonly kind: 'seen';
      readonly at: number;
      readonly screen: ScreenView;
      /** The rows without what is drawn faint; equal to those of the screen where colours are not told. */
      readonly solid: readonly string[];
      /** What draws this screen in an empty terminal of this size. */
      readonly data: string;
      readonly cols: number;
      readonly rows: number;
      readonly title: string;
      /** Why keys would not reach the agent, or not it alone: copy mode, a shell in front. Undefined: they would. */
      readonly obstacle: string | undefined;
    }
  /** It is not there any more, or the agent in it. `how` where that can be known of a process that is not our child. */
  | { readonly kind: 'gone'; readonly reason: string; readonly how?: { code: number | null; signal: string | null } }
  /** Nobody can say: who holds it does not answer. */
  | { readonly kind: 'unreachable'; readonly reason: string };

export type Seen = Extract<Look, { kind: 'seen' }>;

/** What the holder itself says about the input box, where it knows more than the screen shows. */
export type ToldBox = 'empty' | 'draft' | 'dialog' | undefined;

export interface Place {
  /** Terminals of one group are looked at together. */
  readonly group: string;
  /** Pastes as one piece, submits nothing. `seen` is the look on which that was decided. `scratch` is a folder of ours. */
  readonly paste: (text: string, seen: Seen, scratch: string) => Promise<Typed>;
  readonly keys: (data: string) => Promise<Typed>;
  readonly toldBox: () => Promise<ToldBox>;
  readonly tail: (lines: number) => Promise<readonly string[]>;
}
