/**
 * The demands of a pod for the numbers of its claims, held against what is known of these: which number it is, or why there is
 * none. Pure: problems are data.
 */
import { type ClaimKnowledge, type Handover, sameClaim } from '../core/claim.ts';
import type { Ledger } from '../core/ledger.ts';
import { formatRanges, type PoolConfig, poolHolds } from '../core/pool.ts';
import { STATIC_POOL } from '../core/staticports.ts';
import { printable, quoted } from '../core/text.ts';
import type { Unit } from '../core/unit.ts';
import { type Problem, type Protocol, podLabel } from '../core/vocabulary.ts';
import type { Demand } from './demand.ts';

interface Resolved {
  readonly knowledge: ClaimKnowledge;
  readonly remembered: number | undefined;
  readonly waits: boolean;
  readonly demand: Demand;
}

const resolved = new WeakMap<Demand, Resolved>();

/**
 * The demand with the claim's number. `remembered`: the number that some pod of the claim has on this node; what is given counts
 * while nobody answers (I6: the number of a bound claim never changes). `waits`: what is known is older than the pod. The same
 * object as long as the same is known.
 */
export function resolveClaim(
  demand: Demand,
  knowledge: ClaimKnowledge,
  remembered: number | undefined,
  waits: boolean,
): Demand {
  const known = resolved.get(demand);
  const isSame = known?.knowledge === knowledge && known.remembered === remembered && known.waits === waits;
  if (known !== undefined && isSame) return known.demand;
  const outcome = outcomeOf(demand, knowledge, remembered);
  const result = {
    ...demand,
    ...outcome,
    ...(waits && outcome.denied === undefined ? { awaited: true as const } : {}),
  };
  resolved.set(demand, { knowledge, remembered, waits, demand: result });
  return result;
}

function outcomeOf(
  demand: Demand,
  knowledge: ClaimKnowledge,
  remembered: number | undefined,
): Partial<Pick<Demand, 'units' | 'denied' | 'awaited'>> {
  switch (knowledge.kind) {
    case 'bound': {
      const units = numbered(demand, knowledge.port);
      const missing = demand.units
        .flatMap(({ protocols }) => protocols)
        .find((one) => !knowledge.protocols.includes(one));
      if (missing === undefined) return { units };
      const has = knowledge.protocols.join(' and ');
      const what = `is for ${has}, and ${portsOf(demand)} needs ${missing}; claim the port from a class with this protocol`;
      return { units, denied: problem(demand, 'InvalidPortRequest', what) };
    }
    case 'pending':
      return {
        ...(remembered === undefined ? {} : { units: numbered(demand, remembered) }),
        denied: problem(demand, 'ClaimPending', `has no host port yet: ${knowledge.message}`),
      };
    case 'unsupported': {
      const remedy = 'remove the annotation, or run the agent with --pods kubernetes';
      return { denied: problem(demand, 'InvalidPortRequest', `cannot be read: claims need Kubernetes; ${remedy}`) };
    }
    case 'unreachable':
      if (remembered !== undefined) return { units: numbered(demand, remembered) };
      return { denied: problem(demand, 'ClaimPending', `cannot be read: ${knowledge.message}; it is asked for again`) };
    case 'unasked':
      return remembered === undefined ? { awaited: true } : { units: numbered(demand, remembered) };
  }
}

/** When the number moves on. While nobody answers it does not. */
export function handoverOf(knowledge: ClaimKnowledge): Handover {
  return knowledge.kind === 'bound' ? knowledge.handover : 'OnTerminated';
}

/** The claim's number; undefined when it is not known. */
export function numberOf({ units: [unit] }: Demand): number | undefined {
  return unit?.exact;
}

/** Nothing stands in the way of the demand but other pods. */
export function isOpen({ denied, awaited, blocked }: Demand): boolean {
  return denied === undefined && awaited === undefined && blocked === undefined;
}

/** Why the claim's number cannot be had now. `unavailable`: no socket could be made or bound, for this reason. */
export function claimProblem(
  demand: Demand,
  { exact: port = 0, protocols }: Unit,
  ledger: Ledger,
  isStatic: (protocol: Protocol, port: number) => boolean,
  unavailable: string | undefined,
): Problem {
  const { pod, hostIP, claim = '' } = demand;
  const conflict = (why: string) =>
    problem(demand, 'PortConflict', `has host port ${port}/${protocols.join('+')}, ${why}`);
  if (unavailable !== undefined) return conflict(`which cannot be reserved: ${unavailable}; it is tried again`);
  for (const protocol of protocols) {
    const holder = ledger.holder(protocol, port, hostIP);
    if (holder === undefined || sameClaim(holder, { namespace: pod.namespace, claim })) continue;
    const whose = `pod ${holder.namespace}/${holder.pod} (port "${holder.name}", pool ${quoted(holder.pool)})`;
    const remedy =
      holder.pool === STATIC_POOL.name
        ? 'static hostPorts out of the pools of classes'
        : "the class's pools and those of the nodes apart";
    return conflict(`which ${whose} has on this node: it is mapped when that one has ended; keep ${remedy}`);
  }
  if (protocols.some((protocol) => isStatic(protocol, port)))
    return conflict(
      'which a pod of the node names as a static hostPort: it is mapped when that one has ended; keep static hostPorts out of the pools of classes',
    );
  return conflict('which another process on the node holds: it is mapped when that lets go of it');
}

/** What is to be said of claims whose number lies in a pool of the node: it is served all the same. */
export function amongPools(claims: readonly Demand[], pools: readonly PoolConfig[]): readonly string[] {
  return claims.flatMap((demand) => {
    const port = numberOf(demand);
    const pool = port === undefined ? undefined : pools.find((one) => poolHolds(one, port, 1));
    if (pool === undefined) return [];
    return `host port ${port} of claim ${quoted(demand.claim ?? '')} lies in pool "${pool.name}" (${formatRanges(pool.ranges)}) of the node, where any pod may have it before: keep the pools of classes and those of the nodes apart`;
  });
}

function numbered({ units }: Demand, exact: number): readonly Unit[] {
  return units.map((unit) => ({ ...unit, exact }));
}

function portsOf({ request }: Demand): string {
  return `port ${[...new Set(request.requests.map(({ name }) => quoted(name)))].join(' and ')}`;
}

function problem(demand: Demand, reason: Problem['reason'], what: string): Problem {
  const { pod, claim = '' } = demand;
  const where = `pod ${podLabel(pod)}: ${portsOf(demand)}: claim ${quoted(`${pod.namespace}/${claim}`)}`;
  return { reason, message: printable(`${where} ${what}`, 1024) };
}
