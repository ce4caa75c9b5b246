/**
 * Netlink's framing (struct nlmsghdr): frames a request, and reads the answer to it datagram by datagram. Makes no system
 * call and knows no family's messages.
 */
import { attribute, attributeText } from './attributes.ts';
import { SystemError } from './errno.ts';

export const NLMSG_ERROR = 2;
/** Below this are the control messages of netlink itself. */
export const NLMSG_MIN_TYPE = 0x10;
/** sizeof(struct nlmsghdr) */
export const HEADER = 16;

const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;

/** `body` follows the netlink header: the family's fixed struct, then attributes. */
export interface NetlinkMessage {
  readonly type: number;
  readonly body: Buffer;
}

/** One message in a datagram, its header included. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly offset: number;
  readonly end: number;
}

/** A message ready to send, padded so that another may follow. */
export function frameOf(type: number, flags: number, sequence: number, body: Uint8Array): Buffer {
  const frame = Buffer.alloc(HEADER + ((body.length + 3) & ~3));
  frame.writeUInt32LE(HEADER + body.length, 0);
  frame.writeUInt16LE(type, 4);
  frame.writeUInt16LE(flags, 6);
  frame.writeUInt32LE(sequence, 8);
  frame.set(body, HEADER);
  return frame;
}

/** Reads the answer to one request, datagram by datagram. Answers to earlier requests are passed over. */
export class Answer {
  complete = false;
  interrupted = false;
  readonly #sequence: number;
  readonly #single: boolean;

  /** `single`: the answer is one message, without an acknowledgement. */
  constructor(sequence: number, single: boolean) {
    this.#sequence = sequence;
    this.#single = single;
  }

  /** The answer's last message is in this datagram. */
  endsWithin(buffer: Buffer, length: number): boolean {
    for (const { type, sequence } of framesOf(buffer, length)) {
      if (sequence === this.#sequence && (type === NLMSG_ERROR || type === NLMSG_DONE)) return true;
    }
    return false;
  }

  /** Throws NETLINK_FAILED when the kernel refused. */
  read(buffer: Buffer, length: number, visit: (message: NetlinkMessage) => void): void {
    for (const { type, flags, sequence, offset, end } of framesOf(buffer, length)) {
      if (sequence !== this.#sequence) continue;
      if ((flags & NLM_F_DUMP_INTR) !== 0) this.interrupted = true;
      if (type === NLMSG_ERROR || type === NLMSG_DONE) {
        refuse(buffer.subarray(offset + HEADER, end), type, flags);
        this.complete = true;
      } else if (type >= NLMSG_MIN_TYPE) {
        visit({ type, body: buffer.subarray(offset + HEADER, end) });
        this.complete ||= this.#single;
      }
    }
  }
}

/** The messages of a datagram of `received` bytes. Ends at the first malformed one. */
export function* framesOf(buffer: Buffer, received: number): Generator<Frame> {
  for (let offset = 0; offset + HEADER <= received; ) {
    const end = offset + buffer.readUInt32LE(offset);
    if (end < offset + HEADER || end > received) return;
    yield {
      type: buffer.readUInt16LE(offset + 4),
      flags: buffer.readUInt16LE(offset + 6),
      sequence: buffer.readUInt32LE(offset + 8),
      offset,
      end,
    };
    offset = (end + 3) & ~3;
  }
}

/** Why the kernel refused a request. */
export interface Fault {
  /** Positive. */
  readonly errno: number;
  /** The kernel's own words (extended ack), often empty. */
  readonly words: string;
  /** Where in the request the refused attribute begins, its header included; undefined when the kernel does not say. */
  readonly offset: number | undefined;
}

/** What an NLMSG_ERROR or NLMSG_DONE tells; undefined when it is no refusal. `body` follows the netlink header. */
export function faultIn(body: Buffer, type: number, flags: number): Fault | undefined {
  const errno = body.length >= 4 ? -body.readInt32LE(0) : 0;
  if (errno === 0) return undefined;
  // NLMSG_ERROR repeats the request's header, and its body too unless the kernel capped it.
  const repeated = type === NLMSG_DONE ? 0 : (flags & NLM_F_CAPPED) !== 0 ? HEADER : body.readUInt32LE(4);
  const details = 4 + ((repeated + 3) & ~3);
  const told = (flags & NLM_F_ACK_TLVS) !== 0 && details < body.length;
  const words = told ? attribute(body, NLMSGERR_ATTR_MSG, details) : undefined;
  const offset = told ? attribute(body, NLMSGERR_ATTR_OFFS, details)?.readUInt32LE(0) : undefined;
  return { errno, words: words === undefined ? '' : attributeText(words), offset };
}

function refuse(body: Buffer, type: number, flags: number): void {
  const fault = faultIn(body, type, flags);
  if (fault !== undefined) throw new SystemError('NETLINK_FAILED', 'netlink', fault.errno, fault.words);
}
