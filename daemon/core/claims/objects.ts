/**
 * Host ports that are known beforehand, as types: classes, claims, host ports, and the StatefulSets that want claims. As the API
 * server has them, without what nobody here reads. Data only.
 */
import type { PortRange } from '../pool.ts';
import type { Protocol } from '../vocabulary.ts';
import type { LabelSelector } from './selector.ts';

/** On classes, claims and host ports alike: it goes when nothing relies on the object any more. */
export const FINALIZER = 'berth.dev/hostport';

export interface ObjectMeta {
  readonly name: string;
  readonly uid: string;
  /** `metadata.resourceVersion`: a write that names it fails when somebody else was faster. */
  readonly revision: string;
  readonly generation: number;
  /** `metadata.creationTimestamp`. */
  readonly created: string;
  /** It has a deletionTimestamp, which no object loses again. */
  readonly deleting: boolean;
  readonly finalizers: readonly string[];
}

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
  readonly observedGeneration: number;
}

interface ObjectStatus {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
}

export type ReclaimPolicy = 'Delete' | 'Retain';
export type Handover = 'OnReady' | 'OnTerminated';

export interface HostPortClass {
  readonly meta: ObjectMeta;
  /** As they stand there: `first` may be behind `last`, and they may overlap. */
  readonly pools: readonly PortRange[];
  readonly protocols: readonly Protocol[];
  /** Which namespaces may claim; undefined: every one. */
  readonly selector: LabelSelector | undefined;
  readonly claimsPerNamespace: number | undefined;
  readonly reclaimPolicy: ReclaimPolicy;
  readonly handover: Handover;
  readonly status: ClassStatus;
}

export interface ClassStatus extends ObjectStatus {
  readonly ports: number | undefined;
  readonly allocated: number | undefined;
}

export interface ClaimName {
  readonly namespace: string;
  readonly name: string;
}

export interface ClaimRef extends ClaimName {
  /** Undefined: an administrator keeps the host port for whatever claim has that name. */
  readonly uid: string | undefined;
}

export interface Owner {
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

export interface Claim {
  readonly meta: ObjectMeta & ClaimName;
  readonly className: string;
  /** Which host port it wants; empty: any. */
  readonly hostPortName: string;
  /** `metadata.ownerReferences`. */
  readonly owners: readonly Owner[];
  /** `metadata.deletionTimestamp`; empty: it is not being deleted. */
  readonly deletedAt: string;
  readonly status: ClaimStatus;
}

export interface ClaimStatus extends ObjectStatus {
  readonly phase: 'Pending' | 'Bound' | 'Deleting' | undefined;
  /** Once set it never changes: that is the claim's number for as long as it lives, also while its HostPort is lost. */
  readonly hostPortName: string;
  /** The class of that HostPort: the spec may name another one by now. */
  readonly hostPortClassName: string;
  readonly port: number | undefined;
  readonly protocols: readonly Protocol[];
  readonly handover: Handover | undefined;
  /**
   * While it is being deleted: the uids of pods that named it when its phase had become Deleting, and still do. A pod that came later
   * never gets the number, and so never holds it. Undefined: nobody has asked yet, or there are too many to be written down.
   */
  readonly heldBy: readonly string[] | undefined;
}

export interface HostPort {
  readonly meta: ObjectMeta;
  /** Empty: what stands in the object cannot be understood, and it is left alone. */
  readonly className: string;
  readonly claimRef: ClaimRef | undefined;
  readonly status: HostPortStatus;
}

export interface HostPortStatus extends ObjectStatus {
  readonly phase: 'Available' | 'Allocated' | 'Released' | 'Deleting' | undefined;
  readonly port: number | undefined;
}

/** One that asks for claims. */
export interface StatefulSet {
  readonly meta: ObjectMeta & ClaimName;
  /** Of its first pod. */
  readonly start: number;
  readonly replicas: number;
  /** Class by port name, as its template's annotations have it. */
  readonly templates: readonly ClaimTemplate[];
}

export interface ClaimTemplate {
  readonly portName: string;
  readonly className: string;
}

/** Names one revision of one life of an object. */
export interface Target {
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
  readonly revision: string;
  readonly finalizers: readonly string[];
}

export function claimLabel({ namespace, name }: ClaimName): string {
  return `${namespace}/${name}`;
}

/** Its number was promised to it: no other one will ever be. */
export function isTied({ status }: Pick<Claim, 'status'>): boolean {
  return status.hostPortName !== '';
}

export function hasFinalizer({ meta }: { readonly meta: ObjectMeta }): boolean {
  return meta.finalizers.includes(FINALIZER);
}
