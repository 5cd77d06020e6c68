import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frameBytesMax } from '../protocol/host.ts';
import { type Frame, messageFrame, openFrameReader, outputFrameHead } from './frames.ts';

function readIn(pieces: readonly Buffer[]): { frames: Frame[]; good: boolean } {
  const frames: Frame[] = [];
  const read = openFrameReader((frame) => frames.push(frame));
  let good = true;
  for (const piece of pieces) good = read(piece);
  return { frames, good };
}

describe('frames', () => {
  const anyFrame = fc.oneof(
    fc.json({ maxDepth: 1 }).map((text) => ({ kind: 'message' as const, text: JSON.stringify(JSON.parse(text)) })),
    fc.record({
      kind: fc.constant('output' as const),
      subscription: fc.integer({ min: 0, max: 0xffffffff }),
      offset: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      bytes: fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
    }),
  );
  const written = (frame: Frame): Buffer =>
    frame.kind === 'message'
      ? messageFrame(JSON.parse(frame.text))
      : Buffer.concat([outputFrameHead(frame.subscription, frame.offset, frame.bytes.length), frame.bytes]);

  it('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 8 }), fc.integer({ min: 1, max: 40 }), (frames, size) => {
        const stream = Buffer.concat(frames.map(written));
        const pieces = Array.from({ length: Math.ceil(stream.length / size) }, (_, index) =>
          stream.subarray(index * size, (index + 1) * size),
        );
        expect(readIn(pieces)).toEqual({ frames, good: true });
      }),
    );
  });

  it('of a length or kind that can not be end the reading, and nothing after them is told', () => {
    const good = messageFrame({ id: 1 });
    const tooLong = Buffer.alloc(5);
    tooLong.writeUInt32BE(frameBytesMax + 1, 0);
    const broken = [tooLong, Buffer.alloc(5), Buffer.from([0, 0, 0, 2, 7, 0]), Buffer.from([0, 0, 0, 2, 1, 0])];
    const told = broken.map((bytes) => readIn([good, bytes, good]));
    expect(told).toEqual(broken.map(() => ({ frames: [{ kind: 'message', text: '{"id":1}' }], good: false })));
  });
});
