/**
 * The generation of the node's nftables ruleset: a number that every commit, by whomever, makes larger. Reading it
 * takes about 5 µs, so that foreign changes are seen without listening to everybody's rules. Reads only.
 */
import { attribute } from '../native/attributes.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../native/netlink.ts';

/** NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN */
const NFT_MSG_GETGEN = (10 << 8) | 16;
const NFTA_GEN_ID = 1;
/** struct nfgenmsg: family unspecified, version 0. */
const NFGENMSG = new Uint8Array(4);

export class RulesetGeneration implements Disposable {
  readonly #socket = NetlinkSocket.open(NETLINK_NETFILTER);

  /** The generation now: 32 bits that wrap, so compare for equality. Throws NETLINK_FAILED (EINVAL: no nf_tables). */
  read(): number {
    const { body } = this.#socket.get(NFT_MSG_GETGEN, NFGENMSG);
    return attribute(body, NFTA_GEN_ID, NFGENMSG.length)?.readUInt32BE(0) ?? 0;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
