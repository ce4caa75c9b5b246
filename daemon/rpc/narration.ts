/**
 * What an agent says on one Report stream, message by message: Hello, a snapshot in parts, then what changed since. It holds no
 * queue: it remembers up to which revision of the registry it has told, and takes a new snapshot when that is too long ago.
 */
import type { berth } from '../../proto/service.ts';
import type { LiveMapping } from '../core/livemapping.ts';
import type { ReportedAgent } from '../core/noderecord.ts';
import type { Change, MappingRegistry } from '../core/registry.ts';
import { approximateBytes, toMessage } from './convert.ts';
import { latestOf, stepsOf } from './steps.ts';

type Request = berth.v1.ReportRequest.$Properties;

export interface Narrated {
  readonly registry: MappingRegistry;
  readonly agent: ReportedAgent;
  /** Asked for every NodeStatus, and before changes are told: cheap. */
  addresses(): readonly berth.v1.NodeAddress.$Properties[];
  /** Asked for every NodeStatus alone: what is free is counted. */
  pools(): readonly berth.v1.PoolStatus.$Properties[];
}

/** The aggregator takes messages of at most 1 MiB. */
const MAX_BYTES = 256 * 1024;

export class Narration {
  readonly #of: Narrated;
  #greeted = false;
  #statusDue = false;
  /** The addresses of the node as they were told last, as one text. */
  #addresses = '';
  /** What is left of the snapshot that is being told. */
  #snapshot: { readonly state: readonly LiveMapping[]; next: number; readonly revision: number } | undefined;
  /** Up to which revision it was told; undefined: a snapshot is due. */
  #revision: number | undefined;
  /** The number that the aggregator knows the state by. */
  #told = 0;

  constructor(of: Narrated) {
    this.#of = of;
  }

  /** The aggregator asked for a snapshot. One that is under way is what it asks for: its parts must not begin anew. */
  resync(): void {
    this.#revision = undefined;
  }

  /** A heartbeat is due. */
  heartbeat(): void {
    this.#statusDue = true;
  }

  /** The next message; undefined while there is nothing to say. `upTo`: the revision that may be told of by now. */
  next(upTo: number): Request | undefined {
    if (!this.#greeted) {
      this.#greeted = true;
      const { node, bootID, epoch, version } = this.#of.agent;
      return { hello: { node, bootId: bootID, epoch, version, status: this.#status() } };
    }
    // A mapping is told with the addresses of the node: with the first pod a bridge, say, is none of them any more.
    const changed = this.#revision !== undefined && upTo > this.#revision && this.#haveAddressesChanged();
    if (this.#statusDue || changed) {
      this.#statusDue = false;
      return { status: { ...this.#status(), sequence: this.#revision === undefined ? 0 : this.#told } };
    }
    return this.#revision === undefined ? this.#part() : this.#delta(this.#revision, upTo);
  }

  #status(): berth.v1.NodeStatus.$Properties {
    const addresses = [...this.#of.addresses()];
    this.#addresses = JSON.stringify(addresses);
    return { addresses, pools: [...this.#of.pools()] };
  }

  #haveAddressesChanged(): boolean {
    return JSON.stringify(this.#of.addresses()) !== this.#addresses;
  }

  #part(): Request {
    const { registry } = this.#of;
    this.#snapshot ??= { state: registry.all({}), next: 0, revision: registry.revision };
    const { state, revision } = this.#snapshot;
    const mappings: berth.v1.Mapping.$Properties[] = [];
    for (let bytes = 0; this.#snapshot.next < state.length; this.#snapshot.next += 1) {
      const live = state[this.#snapshot.next] as LiveMapping;
      bytes += approximateBytes(live, []);
      if (mappings.length > 0 && bytes > MAX_BYTES) return { snapshot: { mappings } };
      mappings.push(reported(live));
    }
    this.#snapshot = undefined;
    this.#revision = revision;
    this.#told = revision;
    return { snapshot: { mappings, last: true, sequence: revision } };
  }

  #delta(from: number, upTo: number): Request | undefined {
    if (upTo <= from) return undefined;
    const changes = this.#of.registry.changesSince(from);
    if (changes === undefined) {
      this.resync();
      return this.#part();
    }
    const some = beginningOf(changes.slice(0, upTo - from));
    const sequence = from + some.length;
    this.#revision = sequence;
    const steps = stepsOf(latestOf(some), {});
    // What came and went meanwhile: nobody knows of it.
    if (steps.length === 0) return this.#delta(sequence, upTo);
    const previous = this.#told;
    this.#told = sequence;
    return { delta: { previous, sequence, changes: steps.map(({ kind, live }) => ({ [kind]: reported(live) })) } };
  }
}

/** As many of the changes as one message takes; one at least. Each beginning leads to a state that there was. */
function beginningOf(changes: readonly Change[]): readonly Change[] {
  let bytes = 0;
  const end = changes.findIndex(({ before, after }, index) => {
    bytes += approximateBytes((after ?? before) as LiveMapping, []);
    return index > 0 && bytes > MAX_BYTES;
  });
  return end < 0 ? changes : changes.slice(0, end);
}

/** Hello names the node and its addresses. */
function reported(live: LiveMapping): berth.v1.Mapping.$Properties {
  return { ...toMessage(live, []), node: '', nodeAddresses: [] };
}
