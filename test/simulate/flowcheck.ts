/** I4 and I6 of the tracked connections: only those that disagree are deleted, and none that disagrees is left behind (I7). */
import type { Flow } from '../../daemon/core/flow.ts';
import type { Reservation } from '../../daemon/core/vocabulary.ts';
import type { Stage } from './stage.ts';
import { destinationOf, ownerOf } from './table.ts';
import { Violation } from './violation.ts';

/** A connection, with what the judge knows of it. */
export interface SimFlow extends Flow {
  /** Who translated it; empty: nobody, or another program. */
  readonly owner: string;
  /** Another program translated it. */
  readonly foreign: boolean;
  /** Whoever could know that it disagrees lost that knowledge, or a foreign rule made it. */
  excused: boolean;
}

export class FlowCheck {
  readonly #stage: Stage;
  /** The last purge failed: what it was to delete may be left. */
  #failed = false;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  starts(): void {
    this.#failed = false;
  }

  purgeFailed(): void {
    this.#failed = true;
  }

  /** `excused`: somebody else changed the table since the agent last looked. `keeps`: it belongs to the former pod of a claim. */
  purged(before: readonly Flow[], after: readonly Flow[], excused: boolean, keeps: (flow: SimFlow) => boolean): void {
    this.#failed = false;
    const { node } = this.#stage;
    const left = new Set(after);
    for (const flow of before.filter(isSimFlow)) {
      if (left.has(flow)) {
        if (!this.#follows(flow) && keeps(flow))
          this.#stage.counts.reached('connection kept by the former pod of a claim');
        continue;
      }
      const what = `a connection ${flow.source} -> ${flow.destination} ${flow.protocol}/${flow.port} that leads to ${flow.replySource}`;
      if (flow.foreign) throw new Violation('I4', `${what}, another program's, was deleted`);
      if (!node.hadAddress(flow.destination)) throw new Violation('I4', `${what}, to another host, was deleted`);
      if (!excused && !flow.excused && (this.#follows(flow) || keeps(flow)))
        throw new Violation('I6', `${what} agrees with the rules and was deleted`);
    }
  }

  /** I7: what a released number leaves behind. */
  released({ protocol, port }: Reservation): void {
    if (this.#failed) return;
    for (const flow of this.#stage.node.flows.flows.filter(isSimFlow)) {
      if (flow.protocol !== protocol || flow.port !== port || flow.owner === '' || flow.excused) continue;
      if (!this.#stage.node.hasAddress(flow.destination) || this.#agrees(flow)) continue;
      throw new Violation('I7', `${protocol}/${port} was released, and a connection still leads to ${flow.owner}`);
    }
  }

  /** The agent that starts cannot know of these grants: their flows are lost to it. */
  adopting(knows: (owner: string, port: number) => boolean): void {
    for (const flow of this.#stage.node.flows.flows.filter(isSimFlow)) {
      if (flow.owner !== '' && !knows(flow.owner, flow.port)) flow.excused = true;
    }
  }

  /** A connection to an address that has left the node is nobody's business, and cannot be known when the address comes back. */
  addressGone(address: string): void {
    for (const flow of this.#stage.node.flows.flows.filter(isSimFlow))
      if (flow.destination === address) flow.excused = true;
  }

  /** What of the connections disagrees with the kernel's rules. */
  disagreeing(): readonly SimFlow[] {
    return this.#stage.node.flows.flows
      .filter(isSimFlow)
      .filter(
        (flow) =>
          !flow.foreign && !flow.excused && this.#stage.node.hasAddress(flow.destination) && !this.#agrees(flow),
      );
  }

  /** It leads where the rules lead, or to the pod that had the number of a claim before. */
  #agrees(flow: SimFlow): boolean {
    return this.#follows(flow) || this.#stage.watcher.claims.mayStay(flow);
  }

  #follows(flow: SimFlow): boolean {
    const { node } = this.#stage;
    const now = destinationOf(flow, node.ruleset.elements(), (address) => node.hasAddress(address));
    return now.address === flow.replySource && now.port === flow.replyPort;
  }
}

function isSimFlow(flow: Flow): flow is SimFlow {
  return 'owner' in flow;
}

/** A connection as the kernel makes it at this moment. */
export function flowNow(
  stage: Stage,
  packet: Pick<Flow, 'protocol' | 'source' | 'sourcePort' | 'destination' | 'port'>,
): SimFlow {
  const { node } = stage;
  const to = destinationOf(packet, node.ruleset.elements(), (address) => node.hasAddress(address));
  return {
    ...packet,
    replySource: to.address,
    replyPort: to.port,
    owner: to.rule === undefined ? '' : ownerOf(to.rule),
    foreign: false,
    excused: to.rule !== undefined && node.isForeign(to.rule.element),
  };
}
