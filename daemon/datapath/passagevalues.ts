/**
 * What is known of a new connection to a pod, as the bytes that nf_tables would load into its registers. Pure; whatever is
 * not known has no bytes.
 */
import type { Passage } from '../core/diagnosis.ts';
import { addressBytes } from '../core/iptext.ts';
import { IPPROTO } from './conntrack.ts';

/** Undefined: unknown. */
export type Value = Buffer | undefined;

/** enum nft_meta_keys; of the mark nothing is known. */
export function metaValue(key: number, { family, input, output, protocol }: Passage): Value {
  switch (key) {
    case 1:
      return family === 4 ? Buffer.of(0x08, 0x00) : Buffer.of(0x86, 0xdd);
    case 6:
      return input === undefined ? undefined : deviceName(input);
    case 7:
      return output === undefined ? undefined : deviceName(output);
    case 15:
      return Buffer.of(family === 4 ? 2 : 10);
    case 16:
      return protocol === undefined ? undefined : Buffer.of(IPPROTO[protocol]);
    default:
      return undefined;
  }
}

/** IFNAMSIZ bytes, padded with NUL. */
function deviceName(name: string): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.write(name, 'latin1');
  return bytes;
}

/** enum nft_ct_keys: the connection is new, in its original direction, and its destination was translated. */
export function trackedValue(key: number): Value {
  switch (key) {
    case 0:
      return native(STATE_NEW);
    case 1:
      return Buffer.of(0);
    case 2:
      return native(IPS_DST_NAT | IPS_DST_NAT_DONE);
    default:
      return undefined;
  }
}

/** NF_CT_STATE_BIT(IP_CT_NEW), and XT_CONNTRACK_STATE_BIT(IP_CT_NEW). */
export const STATE_NEW = 8;
const IPS_DST_NAT = 0x20;
const IPS_DST_NAT_DONE = 0x100;

function native(value: number): Buffer {
  return Buffer.from(Uint32Array.of(value).buffer);
}

/**
 * `length` bytes from `offset` on of the network header (base 1) or the transport header (base 2), enum nft_payload_bases,
 * as far as they are known.
 */
export function headerBytes(base: number, offset: number, length: number, passage: Passage): Value {
  const { family, destination, protocol, port } = passage;
  const within = (start: number, bytes: Uint8Array | undefined): Value =>
    bytes !== undefined && offset >= start && offset + length <= start + bytes.length
      ? Buffer.from(bytes.subarray(offset - start, offset - start + length))
      : undefined;
  if (base === 2) return within(2, port === undefined ? undefined : Uint8Array.of(port >> 8, port & 0xff));
  if (base !== 1) return undefined;
  const number = protocol === undefined ? undefined : Uint8Array.of(IPPROTO[protocol]);
  const address = destination === undefined ? undefined : addressBytes(destination);
  return within(family === 4 ? 9 : 6, number) ?? within(family === 4 ? 16 : 24, address);
}
