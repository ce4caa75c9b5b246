/** Reads the elements of the table's sets back from the kernel, in the canonical form of `rules/element.ts`. Reads only. */
import { type Element, SETS, type SetName } from '../../rules/element.ts';
import { TABLE } from '../../rules/skeleton.ts';
import { AttributeWriter, attributeLength, findAttribute } from '../native/attributes.ts';
import type { NetlinkSocket } from '../native/netlink.ts';
import { readElement } from './elementcodec.ts';

const NFT_MSG_GETSETELEM = (10 << 8) | 13;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
/** struct nfgenmsg of NFPROTO_INET. */
const INET = Uint8Array.of(1, 0, 0, 0);
const ATTRIBUTE_HEADER = 4;

/**
 * Every element of every set. Undefined when the ruleset changed meanwhile, so that the sets may not fit together. The loop
 * runs between datagrams. Rejects with NETLINK_FAILED (ENOENT: a set is missing); the socket must then be closed.
 */
export async function readElements(socket: NetlinkSocket): Promise<Element[] | undefined> {
  const elements: Element[] = [];
  for (const set of SETS) {
    const request = new AttributeWriter(INET)
      .text(NFTA_SET_ELEM_LIST_TABLE, TABLE)
      .text(NFTA_SET_ELEM_LIST_SET, set)
      .body();
    const interrupted = await socket.scan(NFT_MSG_GETSETELEM, request, ({ body }) => {
      elements.push(...elementsIn(set, body));
    });
    if (interrupted) return undefined;
  }
  return elements;
}

/** The elements in a message of the kernel about this set. */
export function* elementsIn(set: SetName, body: Buffer): Generator<Element> {
  const list = findAttribute(body, NFTA_SET_ELEM_LIST_ELEMENTS, INET.length);
  if (list < 0) return;
  const end = list + attributeLength(body, list);
  for (let at = list; at + ATTRIBUTE_HEADER < end; ) {
    const length = body.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER || at + length > end) return;
    yield readElement(set, body, at + ATTRIBUTE_HEADER, at + length);
    at += (length + 3) & ~3;
  }
}
