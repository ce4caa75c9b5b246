/**
 * What the API server has had of pods and claims, kept from its changes and from nothing that the product makes of them: which
 * pod may have which number.
 */
import type { StoredObject } from '../../../daemon/kube/api/objects.double.ts';
import type { Rig, Thing } from '../rig.ts';

/** One life of a pod. Revisions are those of the API server. */
export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  /** By port. */
  readonly claims: ReadonlyMap<string, string>;
  readonly madeAt: number;
  readonly created: string;
  /** It may have mappings: it is there, and neither over nor, while it is being deleted, without a running container. */
  active: boolean;
  terminating: boolean;
  ready: boolean;
  /** As it is, or was last. */
  object: Thing;
}

/** One life of a claim. */
export interface ClaimFacts {
  /** Namespace and name. */
  readonly key: string;
  readonly uid: string;
  number: number | undefined;
  deletedAt: number | undefined;
  goneAt: number | undefined;
  /** The virtual time at which it last said OnReady. */
  onReadyUntil: number;
  onReady: boolean;
}

export class History {
  readonly pods = new Map<string, PodFacts>();
  readonly claims = new Map<string, ClaimFacts>();
  readonly #rig: Rig;

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  /** To be told of every change of the API server, before anybody judges it. */
  note(type: string, plural: string, object: StoredObject): void {
    if (plural === 'pods') this.#notePod(type, object);
    if (plural === 'hostportclaims') this.#noteClaim(type, object);
  }

  /**
   * The claim by which the pod may have this number at the port. A claim that is being deleted gives its number to no pod that came
   * later. A pod that lives holds up the end of its claim: until it has ended nobody else can have the number.
   */
  rightOf(pod: PodFacts, port: string, number: number): ClaimFacts | undefined {
    const key = `${pod.namespace}/${pod.claims.get(port)}`;
    return [...this.claims.values()].findLast(
      (claim) =>
        claim.key === key &&
        claim.number === number &&
        !isBefore(claim.deletedAt, pod.madeAt) &&
        !isBefore(claim.goneAt, pod.active ? Number.POSITIVE_INFINITY : pod.madeAt),
    );
  }

  /** Whose the number is now. */
  ownerOf(number: number): ClaimFacts | undefined {
    return [...this.claims.values()].find((claim) => claim.number === number && claim.goneAt === undefined);
  }

  /** The claim of this name that is there. */
  claimNamed(namespace: string, name: string | undefined): ClaimFacts | undefined {
    const key = `${namespace}/${name}`;
    return [...this.claims.values()].find((claim) => claim.key === key && claim.goneAt === undefined);
  }

  #notePod(type: string, object: Thing): void {
    const { uid, namespace, name, annotations = {}, resourceVersion, creationTimestamp } = object.metadata;
    const known = this.pods.get(uid);
    const facts: PodFacts = known ?? {
      ...{ namespace, name, uid, node: object.spec.nodeName },
      claims: claimsOf(name, annotations),
      madeAt: Number(resourceVersion),
      created: creationTimestamp,
      ...{ active: true, terminating: false, ready: false, object },
    };
    facts.object = object;
    facts.active = type !== 'DELETED' && isActive(object);
    facts.terminating = object.metadata.deletionTimestamp !== undefined;
    facts.ready = object.status?.conditions?.some((one: Thing) => one.type === 'ContainersReady') === true;
    this.pods.set(uid, facts);
  }

  #noteClaim(type: string, { metadata, status }: Thing): void {
    const { uid, namespace, name, resourceVersion, deletionTimestamp } = metadata;
    const facts: ClaimFacts = this.claims.get(uid) ?? {
      ...{ key: `${namespace}/${name}`, uid, number: undefined, deletedAt: undefined, goneAt: undefined },
      ...{ onReady: false, onReadyUntil: Number.NEGATIVE_INFINITY },
    };
    this.claims.set(uid, facts);
    if (status?.hostPortName !== undefined) facts.number = Number(status.hostPortName.slice(3));
    if (deletionTimestamp !== undefined) facts.deletedAt ??= Number(resourceVersion);
    if (type === 'DELETED') facts.goneAt = Number(resourceVersion);
    const onReady = status?.handover === 'OnReady';
    if (facts.onReady || onReady) facts.onReadyUntil = this.#rig.time.now;
    facts.onReady = onReady;
  }
}

function isBefore(at: number | undefined, end: number): boolean {
  return at !== undefined && at < end;
}

function claimsOf(pod: string, annotations: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  const claims = new Map<string, string>();
  for (const [key, value] of Object.entries(annotations)) {
    const [group, port = ''] = key.split('/');
    if (group === 'claim.berth.dev') claims.set(port, value);
    if (group === 'claim-template.berth.dev') claims.set(port, `${port}-${pod}`);
  }
  return claims;
}

function isActive({ metadata, status }: Thing): boolean {
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return false;
  const ended = status?.containerStatuses?.every((one: Thing) => one.state?.terminated !== undefined) === true;
  return metadata.deletionTimestamp === undefined || !ended;
}
