/**
 * Entries of the kernel's connection table as netlink carries them (nfnetlink_conntrack): the requests for them and what is
 * read from the answers. Makes no system call and decides nothing.
 */

import type { Flow } from '../core/flow.ts';
import { addressText } from '../core/iptext.ts';
import type { Protocol } from '../core/vocabulary.ts';
import { AttributeWriter, attribute, attributeLength, findAttribute } from '../native/attributes.ts';
import type { FlowPorts } from '../reconcile/ports.ts';

/** NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET */
export const CT_GET = (1 << 8) | 1;
/** NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE */
export const CT_DELETE = (1 << 8) | 2;

// enum ctattr_type
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_ZONE = 18;
// enum ctattr_tuple, ctattr_ip, ctattr_l4proto
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_TUPLE_ZONE = 3;
const CTA_IP_SRC = { 4: 1, 6: 3 } as const;
const CTA_IP_DST = { 4: 2, 6: 4 } as const;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;

const AF_INET = 2;
const AF_INET6 = 10;
/** sizeof(struct nfgenmsg) */
const HEADER = 4;

/** IPPROTO_TCP, … */
export const IPPROTO: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };
const PROTOCOLS = new Map(Object.entries(IPPROTO).map(([name, number]) => [number, name as Protocol]));

/** One number per protocol and port, for sets that are asked 100,000 times. */
export function portKey(protocol: Protocol, port: number): number {
  return (IPPROTO[protocol] << 16) | port;
}

/** The keys of every port of these, blocks number by number. */
export function portKeys(ports: readonly FlowPorts[]): ReadonlySet<number> {
  const keys = new Set<number>();
  for (const { protocol, port, size } of ports) {
    for (let offset = 0; offset < size; offset++) keys.add(portKey(protocol, port + offset));
  }
  return keys;
}

/** The body of a dump of every entry, both families. */
export function everyEntry(): Uint8Array {
  return nfgenmsg(0);
}

/**
 * The flow of an entry; undefined for one of another family or protocol, or whose original destination is none of `ports`.
 * Undefined too for an entry that is not translated and lies in a zone: a program such as Open vSwitch tracks the
 * same packet once more there, and that it does not translate it says nothing about the mappings.
 */
export function readFlow(body: Buffer, ports: ReadonlySet<number> | 'all'): Flow | undefined {
  const family = body[0] === AF_INET ? 4 : body[0] === AF_INET6 ? 6 : undefined;
  if (family === undefined) return undefined;
  const original = findAttribute(body, CTA_TUPLE_ORIG, HEADER);
  const proto = findInside(body, original, CTA_TUPLE_PROTO);
  const protocol = PROTOCOLS.get(body[findInside(body, proto, CTA_PROTO_NUM)] ?? -1);
  const port = portAt(body, proto, CTA_PROTO_DST_PORT);
  if (protocol === undefined || port === undefined) return undefined;
  if (ports !== 'all' && !ports.has(portKey(protocol, port))) return undefined;
  const ip = findInside(body, original, CTA_TUPLE_IP);
  const reply = findAttribute(body, CTA_TUPLE_REPLY, HEADER);
  const source = addressAt(body, ip, CTA_IP_SRC[family]);
  const destination = addressAt(body, ip, CTA_IP_DST[family]);
  const replySource = addressAt(body, findInside(body, reply, CTA_TUPLE_IP), CTA_IP_SRC[family]);
  const sourcePort = portAt(body, proto, CTA_PROTO_SRC_PORT);
  const replyPort = portAt(body, findInside(body, reply, CTA_TUPLE_PROTO), CTA_PROTO_SRC_PORT);
  if (source === undefined || destination === undefined || replySource === undefined) return undefined;
  if (sourcePort === undefined || replyPort === undefined) return undefined;
  const translated = replySource !== destination || replyPort !== port;
  if (!translated && isInZone(body, original)) return undefined;
  return { protocol, source, sourcePort, destination, port, replySource, replyPort };
}

/**
 * The body of a deletion of this very entry: its original tuple (with its zone) finds it, and the kernel compares the
 * id, so that a newer entry with the same tuple stays (ENOENT).
 */
export function deletionOf(body: Buffer): Buffer {
  const writer = new AttributeWriter(nfgenmsg(body[0] ?? 0));
  for (const type of [CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID]) {
    const payload = attribute(body, type, HEADER);
    if (payload !== undefined) writer.bytes(type, payload);
  }
  return writer.body();
}

function nfgenmsg(family: number): Uint8Array {
  return Uint8Array.of(family, 0, 0, 0);
}

/** Zones are left out of a message when they are the default, 0; one zone a direction stands in the tuple. */
function isInZone(body: Buffer, original: number): boolean {
  return findAttribute(body, CTA_ZONE, HEADER) >= 0 || findInside(body, original, CTA_TUPLE_ZONE) >= 0;
}

/** `findAttribute` inside the nest whose payload is at `outer`; -1 when there is no such nest. */
function findInside(body: Buffer, outer: number, type: number): number {
  return outer < 0 ? -1 : findAttribute(body, type, outer, outer + attributeLength(body, outer));
}

function portAt(body: Buffer, proto: number, type: number): number | undefined {
  const offset = findInside(body, proto, type);
  return offset < 0 ? undefined : body.readUInt16BE(offset);
}

function addressAt(body: Buffer, ip: number, type: number): string | undefined {
  const offset = findInside(body, ip, type);
  return offset < 0 ? undefined : addressText(body.subarray(offset, offset + attributeLength(body, offset)));
}
