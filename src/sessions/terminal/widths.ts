/**
 * How many columns a character takes: xterm's grapheme addon, with emoji that are newer than its tables. The browser must do the same, or
 * its screen differs from ours.
 */
// oxlint-disable-next-line import/default -- a CommonJS bundle: its whole export is the default
import graphemes from '@xterm/addon-unicode-graphemes';
import type { IUnicodeVersionProvider, Terminal } from '@xterm/headless';
import { assert } from '../../base/assert.ts';
import { widthAs } from '../../base/emoji.ts';

const version = 'muster';

export function useGraphemeWidths(terminal: Terminal): void {
  let base: IUnicodeVersionProvider | undefined;
  // The addon registers two providers, the one with graphemes last, and offers no other way to get at them.
  const register = (provider: IUnicodeVersionProvider): void => {
    base = provider;
  };
  const catcher = { unicode: { register, activeVersion: '', versions: [] } };
  const addon = new graphemes.UnicodeGraphemesAddon();
  addon.activate(catcher as unknown as Parameters<typeof addon.activate>[0]);
  const provider = base;
  assert(provider !== undefined, 'the grapheme addon registered no provider');
  terminal.unicode.register({
    version,
    wcwidth: (codePoint) => provider.wcwidth(widthAs(codePoint)),
    charProperties: (codePoint, preceding) => provider.charProperties(widthAs(codePoint), preceding),
  });
  terminal.unicode.activeVersion = version;
}
