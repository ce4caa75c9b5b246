/** What the kernel tells of new mappings, as it tells every listener after a commit (NFNLGRP_NFTABLES): when each came live. */

import { readElement } from '../../daemon/datapath/elementcodec.ts';
import { attribute, attributes, attributeText } from '../../daemon/native/attributes.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../daemon/native/netlink.ts';
import { now } from './observation.ts';

const NFNLGRP_NFTABLES = 7;
const NFT_MSG_NEWSETELEM = (10 << 8) | 12;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
/** struct nfgenmsg */
const HEADER = 4;

export class KernelNews implements Disposable {
  readonly #socket = NetlinkSocket.open(NETLINK_NETFILTER);
  readonly #onNews: () => void;
  /** By the pod's address: the moments at which its ports came live. */
  readonly live = new Map<string, number[]>();
  #lost = false;

  /** Of the network namespace that the thread is in. */
  constructor(onNews: () => void) {
    this.#onNews = onNews;
    // What the API server tells of hundreds of pods may keep this process busy for a while.
    this.#socket.setReceiveBuffer(16 * 1024 * 1024);
    this.#socket.subscribe(NFNLGRP_NFTABLES);
    this.#wait();
  }

  /** When the last of so many ports of a pod came live; undefined: not all have. Throws when the kernel could not tell all. */
  since(podIP: string, ports: number): number | undefined {
    if (this.#lost) throw new Error('messages of the kernel were lost');
    return this.live.get(podIP)?.[ports - 1];
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  #wait(): void {
    this.#socket.whenReadable(() => {
      const at = now();
      const lost = this.#socket.drain(({ type, body }) => {
        if (type === NFT_MSG_NEWSETELEM) this.#note(body, at);
      });
      this.#lost ||= lost;
      this.#onNews();
      this.#wait();
    });
  }

  #note(body: Buffer, at: number): void {
    const set = attribute(body, NFTA_SET_ELEM_LIST_SET, HEADER);
    if (set === undefined || attributeText(set) !== 'any4') return;
    const list = attribute(body, NFTA_SET_ELEM_LIST_ELEMENTS, HEADER);
    for (const [, element] of attributes(list ?? Buffer.alloc(0))) {
      const [podIP = ''] = readElement('any4', element, 0, element.length).value.split(' . ');
      this.live.set(podIP, [...(this.live.get(podIP) ?? []), at]);
    }
  }
}
