/**
 * What the kernel tells of the elements that come into Berth's table, transaction by transaction. Not by `nft monitor`: that of
 * 1.0.6 prints intervals with random digits and now and then dies of them.
 */
import { elementsIn } from '../../../daemon/datapath/dump.ts';
import { attribute, attributeText } from '../../../daemon/native/attributes.ts';
import { NETLINK_NETFILTER, type NetlinkMessage, NetlinkSocket } from '../../../daemon/native/netlink.ts';
import { type Element, SETS } from '../../../rules/element.ts';
import { TABLE } from '../../../rules/skeleton.ts';
import type { Namespace } from '../namespace.ts';
import { answered } from './waiting.ts';

const NFNLGRP_NFTABLES = 7;
const NFT_MSG_NEWSETELEM = (10 << 8) | 12;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
/** Bytes of struct nfgenmsg. */
const HEADER = 4;
/** The last message of a transaction. */
const NFT_MSG_NEWGEN = (10 << 8) | 15;

export class RulesetMonitor implements Disposable {
  readonly #socket: NetlinkSocket;
  readonly #transactions: Element[][] = [];
  #current: Element[] = [];
  #lost = false;

  /** Hears everything from here on. */
  constructor(namespace: Namespace) {
    this.#socket = namespace.enter(() => NetlinkSocket.open(NETLINK_NETFILTER));
    this.#socket.subscribe(NFNLGRP_NFTABLES);
    this.#listen();
  }

  /** The elements that the first transaction with one of this set and key has added, once it has happened. */
  transactionWith(set: string, key: string): Promise<readonly Element[]> {
    const find = () => {
      if (this.#lost) throw new Error('the kernel could not keep the messages: nothing is known of the transactions');
      return this.#transactions.find((elements) => elements.some((one) => one.set === set && one.key === key));
    };
    return answered(find, `a transaction with ${key} in ${set}`, { why: () => JSON.stringify(this.#transactions) });
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  #listen(): void {
    this.#socket.whenReadable(() => {
      this.#lost ||= this.#socket.drain((message) => this.#hear(message));
      this.#listen();
    });
  }

  #hear({ type, body }: NetlinkMessage): void {
    if (type === NFT_MSG_NEWSETELEM) this.#current.push(...added(body));
    if (type !== NFT_MSG_NEWGEN) return;
    this.#transactions.push(this.#current);
    this.#current = [];
  }
}

function added(body: Buffer): readonly Element[] {
  const text = (type: number) => attributeText(attribute(body, type, HEADER) ?? Buffer.alloc(0));
  const set = SETS.find((name) => name === text(NFTA_SET_ELEM_LIST_SET));
  return set === undefined || text(NFTA_SET_ELEM_LIST_TABLE) !== TABLE ? [] : [...elementsIn(set, body)];
}
