/**
 * What the controller sees of the cluster, and that by what it is looked up. What is seen may be old, each kind of object by its own
 * age: nothing may be decided here that is wrong for good if it is.
 */
import { append } from '../declared.ts';
import type { PortRange } from '../pool.ts';
import { numberOfName } from './numbers.ts';
import { type Claim, claimLabel, type HostPort, type HostPortClass, isTied, type StatefulSet } from './objects.ts';

/** Which pods use a claim that is being deleted, as the API server answered when its phase was Deleting already. */
export interface Uses {
  /** Some of their names, and how many there are. */
  readonly pods: readonly string[];
  /** All of them. */
  readonly uids: readonly string[];
  readonly count: number;
  /** Monotonic, in ms. */
  readonly at: number;
  /** They are asked about again after so many ms. */
  readonly wait: number;
}

/** Ranges that agents give ports from on nodes, and on which nodes. */
export interface NodePool {
  readonly ranges: readonly PortRange[];
  /** Some of their names, and how many there are. */
  readonly nodes: readonly string[];
  readonly count: number;
}

export interface ClaimView {
  readonly classes: readonly HostPortClass[];
  readonly claims: readonly Claim[];
  readonly hostPorts: readonly HostPort[];
  readonly statefulSets: readonly StatefulSet[];
  /** Labels by name. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** By uid of the claim. */
  readonly uses: ReadonlyMap<string, Uses>;
  /** Undefined while not every node has told its pools. */
  readonly nodePools: readonly NodePool[] | undefined;
}

/** Of a view whose HostPorts are in the order of their numbers. Empty until it is filled. */
export class Index {
  readonly view: ClaimView;
  readonly classes = new Map<string, HostPortClass>();
  /** By namespace/name. */
  readonly claims = new Map<string, Claim>();
  readonly hostPorts = new Map<string, HostPort>();
  /** Those with a number in their name that name this uid, the lowest first. */
  readonly owned = new Map<string, HostPort[]>();
  /** Those that are kept for a claim by its namespace/name alone, the lowest first. */
  readonly reserved = new Map<string, HostPort[]>();
  /** The claims whose number is that of this HostPort; more than one after somebody used force. */
  readonly tied = new Map<string, Claim[]>();

  constructor(view: ClaimView) {
    this.view = view;
  }

  *fill(): Generator<void, void> {
    for (const found of this.view.classes) this.classes.set(found.meta.name, found);
    for (const claim of this.view.claims) {
      this.claims.set(claimLabel(claim.meta), claim);
      if (isTied(claim)) append(this.tied, claim.status.hostPortName, claim);
      yield;
    }
    for (const hostPort of this.view.hostPorts) {
      this.#put(hostPort);
      yield;
    }
  }

  #put(hostPort: HostPort): void {
    const { meta, claimRef } = hostPort;
    this.hostPorts.set(meta.name, hostPort);
    if (claimRef === undefined || numberOfName(meta.name) === undefined) return;
    if (claimRef.uid === undefined) append(this.reserved, claimLabel(claimRef), hostPort);
    else append(this.owned, claimRef.uid, hostPort);
  }

  /** The claim that the HostPort names by its uid, if it is there. */
  claimOf({ claimRef }: HostPort): Claim | undefined {
    const claim = claimRef && this.claims.get(claimLabel(claimRef));
    return claim !== undefined && claim.meta.uid === claimRef?.uid ? claim : undefined;
  }
}
