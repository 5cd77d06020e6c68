import fc from 'fast-check';
import { expect, it } from 'vitest';
import { openRing } from './ring.ts';

it('[H1] a ring holds exactly the last bytes, at their offsets, whatever the sizes of the pieces', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }),
      fc.integer({ min: 1, max: 32 }),
      (pieces, capacity) => {
        const ring = openRing(capacity);
        for (const piece of pieces) ring.append(piece);
        const all = Buffer.concat(pieces);
        const kept: Buffer[] = [];
        for (let at = ring.start(); at < ring.end(); ) {
          const bytes = ring.read(at, 7);
          kept.push(bytes);
          at += bytes.length;
        }
        expect({ end: ring.end(), kept: Buffer.concat(kept) }).toEqual({
          end: all.length,
          kept: all.subarray(Math.max(0, all.length - capacity)),
        });
      },
    ),
  );
});
