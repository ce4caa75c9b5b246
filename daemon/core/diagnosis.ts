/**
 * What `berth doctor` finds and what it goes by: findings with stable codes, and facts that somebody else has looked up.
 * Pure data; it must never look at anything itself.
 */
import { printable } from './text.ts';
import type { Family, Protocol } from './vocabulary.ts';

/**
 * Every hop of the way from a client to a pod, in the order in which it is walked. Codes never change their meaning; each
 * has its section in docs/doctor.md.
 */
export const HOPS = {
  BD101: 'annotation',
  BD102: 'request',
  BD103: 'pool',
  BD104: 'host address',
  BD105: 'pod',
  BD106: 'pod address',
  BD201: 'number',
  BD202: 'reservation',
  BD301: 'rule',
  BD302: 'node addresses',
  BD303: 'table',
  BD401: 'agent',
  BD402: 'lock',
  BD403: 'state file',
  BD404: 'sockets',
  BD405: 'announcement',
  BD501: 'tracked flows',
  BD502: 'route',
  BD503: 'loopback',
  BD601: 'forwarding',
  BD602: 'forward policy',
  BD603: 'earlier NAT',
  BD604: 'reverse path',
  BD605: 'eBPF',
  BD606: 'IPVS',
  BD607: 'bridge filter',
  BD608: 'ephemeral ports',
  BD701: 'listener',
} as const;

export type HopCode = keyof typeof HOPS;

/**
 * `fail`: the way breaks here, or will. `warn`: it breaks for some clients, or is about to. `unknown`: it could not be seen
 * or decided. `skipped`: there is nothing to look at, as an earlier hop says.
 */
export type FindingStatus = 'ok' | 'warn' | 'fail' | 'unknown' | 'skipped';

export interface Finding {
  readonly code: HopCode;
  readonly hop: string;
  /** The port of the pod, by name; absent when the hop is the same for all. */
  readonly port?: string;
  readonly status: FindingStatus;
  /** One sentence; printable. */
  readonly says: string;
  /** A command that shows it or mends it; printable. */
  readonly command: string;
}

const MAX_SENTENCE = 1_024;

/** The one way in which findings are made: whatever a name holds, it cannot obey or mislead a terminal. */
export function finding(code: HopCode, status: FindingStatus, says: string, command: string, port?: string): Finding {
  const shown = { says: printable(says, MAX_SENTENCE), command: printable(command, MAX_SENTENCE) };
  return { code, hop: HOPS[code], ...(port === undefined ? {} : { port: printable(port, 64) }), status, ...shown };
}

/** Where the way breaks: the first hop that fails, in the order of the codes. */
export function firstBreak(findings: readonly Finding[]): Finding | undefined {
  return inOrder(findings).find(({ status }) => status === 'fail');
}

/** In the order of the codes; findings of one code stay in theirs. */
export function inOrder(findings: readonly Finding[]): readonly Finding[] {
  return findings.toSorted((one, other) => (one.code < other.code ? -1 : Number(one.code > other.code)));
}

/** What was looked up, or why it could not be seen. */
export type Seen<T> = { readonly kind: 'seen'; readonly value: T } | { readonly kind: 'unseen'; readonly why: string };

export function seen<T>(value: T): Seen<T> {
  return { kind: 'seen', value };
}

export function unseen(why: string): { readonly kind: 'unseen'; readonly why: string } {
  return { kind: 'unseen', why };
}

/** A new connection from outside to a pod, behind the translation; what is absent may be anything. */
export interface Passage {
  readonly family: Family;
  /** The devices through which it comes in and leaves for the pod. */
  readonly input?: string;
  readonly output?: string;
  /** The pod's address. */
  readonly destination?: string;
  readonly protocol?: Protocol;
  /** The port in the pod. */
  readonly port?: number;
}

/** A chain of another program that hangs in a hook of the kernel. */
export interface HookedChain {
  /** `ip`, `ip6` or `inet`; `legacy` for iptables without nf_tables. */
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly hook: string;
  readonly priority: number;
}

/** What a chain of the forward hook does with a passage; `undecided`: a rule may accept it, which cannot be told from here. */
export type ForwardVerdict = 'accepts' | 'drops' | 'undecided';

export interface ForwardFinding {
  readonly chain: HookedChain;
  readonly passage: Passage;
  readonly verdict: ForwardVerdict;
}

/** A device with an address at which clients outside reach the node. IPv4, as IPv6 has no reverse path filter. */
export interface Uplink {
  readonly device: string;
  readonly address: string;
  /** The effective `rp_filter` is 1. */
  readonly strict: boolean;
  readonly forwards: boolean;
  /** Where answers from this address to a client beyond the routers leave; absent: nowhere. */
  readonly replyDevice?: string;
}

/** A host as far as it decides whether mappings can work. */
export interface HostFacts {
  readonly forwarding: Readonly<Record<Family, Seen<boolean>>>;
  readonly uplinks: Seen<readonly Uplink[]>;
  /** Packets that the reverse path filter has dropped since boot. */
  readonly reversePathDrops: Seen<number>;
  /** NAT chains of other programs that see a packet from outside before Berth's do. */
  readonly earlierNat: Seen<readonly HookedChain[]>;
  readonly forward: Seen<readonly ForwardFinding[]>;
  /** Devices that only a CNI with eBPF host routing makes. */
  readonly ebpfDevices: Seen<readonly string[]>;
  /** Undefined: no IPVS. Otherwise addresses of Services at which the node serves host ports. */
  readonly serviceAddresses: Seen<readonly string[] | undefined>;
  /** Undefined: no bridge. Otherwise whether bridged packets pass iptables. */
  readonly bridgeFilter: Seen<boolean | undefined>;
}
