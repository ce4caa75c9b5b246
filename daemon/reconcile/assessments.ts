/** What every pod of the node wants in this pass. */
import { type Ledger, portKey } from '../core/ledger.ts';
import { isActive } from '../core/podstate.ts';
import type { PoolConfig } from '../core/pool.ts';
import type { Grant } from '../core/state.ts';
import type { Pod, Problem } from '../core/vocabulary.ts';
import { identify, type Origin } from './adoption.ts';
import { type Assessment, Assessor, asksFor, type Demand, hindranceOf, partsOf } from './demand.ts';
import type { NodeView } from './place.ts';

const NOTHING: Assessment = { kind: 'none' };
const NOWHERE: Origin = { pool: '' };

export class Assessments {
  readonly #ledger: Ledger;
  readonly #node: Omit<NodeView, 'addresses' | 'isNodeAddress'>;
  #assessor = new Assessor(new Map(), { labels: {}, addresses: [], isNodeAddress: () => false });

  constructor(ledger: Ledger, node: Omit<NodeView, 'addresses' | 'isNodeAddress'>) {
    this.#ledger = ledger;
    this.#node = node;
  }

  /** The demands of the active pods, by uid; what is wrong with the others goes to `problems`. */
  demands(
    pods: readonly Pod[],
    pools: ReadonlyMap<string, PoolConfig>,
    { addresses, isNodeAddress }: Pick<NodeView, 'addresses' | 'isNodeAddress'>,
    problems: Map<string, Problem>,
  ): ReadonlyMap<string, Demand> {
    // Whenever the node's addresses are read anew they are another object.
    if (this.#assessor.pools !== pools || this.#assessor.node.addresses !== addresses) {
      this.#assessor = new Assessor(pools, { ...this.#node, addresses, isNodeAddress });
    }
    const demands = new Map<string, Demand>();
    for (const pod of pods) {
      const assessment = isActive(pod) ? this.#assessor.assess(pod, this.#heldAddress(pod)) : NOTHING;
      identify(this.#ledger, pod, (grant) => (assessment.kind === 'wanted' ? originFor(assessment, grant) : NOWHERE));
      if (assessment.kind === 'problem') problems.set(pod.uid, assessment.problem);
      if (assessment.kind !== 'wanted') continue;
      demands.set(pod.uid, assessment);
      const hindrance = hindranceOf(assessment);
      if (hindrance !== undefined) problems.set(pod.uid, hindrance);
    }
    return demands;
  }

  /** The address at which the pod has what it asks for. That of a static host port is the port's own. */
  #heldAddress(pod: Pod): string | undefined {
    for (const [key, { hostIP }] of this.#ledger.grantsOf(pod.uid)) {
      if (hostIP !== undefined && asksFor(pod, key)) return hostIP;
    }
    return undefined;
  }
}

/** Pool and claim of the part of the demand to which a grant without them belongs: by its port. */
function originFor(demand: Demand, grant: Grant): Origin {
  const key = portKey(grant);
  const [, ...others] = partsOf(demand);
  const owner = others.find(({ request }) => request.requests.some((one) => portKey(one) === key)) ?? demand;
  return { pool: owner.request.pool, ...(owner.claim === undefined ? {} : { claim: owner.claim }) };
}
