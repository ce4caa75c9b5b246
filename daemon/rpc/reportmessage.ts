/**
 * Messages of ReportService as they come off the wire, checked and turned into the terms of the cluster's registry. What breaks
 * the contract is refused with INVALID_ARGUMENT and the place where it stands; nothing of a message is trusted before.
 */
import { status } from '@grpc/grpc-js';
import { berth } from '../../proto/service.ts';
import { parseAddress, parseCidr } from '../core/address.ts';
import { Interned } from '../core/interned.ts';
import type {
  NodeAddressType,
  ReportedAddress,
  ReportedAgent,
  ReportedPool,
  ReportedStatus,
} from '../core/noderecord.ts';
import type { PortRange } from '../core/pool.ts';
import type { ReportedChange, ReportedDelta, ReportedMapping, SnapshotPart } from '../core/reportsession.ts';
import type { Cidr, PodRef, Protocol } from '../core/vocabulary.ts';
import { fromTimestamp, protocolOf } from './convert.ts';
import { Refusal } from './refusal.ts';

export type ReportMessage =
  | { readonly kind: 'hello'; readonly agent: ReportedAgent; readonly status: ReportedStatus }
  | { readonly kind: 'snapshot'; readonly part: SnapshotPart }
  | { readonly kind: 'delta'; readonly delta: ReportedDelta }
  | { readonly kind: 'status'; readonly status: ReportedStatus }
  /** Of a kind that was added to the contract later. */
  | { readonly kind: 'unknown' };

const MAX_PORT = 65_535;
const MAX_BLOCK = 256;
const MAX_POD_IPS = 2;
const MAX_CIDRS = 64;
const MAX_ADDRESSES = 32;
const MAX_POOLS = 256;
const MAX_RANGES = 256;
/** 9999-12-31, in ms. */
const MAX_TIME = 253_402_300_799_999;

// As Kubernetes has them; the state file demands the same.
const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const POD = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const POOL = /^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;
const UID = /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;
const DNS_NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$/;
const VERSION = /^[\x21-\x7e]{0,64}$/;

/** Of namespaces, ports and pools, which many mappings have in common. */
const shared = new Interned(10_000);

type Wire<T> = { readonly [K in keyof T]?: T[K] | null };

/** Throws a Refusal. */
export function readReport(message: berth.v1.ReportRequest.$Properties): ReportMessage {
  try {
    return readMessage(message);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Refusal(status.INVALID_ARGUMENT, `${error.places.reverse().join('.')}: ${error.message}`);
  }
}

function readMessage({ hello, snapshot, delta, status }: berth.v1.ReportRequest.$Properties): ReportMessage {
  if (hello) return at('hello', () => readHello(hello));
  if (snapshot) return at('snapshot', () => ({ kind: 'snapshot', part: readSnapshot(snapshot) }));
  if (delta) return at('delta', () => ({ kind: 'delta', delta: readDelta(delta) }));
  if (status) return at('status', () => ({ kind: 'status', status: readStatus(status) }));
  return { kind: 'unknown' };
}

function readHello(hello: berth.v1.Hello.$Properties): ReportMessage {
  const agent = {
    node: text('node', hello.node, POD, 'the name of a Node'),
    bootID: text('boot_id', hello.bootId, UID, 'a boot id'),
    epoch: number('epoch', hello.epoch, 1, Number.MAX_SAFE_INTEGER),
    version: text('version', hello.version, VERSION, 'at most 64 printable characters'),
  };
  return { kind: 'hello', agent, status: at('status', () => readStatus(hello.status ?? {})) };
}

function readSnapshot({ mappings, last, sequence }: berth.v1.Snapshot.$Properties): SnapshotPart {
  return {
    mappings: each('mappings', mappings, readMapping),
    sequence: last ? number('sequence', sequence, 0, Number.MAX_SAFE_INTEGER) : undefined,
  };
}

function readDelta({ previous, sequence, changes }: berth.v1.Delta.$Properties): ReportedDelta {
  return {
    previous: number('previous', previous, 0, Number.MAX_SAFE_INTEGER),
    sequence: number('sequence', sequence, 0, Number.MAX_SAFE_INTEGER),
    changes: each('changes', changes, readChange),
  };
}

/** Undefined for a kind of change, or a protocol, that was added later. */
function readChange({ set, deleted }: berth.v1.Change.$Properties): ReportedChange | undefined {
  if (set) {
    const reported = at('set', () => readMapping(set));
    return reported && { kind: 'set', ...reported };
  }
  if (!deleted) return undefined;
  return at('deleted', () => {
    const protocol = readProtocol(deleted.protocol);
    return protocol && { kind: 'deleted', pod: readPod(deleted), name: readName(deleted), protocol };
  });
}

/** Undefined for a protocol that was added later. */
function readMapping(wire: berth.v1.Mapping.$Properties): ReportedMapping | undefined {
  const protocol = readProtocol(wire.protocol);
  if (protocol === undefined) return undefined;
  const hostPort = number('host_port', wire.hostPort, 1, MAX_PORT);
  const endPort = number('end_port', wire.endPort, hostPort, Math.min(MAX_PORT, hostPort + MAX_BLOCK - 1));
  if (wire.node || wire.nodeAddresses?.length) throw new Fault('node', 'must be empty: Hello names the node');
  return {
    mapping: {
      pod: readPod(wire),
      name: readName(wire),
      protocol,
      pool: shared.of(text('pool', wire.pool, POOL, 'the name of a pool')),
      hostPort,
      size: endPort - hostPort + 1,
      ...(wire.hostIp ? { hostIP: address('host_ip', wire.hostIp) } : {}),
      containerPort: number('container_port', wire.containerPort, 1, MAX_PORT),
      podIPs: readPodIPs(wire.podIps),
      ...(wire.allowFrom ? { allowFrom: readAllowFrom(wire.allowFrom) } : {}),
    },
    since: number('since', wire.since ? fromTimestamp(wire.since) : 0, 0, MAX_TIME),
  };
}

function readPod(wire: Wire<Pick<berth.v1.Mapping, 'namespace' | 'pod' | 'podUid'>>): PodRef {
  return {
    namespace: shared.of(text('namespace', wire.namespace, NAMESPACE, 'the name of a namespace')),
    name: text('pod', wire.pod, POD, 'the name of a pod'),
    uid: text('pod_uid', wire.podUid, UID, 'the uid of a pod'),
  };
}

function readName({ name }: { readonly name?: string | null }): string {
  return shared.of(text('name', name, NAME, 'the name of a port'));
}

function readProtocol(value: number | null | undefined): Protocol | undefined {
  if (!value) throw new Fault('protocol', 'required');
  return protocolOf(value);
}

function readPodIPs(texts: readonly string[] | null | undefined): readonly string[] {
  const addresses = each('pod_ips', texts, (one) => address('', one), MAX_POD_IPS);
  const [first, second] = addresses;
  if (first !== undefined && second !== undefined && first.includes(':') === second.includes(':')) {
    throw new Fault('pod_ips', 'two of one family');
  }
  return addresses;
}

function readAllowFrom({ cidrs }: berth.v1.AllowFrom.$Properties): readonly Cidr[] {
  const read = (one: string) => {
    const parsed = parseCidr(one);
    if (parsed.kind === 'ok' && parsed.cidr.text === one) return parsed.cidr;
    throw new Fault('', 'not a range such as 203.0.113.0/24');
  };
  return at('allow_from', () => each('cidrs', cidrs, read, MAX_CIDRS));
}

function readStatus({ addresses, pools, sequence }: berth.v1.NodeStatus.$Properties): ReportedStatus {
  return {
    addresses: each('addresses', addresses, readNodeAddress, MAX_ADDRESSES),
    pools: each('pools', pools, readPool, MAX_POOLS),
    ...(sequence ? { sequence: number('sequence', sequence, 0, Number.MAX_SAFE_INTEGER) } : {}),
  };
}

const { Type } = berth.v1.NodeAddress;
const ADDRESS_TYPES: ReadonlyMap<number, NodeAddressType> = new Map([
  [Type.TYPE_DEVICE, 'device'],
  [Type.TYPE_INTERNAL_IP, 'internal-ip'],
  [Type.TYPE_EXTERNAL_IP, 'external-ip'],
  [Type.TYPE_INTERNAL_DNS, 'internal-dns'],
  [Type.TYPE_EXTERNAL_DNS, 'external-dns'],
  [Type.TYPE_HOSTNAME, 'hostname'],
]);
const ADDRESS_NUMBERS = new Map([...ADDRESS_TYPES].map(([wire, type]) => [type, wire]));

/** The number on the wire; 0 for an unknown type. */
export function addressTypeNumber(type: NodeAddressType): berth.v1.NodeAddress.Type {
  return ADDRESS_NUMBERS.get(type) ?? Type.TYPE_UNSPECIFIED;
}

function readNodeAddress(wire: berth.v1.NodeAddress.$Properties): ReportedAddress {
  const type = ADDRESS_TYPES.get(wire.type ?? 0) ?? 'unknown';
  if (isIPType(type)) return { type, address: address('address', wire.address) };
  const parsed = parseAddress(wire.address ?? '');
  return { type, address: parsed?.text ?? text('address', wire.address, DNS_NAME, 'an address or a name') };
}

export function isIPType(type: NodeAddressType): boolean {
  return type === 'device' || type === 'internal-ip' || type === 'external-ip';
}

function readPool(wire: berth.v1.PoolStatus.$Properties): ReportedPool {
  const ranges = each('ranges', wire.ranges, readRange, MAX_RANGES);
  return {
    name: shared.of(text('name', wire.name, POOL, 'the name of a pool')),
    ports: number('ports', wire.ports, 0, MAX_PORT),
    freeTCP: number('free_tcp', wire.freeTcp, 0, MAX_PORT),
    freeUDP: number('free_udp', wire.freeUdp, 0, MAX_PORT),
    freeSCTP: number('free_sctp', wire.freeSctp, 0, MAX_PORT),
    ...(ranges.length === 0 ? {} : { ranges }),
  };
}

function readRange(wire: berth.v1.PortRange.$Properties): PortRange {
  const first = number('first', wire.first, 1, MAX_PORT);
  return { first, last: number('last', wire.last, first, MAX_PORT) };
}

function text(field: string, value: string | null | undefined, pattern: RegExp, what: string): string {
  const given = value ?? '';
  if (!pattern.test(given)) throw new Fault(field, given === '' ? 'required' : `not ${what}`);
  return given;
}

function number(field: string, value: number | null | undefined, min: number, max: number): number {
  const given = value ?? 0;
  if (Number.isSafeInteger(given) && given >= min && given <= max) return given;
  throw new Fault(field, `not a whole number from ${min} to ${max}`);
}

/** Canonical, so that two texts of one address are one. */
function address(field: string, value: string | null | undefined): string {
  const parsed = parseAddress(value ?? '');
  if (parsed !== undefined && parsed.text === value) return parsed.text;
  throw new Fault(field, 'not an IP address in its canonical form');
}

/** What is wrong and where, the innermost place first; turned into a refusal once the whole place is known. */
class Fault extends Error {
  readonly places: string[];
  constructor(place: string, what: string) {
    super(what);
    this.places = place === '' ? [] : [place];
  }
}

function at<T>(place: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Fault) error.places.push(place);
    throw error;
  }
}

/** Without what `read` does not know. */
function each<T, R>(
  field: string,
  items: readonly T[] | null | undefined,
  read: (item: T) => R | undefined,
  max = Number.POSITIVE_INFINITY,
): R[] {
  const all = items ?? [];
  if (all.length > max) throw new Fault(field, `more than ${max}`);
  const results: R[] = [];
  for (const [index, item] of all.entries()) {
    try {
      const result = read(item);
      if (result !== undefined) results.push(result);
    } catch (error) {
      if (error instanceof Fault) error.places.push(`${field}[${index}]`);
      throw error;
    }
  }
  // An array that has grown has room for 17 at least; these are kept for as long as the mapping.
  return results.slice();
}
