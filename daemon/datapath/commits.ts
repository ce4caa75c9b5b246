/**
 * Tells that somebody committed a change of the ruleset, by the message that the kernel sends after each commit
 * (NFT_MSG_NEWGEN). A filter in the kernel keeps the changes themselves away, of which one sync of kube-proxy has
 * megabytes. Costs nothing while nothing happens: a timer that asks ten times a second costs 0.3 % of a core.
 */
import { BPF_JEQ_K, BPF_LDH_ABS, BPF_RET_K, makeFilter } from '../native/filter.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../native/netlink.ts';

const NFNLGRP_NFTABLES = 7;
const NFT_MSG_NEWGEN = (10 << 8) | 15;
/** Offset of nlmsg_type in struct nlmsghdr. */
const TYPE = 4;

let onlyGenerations: Uint8Array | undefined;

export class Commits implements Disposable {
  readonly #socket: NetlinkSocket;
  readonly #gatherMs: number;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  /** Belongs to the network namespace that the thread is in. `gatherMs`: commits within so long are told as one. Throws SYSCALL_FAILED. */
  constructor(gatherMs: number) {
    this.#gatherMs = gatherMs;
    using opened = new DisposableStack();
    this.#socket = opened.use(NetlinkSocket.open(NETLINK_NETFILTER));
    // BPF loads in network order, the header is in the machine's: the constant is turned, not the packet.
    const type = new DataView(Uint16Array.of(NFT_MSG_NEWGEN).buffer).getUint16(0);
    onlyGenerations ??= makeFilter([
      { code: BPF_LDH_ABS, k: TYPE },
      { code: BPF_JEQ_K, jf: 1, k: type },
      { code: BPF_RET_K, k: 0xffffffff },
      { code: BPF_RET_K, k: 0 },
    ]);
    this.#socket.attachFilter(onlyGenerations);
    opened.move();
  }

  /** Calls back after commits, own ones too, until it is disposed. To be called once. Throws SYSCALL_FAILED without NET_ADMIN. */
  listen(onCommit: () => void): void {
    this.#socket.subscribe(NFNLGRP_NFTABLES);
    this.#wait(onCommit);
  }

  #wait(onCommit: () => void): void {
    this.#socket.whenReadable(() => {
      this.#timer = setTimeout(() => {
        // Lost messages are commits too.
        this.#socket.drain(() => {});
        if (!this.#ended) this.#wait(onCommit);
        onCommit();
      }, this.#gatherMs).unref();
    });
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#socket[Symbol.dispose]();
  }
}
