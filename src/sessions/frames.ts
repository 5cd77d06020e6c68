/**
 * Frames on the host's socket, both ways: `u32 length, u8 kind, body`, as src/protocol/host.ts lays down. Writing is pure; reading keeps
 * what has come of an unfinished frame, at most one frame of `frameBytesMax`.
 */
import { frameBytesMax, frameKinds } from '../protocol/host.ts';

export type Frame =
  | { readonly kind: 'message'; readonly text: string }
  | { readonly kind: 'output'; readonly subscription: number; readonly offset: number; readonly bytes: Buffer };

const lengthBytes = 4;
const headBytes = lengthBytes + 1;
const outputHeadBytes = 4 + 8;

export function messageFrame(message: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(message), 'utf8');
  const head = Buffer.allocUnsafe(headBytes);
  head.writeUInt32BE(1 + body.length, 0);
  head.writeUInt8(frameKinds.message, lengthBytes);
  return Buffer.concat([head, body]);
}

/** The head only; the bytes follow as they are. */
export function outputFrameHead(subscription: number, offset: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(headBytes + outputHeadBytes);
  head.writeUInt32BE(1 + outputHeadBytes + length, 0);
  head.writeUInt8(frameKinds.output, lengthBytes);
  head.writeUInt32BE(subscription, headBytes);
  head.writeBigUInt64BE(BigInt(offset), headBytes + 4);
  return head;
}

/**
 * Takes chunks as they come and tells whole frames. False: the stream is not in this form (a length or kind that can't be); the
 * connection must be closed, nothing more is told.
 */
export function openFrameReader(onFrame: (frame: Frame) => void): (chunk: Buffer) => boolean {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let needed = headBytes;
  let broken = false;
  return (chunk) => {
    if (broken) return false;
    waiting.push(chunk);
    waitingBytes += chunk.length;
    while (!broken && waitingBytes >= needed) {
      const bytes = waiting.length === 1 && waiting[0] ? waiting[0] : Buffer.concat(waiting);
      const length = bytes.readUInt32BE(0);
      if (length < 1 || length > frameBytesMax) broken = true;
      else if (bytes.length < lengthBytes + length) needed = lengthBytes + length;
      else {
        const frame = parseFrame(bytes.subarray(lengthBytes, lengthBytes + length));
        const rest = bytes.subarray(lengthBytes + length);
        [waiting, waitingBytes, needed] = [[rest], rest.length, headBytes];
        if (frame === undefined) broken = true;
        else onFrame(frame);
        continue;
      }
      [waiting, waitingBytes] = [[bytes], bytes.length];
    }
    return !broken;
  };
}

function parseFrame(body: Buffer): Frame | undefined {
  const kind = body.readUInt8(0);
  if (kind === frameKinds.message) return { kind: 'message', text: body.toString('utf8', 1) };
  if (kind !== frameKinds.output || body.length < 1 + outputHeadBytes) return undefined;
  return {
    kind: 'output',
    subscription: body.readUInt32BE(1),
    offset: Number(body.readBigUInt64BE(5)),
    bytes: body.subarray(1 + outputHeadBytes),
  };
}
