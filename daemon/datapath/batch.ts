/**
 * nfnetlink batches: several nf_tables commands that the kernel carries out as one transaction, sent in one datagram. Knows
 * nothing of what the commands say.
 */
import { AttributeWriter, attribute, attributeText } from '../native/attributes.ts';
import { close, closeAsync, send, sendAsync, setsockopt, socket, tryRecv } from '../native/libc.ts';
import { NETLINK_NETFILTER } from '../native/netlink.ts';

const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_BATCH_GENID = 1;
/** struct nfgenmsg: family unspecified, version 0, resource in network order. */
const BATCH = Uint8Array.of(0, 0, 0, NFNL_SUBSYS_NFTABLES);

const NLM_F_REQUEST = 1;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSG_ERROR = 2;
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;
const HEADER = 16;

/**
 * Larger batches are sent from a worker thread, so that the loop goes on while the kernel works. Smaller ones take some 20 µs; a
 * refused one takes an RCU grace period more (10–25 ms, nf_tables_abort), which is rare enough to be waited for.
 */
const MAX_SYNCHRONOUS = 65_536;

export interface BatchCommand {
  /** NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_…. */
  readonly type: number;
  /** Beyond NLM_F_REQUEST. */
  readonly flags: number;
  /** struct nfgenmsg and attributes. */
  readonly body: Uint8Array;
}

/** Why the kernel refused a batch. */
export interface Refusal {
  /** Positive. */
  readonly errno: number;
  /** Index of the refused command; undefined when it was the batch as a whole. */
  readonly command?: number;
  /** Where in the command's body the refused attribute begins; undefined when the kernel does not say. */
  readonly offset?: number;
  /** The kernel's own words (extended ack), often empty. */
  readonly words: string;
}

export class BatchSocket implements Disposable, AsyncDisposable {
  readonly #fd: number;
  readonly #answers = Buffer.allocUnsafeSlow(65_536);
  #room = 0;
  #sequence = 0;
  #open = true;

  /** Belongs to the network namespace that the thread is in. Throws SYSCALL_FAILED. */
  constructor() {
    this.#fd = socket(16 /* AF_NETLINK */, 3 /* SOCK_RAW */, NETLINK_NETFILTER);
    setsockopt(this.#fd, 270 /* SOL_NETLINK */, 10 /* NETLINK_CAP_ACK */, 1);
    setsockopt(this.#fd, 270 /* SOL_NETLINK */, 11 /* NETLINK_EXT_ACK */, 1);
  }

  /**
   * All commands or none, undefined when all were carried out. With a generation: refused (errno 85, ERESTART) unless the ruleset has
   * it. One batch at a time. Rejects with SYSCALL_FAILED.
   */
  async run(commands: readonly BatchCommand[], generation?: number): Promise<Refusal | undefined> {
    const begin = new AttributeWriter(BATCH);
    if (generation !== undefined) begin.be32(NFNL_BATCH_GENID, generation);
    const frames = [
      this.#frame(NFNL_MSG_BATCH_BEGIN, 0, begin.body()),
      ...commands.map(({ type, flags, body }) => this.#frame(type, flags, body)),
      this.#frame(NFNL_MSG_BATCH_END, 0, BATCH),
    ];
    const firstCommand = this.#sequence - 1 - commands.length;
    await this.#send(Buffer.concat(frames));
    return this.#refusal(firstCommand, commands.length);
  }

  [Symbol.dispose](): void {
    if (this.#open) close(this.#fd);
    this.#open = false;
  }

  /** Closes on a worker thread: the kernel first frees what was deleted, which takes an RCU grace period (10–20 ms). */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await closeAsync(this.#fd);
  }

  async #send(batch: Buffer): Promise<void> {
    // netlink_sendmsg refuses (EMSGSIZE) what is longer than the send buffer; the kernel doubles what is asked for.
    if (batch.length > this.#room) {
      this.#room = Math.max(262_144, batch.length);
      setsockopt(this.#fd, 1 /* SOL_SOCKET */, 32 /* SO_SNDBUFFORCE */, this.#room);
    }
    if (batch.length > MAX_SYNCHRONOUS) await sendAsync(this.#fd, batch);
    else send(this.#fd, batch);
  }

  /** The first refusal. nf_tables works within send, so its answers are there; answers to earlier batches are passed over. */
  #refusal(firstCommand: number, count: number): Refusal | undefined {
    const buffer = this.#answers;
    let found: Refusal | undefined;
    for (let length = tryRecv(this.#fd, buffer); length !== undefined; length = tryRecv(this.#fd, buffer)) {
      for (let at = 0, end = 0; at + HEADER + 4 <= length; at = (end + 3) & ~3) {
        end = at + Math.max(HEADER, buffer.readUInt32LE(at));
        const errno = -buffer.readInt32LE(at + HEADER);
        const index = buffer.readUInt32LE(at + 8) - firstCommand;
        // -1 and `count`: the beginning and the end of this batch.
        if (buffer.readUInt16LE(at + 4) !== NLMSG_ERROR || errno === 0 || index < -1 || index > count) continue;
        found ??= refusalAt(buffer.subarray(at, Math.min(end, length)), errno, index < count ? index : -1);
      }
    }
    return found;
  }

  #frame(type: number, flags: number, body: Uint8Array): Buffer {
    const frame = Buffer.alloc(HEADER + ((body.length + 3) & ~3));
    frame.writeUInt32LE(HEADER + body.length, 0);
    frame.writeUInt16LE(type, 4);
    frame.writeUInt16LE(flags | NLM_F_REQUEST, 6);
    frame.writeUInt32LE(this.#sequence, 8);
    frame.set(body, HEADER);
    this.#sequence = (this.#sequence + 1) % 2 ** 32;
    return frame;
  }
}

/** `message`: a NLMSG_ERROR. `command`: negative when it speaks of the whole batch. */
function refusalAt(message: Buffer, errno: number, command: number): Refusal {
  const flags = message.readUInt16LE(6);
  // The refused message's header is repeated, and its body too unless the kernel capped it.
  const repeated = (flags & NLM_F_CAPPED) !== 0 ? HEADER : message.readUInt32LE(HEADER + 4);
  const details = HEADER + 4 + ((repeated + 3) & ~3);
  const told = (flags & NLM_F_ACK_TLVS) !== 0 && details < message.length;
  const words = told ? attribute(message, NLMSGERR_ATTR_MSG, details) : undefined;
  const offset = told ? attribute(message, NLMSGERR_ATTR_OFFS, details)?.readUInt32LE(0) : undefined;
  return {
    errno,
    words: words === undefined ? '' : attributeText(words),
    ...(command < 0 ? {} : { command }),
    ...(offset === undefined ? {} : { offset: offset - HEADER }),
  };
}
