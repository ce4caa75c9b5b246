/** What every pod of the node wants in this pass. */
import { type Ledger, portKey } from '../core/ledger.ts';
import { isActive } from '../core/podstate.ts';
import type { PoolConfig } from '../core/pool.ts';
import type { Grant } from '../core/state.ts';
import type { Pod, Problem } from '../core/vocabulary.ts';
import { identify } from './adoption.ts';
import { type Assessment, Assessor, asksFor, type Demand, hindranceOf, type NodeView } from './demand.ts';

const NOTHING: Assessment = { kind: 'none' };

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
      identify(this.#ledger, pod, (grant) => (assessment.kind === 'wanted' ? poolFor(assessment, grant) : ''));
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

/** The pool of the part of the demand to which a grant without one belongs: by its port. */
function poolFor(demand: Demand, grant: Grant): string {
  const key = portKey(grant);
  const owner = demand.statics?.find(({ request }) => request.requests.some((one) => portKey(one) === key));
  return (owner ?? demand).request.pool;
}
