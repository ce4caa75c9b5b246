/**
 * What the reconcile loop needs of the world, as interfaces. Each has an adapter (one outside world each) and, in the
 * same folder as the adapter, an in-memory double. The loop never knows which one it has.
 */
import type { Element, ElementChange } from '../../rules/element.ts';
import type { ClaimStatus } from '../core/claim.ts';
import type { Flow } from '../core/flow.ts';
import type { AgentState } from '../core/state.ts';
import type {
  Mapping,
  NodeAddress,
  Pod,
  PodEvent,
  PodRef,
  PodResult,
  Problem,
  Protocol,
  Reservation,
} from '../core/vocabulary.ts';

/** Time. `now` may jump; `monotonic` never goes back. Both in ms. */
export interface Clock {
  now(): number;
  monotonic(): number;
  /** Calls `callback` once after `ms`, unless the returned function was called before. */
  after(ms: number, callback: () => void): () => void;
}

/** A number in [0, 1). */
export type Random = () => number;

/** What a source of pods tells. Events may be repeated, reordered or lost; the next list puts everything right. */
export interface PodObserver {
  /** The full list. A known pod that is missing here is only suspected gone: lists can be old. */
  listed(pods: readonly Pod[]): void;
  changed(pod: Pod): void;
  /** This pod (this uid) is gone for certain. */
  deleted(pod: PodRef): void;
  /** The source cannot be read at the moment; it goes on trying. */
  failed(error: Error): void;
}

export interface PodSource {
  /** Watches until the signal aborts; resolves then, and never rejects for a source that may come back. */
  watch(observer: PodObserver, signal: AbortSignal): Promise<void>;
  /** The pod of this name as it is now, undefined when there is none. Rejects when that cannot be known. */
  get(namespace: string, name: string): Promise<Pod | undefined>;
  /**
   * Every pod of the node as it is now, not from a cache. Rejects when that cannot be known. Absent: what `watch` lists is never
   * old. Asked for when a rule stands whose pod is not known by name (no state file), so that no GET can ask for it.
   */
  list?(): Promise<readonly Pod[]>;
}

/** The claims of the cluster. Only those that pods of the node name are asked for. */
export interface ClaimSource {
  /** The claim as it is now; that there is none, or that it may not be read, is an answer. Rejects when that cannot be known. */
  get(namespace: string, claim: string): Promise<ClaimStatus>;
}

/** What stands in the table `inet berth`. */
export interface Installed {
  readonly elements: readonly Element[];
  /** What had to be put right in the table's skeleton by this read: empty when nothing. */
  readonly repaired: string;
}

/** The nftables table of Berth's own. */
export interface Datapath {
  /**
   * Reads the table back, first making sure that its skeleton stands (created, or redeclared with the elements kept).
   * Rejects with NFT_REFUSED or NFT_UNAVAILABLE.
   */
  read(): Promise<Installed>;
  /** One atomic transaction: all of it or nothing. Rejects with NFT_REFUSED when the kernel refused it. */
  apply(change: ElementChange): Promise<void>;
  /** Calls back whenever somebody else changed the ruleset, until the signal aborts. */
  watch(onForeignChange: () => void, signal: AbortSignal): void;
}

/** The connections that the kernel tracks. */
export interface Flows {
  /**
   * Deletes every flow for which `disagrees` answers true, looking only at flows whose original destination port is
   * in `ports` (or at all flows, for 'all'). Resolves to how many were deleted. Must not block the loop for long.
   */
  purge(ports: readonly FlowPorts[] | 'all', disagrees: (flow: Flow) => boolean): Promise<number>;
}

/** A host port, or a block, whose flows may disagree. */
export interface FlowPorts {
  readonly protocol: Protocol;
  readonly port: number;
  readonly size: number;
}

/** How the node reaches a pod. */
export interface PodRoute {
  readonly podIP: string;
  readonly device: string;
  /** The device is a bridge: pods behind it are neighbours of each other. */
  readonly bridge: boolean;
}

/** The node's addresses, its routes to pods, and the two switches on their devices. */
export interface Network {
  /** The node's own addresses that `hostports` serves (virtual ones, such as those of kube-ipvs0, left out). */
  addresses(): readonly NodeAddress[];
  /** Undefined when there is no route, or the route leads off the node's pod devices. */
  route(podIP: string): PodRoute | undefined;
  /** Sets `route_localnet` on the device. False when it stood already, true when this call set it. Throws NETLINK_FAILED. */
  openLoopback(device: string): boolean;
  /** Whether `route_localnet` is set; undefined when there is no such device. Throws NETLINK_FAILED. */
  loopbackOpen(device: string): boolean | undefined;
  /** Lets a bridge port send frames back to where they came from. False when the port is not known yet: ask again. */
  openHairpin(podIP: string, device: string): boolean;
  /** Calls back when addresses, links, routes or their settings changed, until the signal aborts. */
  watch(onChange: () => void, signal: AbortSignal): void;
}

/** Keeps host ports by bound sockets. Synchronous: one call is a few microseconds. */
export interface Reserver {
  /** 'held' (also when it was held already); 'taken' by another process; 'unavailable': the address is not on this node, or no descriptor is left. */
  reserve(reservation: Reservation): ReserveOutcome;
  /** Releasing what is not held is no error. */
  release(reservation: Reservation): void;
  held(): readonly Reservation[];
}

export type ReserveOutcome =
  | { readonly kind: 'held' }
  | { readonly kind: 'taken' }
  | { readonly kind: 'unavailable'; readonly why: string };

/** Writes results to pods. Returns at once; retries by itself, a pod at a time, and never blocks another pod. */
export interface Publisher {
  /** The newest result of a pod replaces what was still to be written. Equal to what stands on the pod: nothing is written. */
  publish(pod: Pod, result: PodResult): void;
  event(pod: PodRef, event: PodEvent): void;
  /** The pod is gone: what was still to be written is dropped, and what was written outside the pod is removed. */
  forget(pod: PodRef): void;
}

/** The state file. */
export interface StateStore {
  /** What the last agent knew; `problem` says why nothing, or not all, could be read. Never rejects. */
  load(): Promise<{ readonly state: AgentState | undefined; readonly problem?: string }>;
  /** Atomic and durable when it resolves. Rejects with STATE_UNUSABLE (full disk, read-only). */
  save(state: AgentState): Promise<void>;
}

/** What happened, for logs, metrics and the audit trail. */
export type AgentEvent =
  | {
      readonly kind: 'mapped';
      readonly mapping: Mapping;
      readonly adopted: boolean;
      readonly sinceSeenMs: number | undefined;
    }
  /** So many mappings of an earlier agent were taken over in this pass. */
  | { readonly kind: 'adopted'; readonly mappings: number }
  | {
      readonly kind: 'released';
      readonly mapping: Mapping;
      /** Undefined when it was live before this agent. */
      readonly liveMs: number | undefined;
      /** When the pod was given the number, in ms since the epoch; undefined when that is not known. */
      readonly givenAt: number | undefined;
    }
  | { readonly kind: 'problem'; readonly pod: PodRef; readonly problem: Problem }
  | { readonly kind: 'solved'; readonly pod: PodRef }
  | { readonly kind: 'healed'; readonly what: string; readonly added: number; readonly removed: number }
  | { readonly kind: 'applied'; readonly ms: number; readonly added: number; readonly removed: number }
  | { readonly kind: 'flows'; readonly deleted: number; readonly ms: number }
  | { readonly kind: 'pass'; readonly full: boolean; readonly ms: number }
  | { readonly kind: 'conflict'; readonly reservation: Reservation; readonly pod: PodRef }
  | { readonly kind: 'failure'; readonly operation: string; readonly error: Error }
  | { readonly kind: 'recovered'; readonly operation: string }
  | { readonly kind: 'violation'; readonly invariant: string; readonly detail: string };

export interface Recorder {
  record(event: AgentEvent): void;
}

/** Who is told which mappings are live (the agent's own gRPC service, later the aggregator). */
export interface Registry {
  set(mapping: Mapping): void;
  delete(pod: PodRef, name: string, protocol: Protocol): void;
}

/** Everything the reconcile loop acts on. */
export interface World {
  readonly clock: Clock;
  readonly random: Random;
  readonly source: PodSource;
  /** Absent: the pods do not come from a cluster, and no claim can be known. */
  readonly claims?: ClaimSource;
  readonly datapath: Datapath;
  readonly flows: Flows;
  readonly network: Network;
  readonly reserver: Reserver;
  readonly publisher: Publisher;
  readonly store: StateStore;
  readonly recorder: Recorder;
  readonly registry: Registry;
}
