/** How Linux writes down what it knows of a process; see proc(5). Who reads the files decides what their absence means. */

/** Positions among the fields of `/proc/PID/stat` behind the command. */
export const statField = {
  state: 0,
  parent: 1,
  group: 2,
  tty: 4,
  foreground: 5,
  startTicks: 19,
  residentPages: 21,
  exitStatus: 49,
} as const;

/** The fields behind the command, which stands in brackets and may itself hold spaces and brackets. */
export const statFields = (stat: string): readonly string[] => stat.slice(stat.lastIndexOf(')') + 2).split(' ');

/** It has ended, and holds nothing but its exit status. */
export const isZombie = (fields: readonly string[]): boolean => ['Z', 'X'].includes(fields[statField.state] ?? '');

/** One variable of `/proc/PID/environ`. */
export const variableIn = (environ: string, name: string): string | undefined =>
  environ
    .split('\0')
    .find((entry) => entry.startsWith(`${name}=`))
    ?.slice(name.length + 1);
