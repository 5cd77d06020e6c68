/**
 * The records of OSC 7501 (Program Status Protocol, revision 0.4 of October 2026) in force: `key=value:key=value`, with `id` a path like
 * `a/b` (absent: the root). A report replaces its record whole; `state=clear` removes a record and its children. Untrusted text: it is
 * kept and shown, never acted upon.
 */
export interface ProgramStatus {
  readonly report: (text: string) => void;
  /** id → text after `7501;`; the root's id is the empty string. */
  readonly records: () => Record<string, string>;
}

/** Limits of the protocol. A longer report is dropped; a record beyond the last is too. */
export const statusBytesMax = 4096;
const recordsMax = 256;

export function openProgramStatus(): ProgramStatus {
  const records = new Map<string, string>();
  return {
    report: (text) => {
      const fields = new Map(text.split(':').map((field) => splitAtEquals(field)));
      const id = fields.get('id') ?? '';
      if (fields.get('state') === 'clear') {
        const isChild = (other: string): boolean => id === '' || other === id || other.startsWith(`${id}/`);
        for (const other of records.keys()) if (isChild(other)) records.delete(other);
      } else if (fields.has('state') && (records.has(id) || records.size < recordsMax)) records.set(id, text);
    },
    records: () => Object.fromEntries(records),
  };
}

function splitAtEquals(field: string): [string, string] {
  const at = field.indexOf('=');
  return at < 0 ? [field, ''] : [field.slice(0, at), field.slice(at + 1)];
}
