/**
 * What the controller sees of the cluster, and that by what it is looked up. What is seen may be old, each kind of object by its own
 * age: nothing may be decided here that is wrong for good if it is.
 */
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

/** Of a view whose HostPorts are in the order of their numbers. */
export class Index {
  readonly view: ClaimView;
  readonly classes: ReadonlyMap<string, HostPortClass>;
  /** By namespace/name. */
  readonly claims: ReadonlyMap<string, Claim>;
  readonly hostPorts: ReadonlyMap<string, HostPort>;
  /** Those with a number in their name that name this uid, the lowest first. */
  readonly owned: ReadonlyMap<string, readonly HostPort[]>;
  /** Those that are kept for a claim by its namespace/name alone, the lowest first. */
  readonly reserved: ReadonlyMap<string, readonly HostPort[]>;
  /** The claims whose number is that of this HostPort; more than one after somebody used force. */
  readonly tied: ReadonlyMap<string, readonly Claim[]>;

  constructor(view: ClaimView) {
    this.view = view;
    this.classes = new Map(view.classes.map((one) => [one.meta.name, one]));
    this.claims = new Map(view.claims.map((one) => [claimLabel(one.meta), one]));
    this.hostPorts = new Map(view.hostPorts.map((one) => [one.meta.name, one]));
    const numbered = view.hostPorts.filter(({ meta }) => numberOfName(meta.name) !== undefined);
    this.owned = groupBy(numbered, ({ claimRef }) => claimRef?.uid);
    this.reserved = groupBy(numbered, ({ claimRef }) =>
      claimRef === undefined || claimRef.uid !== undefined ? undefined : claimLabel(claimRef),
    );
    this.tied = groupBy(
      view.claims.filter((claim) => isTied(claim)),
      ({ status }) => status.hostPortName,
    );
  }

  /** The claim that the HostPort names by its uid, if it is there. */
  claimOf({ claimRef }: HostPort): Claim | undefined {
    const claim = claimRef && this.claims.get(claimLabel(claimRef));
    return claim !== undefined && claim.meta.uid === claimRef?.uid ? claim : undefined;
  }
}

function groupBy<T>(values: readonly T[], keyOf: (value: T) => string | undefined): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const key = keyOf(value);
    if (key === undefined) continue;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else group.push(value);
  }
  return groups;
}
