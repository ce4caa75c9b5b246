/**
 * nfnetlink batches: several nf_tables commands that the kernel carries out as one transaction, sent in one datagram. Knows
 * nothing of what the commands say.
 */
import { type Fault, faultIn, frameOf, framesOf, HEADER, NLMSG_ERROR } from '../native/answer.ts';
import { AttributeWriter } from '../native/attributes.ts';
import { close, closeAsync, send, sendAsync, setsockopt, tryRecv } from '../native/libc.ts';
import { NETLINK_NETFILTER, openNetlink } from '../native/netlink.ts';

const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_BATCH_GENID = 1;
/** struct nfgenmsg: family unspecified, version 0, resource in network order. */
const BATCH = Uint8Array.of(0, 0, 0, NFNL_SUBSYS_NFTABLES);

const NLM_F_REQUEST = 1;

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
  /** Belongs to the network namespace that the thread was in. */
  readonly #fd = openNetlink(NETLINK_NETFILTER);
  readonly #answers = Buffer.allocUnsafeSlow(65_536);
  #room = 0;
  #sequence = 0;
  #open = true;

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
      for (const { type, flags, sequence, offset, end } of framesOf(buffer, length)) {
        const index = sequence - firstCommand;
        // -1 and `count`: the beginning and the end of this batch.
        if (type !== NLMSG_ERROR || index < -1 || index > count) continue;
        const fault = faultIn(buffer.subarray(offset + HEADER, end), type, flags);
        if (fault !== undefined) found ??= refusalOf(fault, index < count ? index : -1);
      }
    }
    return found;
  }

  #frame(type: number, flags: number, body: Uint8Array): Buffer {
    const frame = frameOf(type, flags | NLM_F_REQUEST, this.#sequence, body);
    this.#sequence = (this.#sequence + 1) % 2 ** 32;
    return frame;
  }
}

/** `command`: negative when the fault is that of the whole batch. */
function refusalOf({ errno, words, offset }: Fault, command: number): Refusal {
  return {
    errno,
    words,
    ...(command < 0 ? {} : { command }),
    ...(offset === undefined ? {} : { offset: offset - HEADER }),
  };
}
