/** What the doctor's judgements go by: everything that was looked up about a node, a pod and its ports. Types only. */
import type { HostFacts, Seen } from '../../core/diagnosis.ts';
import type { Flow } from '../../core/flow.ts';
import type { PodAddresses } from '../../core/podstate.ts';
import type { PortRange } from '../../core/pool.ts';
import type { AgentState, Grant } from '../../core/state.ts';
import type { Mapping, NodeAddress, Pod, PortRequest } from '../../core/vocabulary.ts';
import type { Assessment } from '../../reconcile/demand.ts';

/** An element of the table, by its texts. */
export interface Line {
  readonly set: string;
  readonly key: string;
  readonly value: string;
}

/** What should stand in the table, held against what stands there. */
export interface Comparison {
  readonly wanted: readonly Line[];
  /** Wanted, and not there in this form. */
  readonly missing: readonly Line[];
  /** There under the key of one that is missing, with another value or for another pod. */
  readonly instead: readonly Line[];
}

/** A mapping as the agent tells it. */
export interface Announced {
  readonly podUID: string;
  readonly name: string;
  readonly protocol: string;
  readonly hostPort: number;
  readonly hostIP?: string;
  readonly podIPs: readonly string[];
}

export type AgentAnswer =
  | { readonly kind: 'answers'; readonly mappings: readonly Announced[] }
  | { readonly kind: 'silent'; readonly why: string }
  | { readonly kind: 'unseen'; readonly why: string };

export interface ProcessName {
  readonly pid: number;
  /** Empty when it cannot be read. */
  readonly name: string;
}

export interface LockFacts {
  /** The process that holds the lock; absent: nobody does. */
  readonly holder?: ProcessName;
  /** The file exists. */
  readonly exists: boolean;
}

export interface StateFacts {
  /** Undefined when there is no file, or nothing of it can be used. */
  readonly state: AgentState | undefined;
  /** What is wrong with it. */
  readonly problem?: string;
}

export interface NodeFacts {
  readonly socket: string;
  readonly stateDir: string;
  readonly addresses: Seen<readonly NodeAddress[]>;
  /** Undefined: there is no table. Otherwise in what it is other than the skeleton, empty when in nothing. */
  readonly table: Seen<string | undefined>;
  /** The sets of the node's addresses. */
  readonly nodeSets: Seen<Comparison>;
  readonly answer: AgentAnswer;
  readonly lock: Seen<LockFacts>;
  readonly state: Seen<StateFacts>;
  /** Sockets that the process with the lock has open. */
  readonly sockets: Seen<number>;
  readonly host: HostFacts;
  /** Numbers of the pools that the kernel may choose as ephemeral ports. */
  readonly unprotected: Seen<readonly PortRange[]>;
}

/** Who has a host port. */
export type Holder =
  | { readonly kind: 'agent' }
  /** A socket that only keeps the number, as the agent's do; of whom is not shown by the kernel. */
  | { readonly kind: 'bound' }
  | { readonly kind: 'process'; readonly process?: ProcessName }
  | { readonly kind: 'nobody' };

/** Where the number of a port is written down. */
export type NumberSource = 'state file' | 'agent' | 'kernel';

export interface GivenNumber {
  readonly grant: Grant;
  readonly source: NumberSource;
  /** With the pod's addresses, as the rules have to have it. */
  readonly mapping: Mapping;
}

export type Listening = 'answers' | 'refuses' | 'is silent' | 'is unreachable';

export interface ListenFacts {
  readonly podIP: string;
  readonly port: number;
  readonly listening: Listening;
}

/** One port that the pod asks for. What depends on its number is undefined while it has none. */
export interface PortFacts {
  readonly request: PortRequest;
  readonly number: GivenNumber | undefined;
  readonly holder: Seen<Holder> | undefined;
  readonly rule: Seen<Comparison> | undefined;
  /** Flows to this number that disagree with the mapping. */
  readonly flows: Seen<readonly Flow[]> | undefined;
  /** Absent for what cannot be tried. */
  readonly listening: readonly ListenFacts[];
}

export interface WayFacts {
  readonly podIP: string;
  /** Undefined: no route. `leadsToPods`: a device of a kind behind which pods are. */
  readonly way: Seen<
    { readonly device: string; readonly leadsToPods: boolean; readonly routeLocalnet: boolean } | undefined
  >;
}

/** Where the pod is written down, and where the agent tells it what it got. */
export type PodPlace =
  | { readonly kind: 'cluster' }
  | {
      readonly kind: 'directory';
      readonly directory: string;
      /** The file; absent: it was moved or removed meanwhile. */
      readonly manifest?: string;
      /** Absent: the agent has written nothing for a pod of this name. */
      readonly status?: string;
    };

export interface PodFacts {
  readonly pod: Pod;
  readonly place: PodPlace;
  readonly assessment: Assessment;
  readonly addresses: PodAddresses;
  /** What the agent last said to the pod. */
  readonly condition: { readonly status: string; readonly reason: string; readonly message: string } | undefined;
  /** The port that was asked about, as it was written; undefined: every port. */
  readonly asked: string | undefined;
  readonly ports: readonly PortFacts[];
  readonly ways: readonly WayFacts[];
}
