/**
 * What one pod may have here and now: its request held against the policy of its pool and the addresses of the node.
 * Pure: problems are data.
 */
import { GALAXY, PORTS } from '../core/annotation.ts';
import { CLAIM_POOL } from '../core/claim.ts';
import { portKey } from '../core/ledger.ts';
import { claimsPorts, type PodAddresses, podAddresses } from '../core/podstate.ts';
import { type PoolConfig, poolOnNode, requestedPorts } from '../core/pool.ts';
import { parsePodRequest } from '../core/request.ts';
import { type Unit, unitsOf } from '../core/unit.ts';
import { type Pod, type PodRequest, type PortRequest, type Problem, podLabel } from '../core/vocabulary.ts';
import { type NodeView, placeOf } from './place.ts';
import { staticDemands } from './staticdemand.ts';

/** A request that can be understood. Its units may still be refused (`denied`) or wait for an address of the node. */
export interface Demand {
  readonly kind: 'wanted';
  readonly pod: Pod;
  readonly request: PodRequest;
  readonly units: readonly Unit[];
  /** Undefined when the pool does not exist. */
  readonly pool: PoolConfig | undefined;
  /** The node's address that is meant; absent: any address. */
  readonly hostIP?: string;
  /** Why no new number may be given; grants that stand are kept (a live mapping outlives a change of policy). */
  readonly denied?: Problem;
  /** Why nothing may be installed at the moment; it heals. */
  readonly blocked?: Problem;
  /** The pod's addresses, of the family of `hostIP` when there is one. */
  readonly podIPs: readonly string[];
  /** The claim whose number the units get: it is known beforehand, and belongs to one pod of the claim at a time. */
  readonly claim?: string;
  /** It is not known yet whether there is anything to be given; that is heard soon. */
  readonly awaited?: true;
  /** The pod's claims, a demand each; absent when it has none. */
  readonly claims?: readonly Demand[];
  /** The pod's static host ports, a demand each; absent when they are not served. */
  readonly statics?: readonly Demand[];
  /** What is wrong with the pod beside all that stands here. */
  readonly flaw?: Problem;
}

const NONE: readonly Demand[] = [];

/** All that the pod wants: what it asks for in its annotations, then its claims, then its static host ports. */
export function partsOf(demand: Demand): readonly Demand[] {
  return [demand, ...(demand.claims ?? NONE), ...(demand.statics ?? NONE)];
}

/** The same, what is given together or not at all in one list. Claimed numbers first: they are no others. */
export function bundlesOf(demand: Demand): readonly (readonly Demand[])[] {
  const { claims = NONE, statics = NONE } = demand;
  return [[...claims, demand], ...statics.map((one) => [one])];
}

/** How many ports that is. */
export function portCount({ request, claims = NONE, statics = NONE }: Demand): number {
  return claims.reduce((sum, one) => sum + one.request.requests.length, request.requests.length + statics.length);
}

/** What keeps the pod, or the first of its claims and static ports of which that is so, from being mapped at the moment. */
export function hindranceOf({ blocked, flaw, claims = NONE, statics = NONE }: Demand): Problem | undefined {
  const isBlocked = (one: Demand) => one.blocked !== undefined;
  return blocked ?? claims.find(isBlocked)?.blocked ?? flaw ?? statics.find(isBlocked)?.blocked;
}

export type Assessment = { readonly kind: 'none' } | { readonly kind: 'problem'; readonly problem: Problem } | Demand;

type Parsed = ReturnType<typeof parsePodRequest>;
const parsedPods = new WeakMap<Pod, Parsed>();

/** Pods are immutable: the same object is parsed once. */
function parseOnce(pod: Pod): Parsed {
  let parsed = parsedPods.get(pod);
  if (parsed === undefined) {
    parsed = parsePodRequest(pod);
    parsedPods.set(pod, parsed);
  }
  return parsed;
}

/** Whether the pod asks for the port of this key (`portKey`) in its annotations. */
export function asksFor(pod: Pod, key: string): boolean {
  const parsed = parseOnce(pod);
  return parsed.kind === 'ok' && requestsOf(pod).some((request) => portKey(request) === key);
}

/** `assess` for pools and a node that stay as they are: the same pod is assessed once, and its demand stays the same object. */
export class Assessor {
  readonly pools: ReadonlyMap<string, PoolConfig>;
  readonly node: NodeView;
  readonly #known = new WeakMap<Pod, { readonly held: string | undefined; readonly assessment: Assessment }>();

  constructor(pools: ReadonlyMap<string, PoolConfig>, node: NodeView) {
    this.pools = pools;
    this.node = node;
  }

  assess(pod: Pod, held: string | undefined): Assessment {
    const known = this.#known.get(pod);
    if (known !== undefined && known.held === held) return known.assessment;
    const assessment = assess(pod, this.pools, this.node, held);
    this.#known.set(pod, { held, assessment });
    return assessment;
  }
}

/**
 * What the pod may have on this node. `held`: the address of the node at which it has what it asks for already: it keeps that one
 * as long as it may, whichever others come and go (I6). Total.
 */
export function assess(
  pod: Pod,
  pools: ReadonlyMap<string, PoolConfig>,
  node: NodeView,
  held?: string | undefined,
): Assessment {
  const asked = assessAsked(pod, pools, node, held);
  return node.servesStatics === true ? withStatics(asked, pod, node) : asked;
}

/** A mistake in the annotations is no reason to take the ports of the spec away. */
function withStatics(asked: Assessment, pod: Pod, node: NodeView): Assessment {
  const requests = asked.kind === 'wanted' ? requestsOf(pod) : [];
  const { demands: statics, problem } = staticDemands(pod, requests, node);
  if (statics.length === 0 && problem === undefined) return asked;
  const own = asked.kind === 'wanted' ? asked : nothing(pod);
  const flaw = asked.kind === 'problem' ? asked.problem : problem;
  return { ...own, statics, ...(flaw === undefined ? {} : { flaw }) };
}

/** All ports that the pod asks for in its annotations, claimed ones too. */
function requestsOf(pod: Pod): readonly PortRequest[] {
  const parsed = parseOnce(pod);
  return parsed.kind === 'ok' ? parsed.request.requests : [];
}

/** The demand of a pod whose annotations ask for nothing that a pool could give. */
function nothing(pod: Pod): Demand {
  const [listed, galaxy] = [PORTS, GALAXY].map((key) => Object.hasOwn(pod.annotations, key));
  const request = { pool: '', requests: [], berth: listed === true || claimsPorts(pod), galaxy: galaxy === true };
  return { kind: 'wanted', pod, request, units: [], pool: undefined, podIPs: [] };
}

function assessAsked(
  pod: Pod,
  pools: ReadonlyMap<string, PoolConfig>,
  node: NodeView,
  held: string | undefined,
): Assessment {
  const parsed = parseOnce(pod);
  if (parsed.kind !== 'ok') return parsed;
  const addresses = podAddresses(pod, node.isNodeAddress);
  const claims = claimDemands(pod, parsed.request, node, addresses, held);
  const own = parsed.request.requests.filter(({ claim }) => claim === undefined);
  // Of a pod that has nothing but claims no pool has a say in anything.
  if (claims.length > 0 && own.length === 0) return { ...nothing(pod), claims };
  const request = claims.length === 0 ? parsed.request : { ...parsed.request, requests: own };
  const pool = pools.get(request.pool);
  const denied = pool === undefined ? unknownPool(pod, request, pools) : deniedBy(pool, pod, request, node);
  return {
    kind: 'wanted',
    pod,
    request,
    units: unitsOf(request),
    pool,
    ...placeOf(pod, request, pool, node, addresses, held),
    ...(denied === undefined ? {} : { denied }),
    ...(claims.length === 0 ? {} : { claims }),
  };
}

/** A demand for each of the pod's claims. Which number it is, and whose turn it is to have it, is not known here. */
function claimDemands(
  pod: Pod,
  { requests, allowFrom, hostIP }: PodRequest,
  node: NodeView,
  addresses: PodAddresses,
  held: string | undefined,
): readonly Demand[] {
  const claimed = Map.groupBy(requests, ({ claim }) => claim);
  return [...claimed].flatMap(([claim, own]) => {
    if (claim === undefined) return [];
    const request: PodRequest = {
      pool: CLAIM_POOL.name,
      requests: own,
      ...(hostIP === undefined ? {} : { hostIP }),
      ...(allowFrom === undefined ? {} : { allowFrom }),
      berth: false,
      galaxy: false,
    };
    const place = placeOf(pod, request, undefined, node, addresses, held);
    return { kind: 'wanted' as const, pod, request, units: unitsOf(request), pool: CLAIM_POOL, claim, ...place };
  });
}

function unknownPool(pod: Pod, request: PodRequest, pools: ReadonlyMap<string, PoolConfig>): Problem {
  const known = [...pools.keys()].join(', ') || 'none';
  return invalid(pod, `there is no pool "${request.pool}" on this node; set berth.dev/pool to one of: ${known}`);
}

function deniedBy(pool: PoolConfig, pod: Pod, request: PodRequest, node: NodeView): Problem | undefined {
  if (pool.namespaces !== undefined && !pool.namespaces.includes(pod.namespace)) {
    return invalid(
      pod,
      `pool "${pool.name}" may not be used by namespace "${pod.namespace}"; add it to the pool's namespaces or choose another pool with berth.dev/pool`,
    );
  }
  if (!poolOnNode(pool, node.labels)) {
    return invalid(
      pod,
      `pool "${pool.name}" does not exist on this node: its nodeSelector does not match the node's labels; schedule the pod to a node that matches or choose another pool with berth.dev/pool`,
    );
  }
  const ports = requestedPorts(request);
  if (ports > pool.maxPortsPerPod) {
    return invalid(
      pod,
      `the pod asks for ${ports} host ports, pool "${pool.name}" allows ${pool.maxPortsPerPod} a pod; ask for fewer or raise the pool's maxPortsPerPod`,
    );
  }
  return undefined;
}

function invalid(pod: Pod, what: string): Problem {
  return { reason: 'InvalidPortRequest', message: `pod ${podLabel(pod)}: ${what}` };
}
