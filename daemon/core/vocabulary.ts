/**
 * The words of Berth as types: what a pod asks for, what it was given, what the node is.
 * Data only; it must never import anything that runs.
 */

export type Protocol = 'TCP' | 'UDP' | 'SCTP';
export type Family = 4 | 6;

/** Names one life of one pod: a pod re-created under the same name has another uid. */
export interface PodRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A port as declared in a pod's spec (containers and native sidecars, in the order of the spec). */
export interface ContainerPort {
  readonly container: string;
  /** True for a port of a native sidecar (an init container with `restartPolicy: Always`). */
  readonly sidecar: boolean;
  /** Absent when the port has no name. */
  readonly name?: string;
  readonly containerPort: number;
  readonly protocol: Protocol;
  /** The static `hostPort` of the spec, absent when there is none. */
  readonly hostPort?: number;
  /** The static `hostIP` of the spec; absent, `0.0.0.0` and `::` all mean any address. */
  readonly hostIP?: string;
}

export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';

/** What Berth keeps of a Pod object. */
export interface Pod extends PodRef {
  /** Only the annotations that Berth reads or writes. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly hostNetwork: boolean;
  readonly phase: PodPhase;
  /** `metadata.deletionTimestamp` is set. */
  readonly terminating: boolean;
  /** Every container has terminated (only then does a terminating pod lose its mappings). */
  readonly ended: boolean;
  /** `status.podIPs` as they stand there: nothing has been checked. */
  readonly podIPs: readonly string[];
  readonly ports: readonly ContainerPort[];
  /** The condition `ContainersReady` is True; absent: it is not, or that is not known. Readiness gates do not count. */
  readonly ready?: boolean;
  /** A StatefulSet controls the pod, whose name is then the StatefulSet's with the pod's ordinal. */
  readonly stateful?: boolean;
  /** The condition `berth.dev/PortsMapped` stands on the pod, whatever it says; absent: it does not, or that is not known. */
  readonly conditioned?: boolean;
  /** `metadata.creationTimestamp` in ms since the epoch, 0 when unknown: tells which of two pods is the newer. */
  readonly createdAt: number;
}

/** An address range in canonical form: no host bits, IPv6 compressed as in RFC 5952. */
export interface Cidr {
  readonly family: Family;
  /** The canonical text, always with its prefix length: `203.0.113.0/24`, `2001:db8::/32`, `192.0.2.7/32`. */
  readonly text: string;
}

/** What stands behind one port request. */
export type Target =
  /** One number from the pool, sent to this port of the pod. */
  | { readonly kind: 'port'; readonly port: number }
  /** One number from the pool; the pod listens on that very number. */
  | { readonly kind: 'same' }
  /** So many contiguous numbers from the pool; the pod listens on the same numbers. */
  | { readonly kind: 'block'; readonly size: number }
  /** Exactly these numbers of the pool, `last` included; the pod listens on the same numbers. */
  | { readonly kind: 'numbers'; readonly first: number; readonly last: number };

/** One port, for one protocol, that a pod asks for. */
export interface PortRequest {
  /** The port name; `<number>-<proto>` for an unnamed port. It is the key under `port.berth.dev/`. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly target: Target;
  /** Requests of one pod with the same group get the same number (TCP and UDP of one container port). */
  readonly group: string;
  /** The claim, in the pod's namespace, whose number it is; absent: a number from the pool. */
  readonly claim?: string;
}

/** Which address of the node is meant: one address, or the node's address in a range. */
export type HostIPSelector =
  | { readonly kind: 'address'; readonly family: Family; readonly address: string }
  | { readonly kind: 'cidr'; readonly cidr: Cidr };

/** Everything that a pod asks for, parsed from its annotations and its container ports. */
export interface PodRequest {
  readonly pool: string;
  readonly requests: readonly PortRequest[];
  readonly hostIP?: HostIPSelector;
  /** Absent: every source. Present, even when empty for a family: only these sources. Merged and sorted. */
  readonly allowFrom?: readonly Cidr[];
  /** `berth.dev/ports` is present, or a port is claimed: results go to the Berth annotations. */
  readonly berth: boolean;
  /** `tkestack.io/portmapping` is present: results go there in Galaxy's format too. */
  readonly galaxy: boolean;
}

/** A host port, or a block of them, on the node and the place in a pod that it leads to. */
export interface Mapping {
  readonly pod: PodRef;
  readonly name: string;
  readonly protocol: Protocol;
  readonly pool: string;
  /** The (first) host port. */
  readonly hostPort: number;
  /** How many contiguous numbers, 1 … 256. */
  readonly size: number;
  /** The node's address that alone is meant; absent: any address. */
  readonly hostIP?: string;
  /** The (first) port in the pod. */
  readonly containerPort: number;
  /** Sane, canonical, at most one a family; empty while the pod has no address. */
  readonly podIPs: readonly string[];
  readonly allowFrom?: readonly Cidr[];
}

/** The bound socket that keeps one host port from every other process. */
export interface Reservation {
  readonly protocol: Protocol;
  readonly port: number;
  /** Absent: any address, IPv4 and IPv6. */
  readonly hostIP?: string;
}

/** An address of the node, canonical text. */
export interface NodeAddress {
  readonly family: Family;
  readonly address: string;
  readonly device: string;
}

/** Why a pod is not mapped, as its condition and its Event say it. */
export type ProblemReason =
  | 'InvalidPortRequest'
  | 'PoolExhausted'
  | 'PortConflict'
  /** A claim that the pod names has no number yet, or cannot be read. */
  | 'ClaimPending'
  | 'HostNetwork'
  | 'HostIPNotFound'
  | 'InvalidPodIP'
  | 'DatapathFailed';

export interface Problem {
  readonly reason: ProblemReason;
  /** What is wrong, where, and what would be right; printable, at most 1,024 characters. */
  readonly message: string;
}

/** What the pod is told: its annotations and its condition. */
export interface PodResult {
  /** The keys Berth owns and their values; a key that is absent here must be absent on the pod. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Absent when the pod does not opt in: the condition is removed. */
  readonly condition?: { readonly status: 'True' | 'False'; readonly reason: string; readonly message: string };
  /** Another result follows within milliseconds, unless something is slow. */
  readonly passing?: true;
}

export type EventReason =
  | 'PortsMapped'
  | 'PortsReleased'
  | 'InvalidPortRequest'
  | 'PoolExhausted'
  | 'PortConflict'
  | 'ClaimPending'
  /** A claim's number leads to a newer pod of the claim now. */
  | 'HandedOver'
  /** The kernel refused a rule: no fault of the request. */
  | 'DatapathFailed'
  /** On the pod of an agent: it tried to report for another node. */
  | 'ForeignNodeReport';

/** An Event on a pod. */
export interface PodEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: EventReason;
  readonly message: string;
}

/** `uid` is unique; the name is only for people. */
export function podLabel(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}/${pod.name}`;
}
