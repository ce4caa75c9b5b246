/** The first packet of an SCTP association (INIT, RFC 9260 section 3.3.2), made by hand: most kernels have no SCTP sockets. */
import { close, send } from '../../../daemon/native/libc.ts';
import type { Namespace } from '../namespace.ts';
import { openRaw } from './raw.ts';

const IPPROTO_SCTP = 132;
const INIT = 1;

/** Sends one INIT from the namespace. */
export function sendInit(from: Namespace, address: string, port: number): void {
  const descriptor = from.enter(() => openRaw(IPPROTO_SCTP, address));
  send(descriptor, initTo(port));
  close(descriptor);
}

function initTo(port: number): Buffer {
  const packet = Buffer.alloc(32);
  packet.writeUInt16BE(40_000, 0);
  packet.writeUInt16BE(port, 2);
  packet.writeUInt8(INIT, 12);
  packet.writeUInt16BE(20, 14);
  packet.writeUInt32BE(1, 16); // initiate tag, not zero
  packet.writeUInt32BE(65_536, 20); // receiver window
  packet.writeUInt16BE(1, 24); // streams out and in
  packet.writeUInt16BE(1, 26);
  packet.writeUInt32LE(crc32c(packet), 8);
  return packet;
}

/** Connection tracking ignores a packet whose checksum is wrong. RFC 9260 appendix A. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
