/** Numbers that somebody else uses too: each is told, once while it lasts, to every pod that it concerns. */
import type { Ledger } from '../core/ledger.ts';
import type { PortRange } from '../core/pool.ts';
import type { Grant } from '../core/state.ts';
import type { Pod } from '../core/vocabulary.ts';
import type { Announcer } from './announcer.ts';
import { amongPools } from './claimdemand.ts';
import type { Demand } from './demand.ts';
import type { PodSet } from './podset.ts';
import { amongNodePorts } from './staticdemand.ts';
import { conflictMessage, conflictsOf, type Statics } from './statics.ts';

/** Berth serves the static hostPorts of all pods itself; absent where that is left to another program. */
export interface StaticHostPorts {
  /** Where Services get their NodePorts. */
  readonly nodePorts: PortRange;
}

export class Conflicts {
  readonly #pods: PodSet;
  readonly #ledger: Ledger;
  readonly #announcer: Announcer;
  readonly #served: StaticHostPorts | undefined;

  constructor(pods: PodSet, ledger: Ledger, announcer: Announcer, served: StaticHostPorts | undefined) {
    this.#pods = pods;
    this.#ledger = ledger;
    this.#announcer = announcer;
    this.#served = served;
  }

  /** Once a pass. `taken`: grants whose numbers other processes of the node hold. */
  report(statics: Statics, demands: Iterable<Demand>, taken: Iterable<Grant>): void {
    for (const conflict of conflictsOf(statics, this.#ledger)) {
      const message = conflictMessage(conflict);
      // Where it is served, that it cannot be is a problem of the pod's, and told as such.
      if (this.#served === undefined) this.#warn(conflict.pod, message);
      this.#warn(this.#pods.get(conflict.grant.uid), message);
    }
    const pools = this.#ledger.pools();
    for (const { pod, claims = [], statics: own = [] } of demands) {
      const misplaced = this.#served === undefined ? [] : amongNodePorts(own, this.#served.nodePorts);
      for (const message of [...misplaced, ...amongPools(claims, pools)]) this.#warn(pod, message);
    }
    for (const grant of taken) {
      const message = `another process on the node holds host port ${grant.hostPort}/${grant.protocol} (port "${grant.name}"); the mapping stays and the reservation is tried again`;
      this.#warn(this.#pods.get(grant.uid), message);
    }
    this.#announcer.endWarnings();
  }

  #warn(pod: Pod | undefined, message: string): void {
    if (pod === undefined) return;
    this.#announcer.warn(pod, `${pod.uid}/${message}`, { type: 'Warning', reason: 'PortConflict', message });
  }
}
