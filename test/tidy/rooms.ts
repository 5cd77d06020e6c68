/** The table of rooms: which folder of `src` may import which. ARCHITECTURE.md shows the same table; tidy.test.ts holds both to the code. */
export const rooms: Readonly<Record<string, { readonly floor: number; readonly may: readonly string[] }>> = {
  base: { floor: 0, may: [] },
  protocol: { floor: 1, may: ['base'] },
  platform: { floor: 1, may: ['base'] },
  ledger: { floor: 2, may: ['base', 'protocol', 'platform'] },
  state: { floor: 2, may: ['base', 'protocol'] },
  agents: { floor: 3, may: ['base', 'protocol', 'platform', 'state'] },
  sessions: { floor: 4, may: ['base', 'protocol', 'platform', 'state', 'agents'] },
  gates: { floor: 4, may: ['base', 'protocol', 'platform', 'ledger'] },
  dispatch: { floor: 5, may: ['base', 'protocol', 'platform', 'ledger', 'state', 'sessions', 'gates'] },
  server: { floor: 7, may: ['base', 'protocol', 'ledger', 'state', 'agents', 'sessions', 'gates', 'dispatch'] },
  doctor: {
    floor: 7,
    may: ['base', 'protocol', 'platform', 'ledger', 'state', 'agents', 'sessions', 'gates', 'dispatch'],
  },
  daemon: {
    floor: 8,
    may: [
      'base',
      'protocol',
      'platform',
      'ledger',

      'state',
      'agents',
      'sessions',
      'gates',
      'dispatch',
      'server',
      'doctor',
    ],
  },
  cli: { floor: 9, may: ['base', 'protocol', 'platform', 'doctor', 'daemon'] },
};
