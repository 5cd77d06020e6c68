/**
 * Texts that an agent does not take for a prompt although they are pasted: a shell command, a command of its own. Measured by pasting
 * them into empty boxes of the tested versions (docs/input.md has the table); what was not measured is refused.
 */

/** `undefined` is text; otherwise what the agent would do, to be read after "this agent ". */
export type CommandReader = (text: string) => string | undefined;

const shell = (text: string): string | undefined =>
  text.startsWith('!') ? 'runs what follows a leading ! as a shell command, without asking' : undefined;

const slash = 'takes a text that begins with / for a command of its own';

/**
 * A path has a second slash in its first word: `/etc/hosts explain this` is text. White space before the slash changes nothing in Claude
 * Code; in Codex a tab or a line break does not, and a space is not worth a rule of its own.
 */
export const shellOrSlashCommand: CommandReader = (text) =>
  shell(text) ?? (/^\s*\/[^\s/]*(?=\s|$)/.test(text) ? slash : undefined);

/** A pasted `!` is text here: its shell mode is entered by typing only. */
export const qwenCommand: CommandReader = (text) => (/^\s*\//.test(text) ? slash : undefined);

/** For agents that were not measured. */
export const unmeasuredCommand: CommandReader = (text) =>
  /^\s*[!/]/.test(text) ? 'may take a text that begins with ! or / for a command' : undefined;

/**
 * A completion list that is open at the end of the text, and a backslash there, take Enter for themselves; with one space behind it
 * Enter submits. The agents drop that space.
 */
export const withoutOpenEnd = (text: string): string => (/(?:\\|(?:^|\s)@\S*)$/.test(text) ? `${text} ` : text);
