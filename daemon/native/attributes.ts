/**
 * Netlink attributes (struct nlattr): a writer, and readers that never copy. Numbers are in host order, which is
 * little-endian on every platform that koffi is built for, but for the `be` forms: netfilter's are in network order.
 * Knows no family's attribute numbers and makes no system call.
 */

const HEADER = 4;
/** NLA_F_NESTED, set by the writer on nests: nftables and strict rtnetlink insist on it. */
const NESTED = 0x8000;
/** NLA_TYPE_MASK: without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const TYPE_MASK = 0x3fff;

const align = (length: number): number => (length + 3) & ~3;

/** Builds the body of a message: a fixed header first, attributes after it. Grows as needed. */
export class AttributeWriter {
  #buffer: Buffer;
  #length = 0;

  /** `header`: the family's fixed struct (nfgenmsg, ifinfomsg, …), copied. */
  constructor(header: Uint8Array = new Uint8Array(0)) {
    this.#buffer = Buffer.alloc(256);
    this.#reserve(header.length);
    this.#buffer.set(header, 0);
    this.#length = align(header.length);
  }

  u8(type: number, value: number): this {
    const at = this.#begin(type, 1);
    this.#buffer.writeUInt8(value, at);
    return this;
  }

  u16(type: number, value: number): this {
    const at = this.#begin(type, 2);
    this.#buffer.writeUInt16LE(value, at);
    return this;
  }

  u32(type: number, value: number): this {
    const at = this.#begin(type, 4);
    this.#buffer.writeUInt32LE(value, at);
    return this;
  }

  be16(type: number, value: number): this {
    const at = this.#begin(type, 2);
    this.#buffer.writeUInt16BE(value, at);
    return this;
  }

  be32(type: number, value: number): this {
    const at = this.#begin(type, 4);
    this.#buffer.writeUInt32BE(value, at);
    return this;
  }

  be64(type: number, value: bigint): this {
    const at = this.#begin(type, 8);
    this.#buffer.writeBigUInt64BE(value, at);
    return this;
  }

  bytes(type: number, value: Uint8Array): this {
    const at = this.#begin(type, value.length);
    this.#buffer.set(value, at);
    return this;
  }

  /** NUL-terminated, as the kernel wants names. */
  text(type: number, value: string): this {
    return this.bytes(type, Buffer.from(`${value}\0`, 'utf8'));
  }

  /** A nest, filled by the callback. */
  nest(type: number, fill: (writer: this) => void): this {
    const payload = this.#begin(type | NESTED, 0);
    fill(this);
    this.#buffer.writeUInt16LE(this.#length - payload + HEADER, payload - HEADER);
    return this;
  }

  /** The body so far, a view. */
  body(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Writes the attribute's header; returns the payload's offset. May replace the buffer: call it before naming that. */
  #begin(type: number, length: number): number {
    const start = this.#length;
    this.#reserve(start + HEADER + align(length));
    this.#buffer.writeUInt16LE(HEADER + length, start);
    this.#buffer.writeUInt16LE(type, start + 2);
    this.#length = start + HEADER + align(length);
    return start + HEADER;
  }

  #reserve(length: number): void {
    if (length <= this.#buffer.length) return;
    const larger = Buffer.alloc(Math.max(length, this.#buffer.length * 2));
    larger.set(this.#buffer);
    this.#buffer = larger;
  }
}

/**
 * The offset of the payload of the first attribute of this type in `bytes[start, end)`, -1 when there is none; its
 * length is `attributeLength`. For loops over 100,000 entries: creates no object.
 */
export function findAttribute(bytes: Buffer, type: number, start = 0, end = bytes.length): number {
  let offset = start;
  while (offset + HEADER <= end) {
    const length = bytes.readUInt16LE(offset);
    if (length < HEADER || offset + length > end) return -1;
    if ((bytes.readUInt16LE(offset + 2) & TYPE_MASK) === type) return offset + HEADER;
    offset += align(length);
  }
  return -1;
}

/** The payload's length of the attribute whose payload starts at `offset`. */
export function attributeLength(bytes: Buffer, offset: number): number {
  return bytes.readUInt16LE(offset - HEADER) - HEADER;
}

/** The payload (a view) of the first attribute of this type, undefined when there is none. `start` skips a fixed header. */
export function attribute(bytes: Buffer, type: number, start = 0): Buffer | undefined {
  const offset = findAttribute(bytes, type, start);
  return offset < 0 ? undefined : bytes.subarray(offset, offset + attributeLength(bytes, offset));
}

/** Every attribute in order: type and payload (a view). Ends at the first malformed one. */
export function* attributes(bytes: Buffer, start = 0): Generator<readonly [type: number, payload: Buffer]> {
  let offset = start;
  while (offset + HEADER <= bytes.length) {
    const length = bytes.readUInt16LE(offset);
    if (length < HEADER || offset + length > bytes.length) return;
    yield [bytes.readUInt16LE(offset + 2) & TYPE_MASK, bytes.subarray(offset + HEADER, offset + length)];
    offset += align(length);
  }
}

/** A text payload without its terminating NUL. */
export function attributeText(payload: Buffer): string {
  const end = payload.indexOf(0);
  return payload.toString('utf8', 0, end < 0 ? payload.length : end);
}
