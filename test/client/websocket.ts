/** Enough of RFC 6455 for a server of tests: binary messages in one frame each, and the end. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const BINARY = 2;
const CLOSE = 8;

export interface ServerWebSocket {
  send(message: Buffer): void;
  close(): void;
}

export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  protocol: string,
  onMessage: (message: Buffer) => void,
): ServerWebSocket {
  const key = createHash('sha1').update(`${request.headers['sec-websocket-key']}${MAGIC}`).digest('base64');
  const head = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'];
  socket.write([...head, `Sec-WebSocket-Accept: ${key}`, `Sec-WebSocket-Protocol: ${protocol}`, '', ''].join('\r\n'));
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let frame = frameOf(rest); frame !== undefined; frame = frameOf(rest)) {
      rest = rest.subarray(frame.length);
      if (frame.opcode === BINARY) onMessage(frame.payload);
      else if (frame.opcode === CLOSE) socket.end();
    }
  });
  socket.on('error', () => socket.destroy());
  return {
    send: (message) => void socket.write(Buffer.concat([header(BINARY, message.length), message])),
    close: () => socket.end(header(CLOSE, 0)),
  };
}

interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
  readonly length: number;
}

/** Undefined while it has not come as a whole. */
function frameOf(bytes: Buffer): Frame | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes.readUInt8(1) & 0x7f;
  const extended = short === 127 ? 8 : short === 126 ? 2 : 0;
  const start = 2 + extended + 4;
  if (bytes.length < start) return undefined;
  const size = extended === 8 ? Number(bytes.readBigUInt64BE(2)) : extended === 2 ? bytes.readUInt16BE(2) : short;
  if (bytes.length < start + size) return undefined;
  const mask = bytes.subarray(start - 4, start);
  const payload = Buffer.from(bytes.subarray(start, start + size));
  for (let index = 0; index < size; index += 1) payload[index] = (payload[index] ?? 0) ^ (mask[index % 4] ?? 0);
  return { opcode: bytes.readUInt8(0) & 0x0f, payload, length: start + size };
}

function header(opcode: number, size: number): Buffer {
  if (size < 126) return Buffer.from([0x80 | opcode, size]);
  const long = Buffer.alloc(10);
  long[0] = 0x80 | opcode;
  long[1] = 127;
  long.writeBigUInt64BE(BigInt(size), 2);
  return long;
}
