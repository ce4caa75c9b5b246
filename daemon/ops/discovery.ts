/**
 * The mappings of the cluster as Prometheus' HTTP service discovery wants them: one target a mapping, with what is known of it in
 * labels. It must never answer with fewer targets than there are only because not every node has been heard: Prometheus forgets
 * what it is not told, and keeps what it has when it is told 503.
 */
import { answeringAddresses } from '../core/answering.ts';
import type { ClusterRegistry } from '../core/cluster.ts';
import type { LiveMapping, MappingFilter } from '../core/livemapping.ts';
import type { NodeAddressType, ReportedAddress } from '../core/noderecord.ts';
import { printable } from '../core/text.ts';
import type { Protocol } from '../core/vocabulary.ts';
import type { Answer } from './http.ts';

export interface DiscoverySource {
  readonly cluster: ClusterRegistry;
  /** Every known node has reported, or was waited for. */
  ready(): boolean;
}

/** Also which parameters there are; a mapping that Prometheus cannot scrape is told only when it is asked for. */
const PARAMETERS = ['namespace', 'pod', 'node', 'pool', 'port', 'protocol'] as const;
const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];
const MAX_TEXT = 253;
const MAX_AT_ONCE = 4;
/** Between two of them other work is done: one is made in about 2 ms. */
const PAGE = 500;

/** As Kubernetes spells them, in the order in which one is chosen to connect to. */
const ADDRESS_TYPES: ReadonlyMap<NodeAddressType, string> = new Map([
  ['internal-ip', 'InternalIP'],
  ['device', 'Device'],
  ['external-ip', 'ExternalIP'],
  ['internal-dns', 'InternalDNS'],
  ['external-dns', 'ExternalDNS'],
  ['hostname', 'Hostname'],
]);
const CONNECTABLE: readonly NodeAddressType[] = ['internal-ip', 'device', 'external-ip'];

export class Discovery {
  readonly #source: DiscoverySource;
  #underWay = 0;

  constructor(source: DiscoverySource) {
    this.#source = source;
  }

  /** The answer to `GET /sd/prometheus?…`. */
  async answer(query: URLSearchParams): Promise<Answer> {
    const filter = filterOf(query);
    if (typeof filter === 'string') return { status: 400, text: `${filter}\n` };
    if (!this.#source.ready()) return unavailable('not every node has been heard yet');
    if (this.#underWay >= MAX_AT_ONCE) return unavailable(`at most ${MAX_AT_ONCE} clients are answered at once`);
    this.#underWay += 1;
    const done = () => {
      this.#underWay -= 1;
    };
    try {
      const parts = this.#parts(filter);
      const first = await parts.next();
      if (!first.done || !this.#mayLack(filter)) {
        return { status: 200, type: 'application/json', text: list(first, parts), done };
      }
      return { ...unavailable('nothing is known, and not every node has been heard'), done };
    } catch (error) {
      done();
      throw error;
    }
  }

  /** Whether nodes that were not heard may have what is asked for. */
  #mayLack({ node }: MappingFilter): boolean {
    const { records, count } = this.#source.cluster;
    if (node !== undefined) return records.get(node)?.sequence === undefined;
    return count.heard === 0 || count.heard < count.known;
  }

  /** Targets in JSON, some at a time, without the brackets around them all. */
  async *#parts(filter: MappingFilter): AsyncGenerator<string, undefined> {
    const { cluster } = this.#source;
    let after = '';
    for (;;) {
      const { items, next } = cluster.mappings.page(filter, after, PAGE);
      const targets = items.flatMap((live) => targetOf(live, cluster.records.get(live.node)?.status.addresses ?? []));
      if (targets.length > 0) yield targets.map((target) => JSON.stringify(target)).join(',\n');
      if (next === undefined) return undefined;
      after = next;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

async function* list(first: IteratorResult<string, undefined>, rest: AsyncIterable<string>) {
  yield '[';
  if (!first.done) yield first.value;
  for await (const part of rest) yield `,\n${part}`;
  yield ']\n';
}

function unavailable(why: string): Answer {
  return { status: 503, text: `${why}: ask again\n` };
}

/** What is wrong with it, where something is: a filter that is not understood must not become one for everything. */
function filterOf(query: URLSearchParams): MappingFilter | string {
  const given = new Map<string, string>();
  for (const [name, value] of query) {
    const shown = printable(name, 64);
    if (!(PARAMETERS as readonly string[]).includes(name)) {
      return `there is no parameter ${shown}: there are ${PARAMETERS.join(', ')}`;
    }
    if (given.has(name)) return `${shown} is given twice`;
    if (value === '' || value.length > MAX_TEXT || value.includes('\0')) {
      return `${shown} must have 1 to ${MAX_TEXT} characters`;
    }
    given.set(name, value);
  }
  const { port: name, protocol: written = 'TCP', ...others } = Object.fromEntries(given);
  const protocol = PROTOCOLS.find((one) => one === written.toUpperCase());
  if (protocol === undefined) return `protocol must be one of ${PROTOCOLS.join(', ')}`;
  return { ...others, protocol, ...(name === undefined ? {} : { name }) };
}

interface Target {
  readonly targets: readonly [string];
  readonly labels: Readonly<Record<string, string>>;
}

/** None when no address is known at which it answers. */
function targetOf(live: LiveMapping, addresses: readonly ReportedAddress[]): readonly Target[] {
  const { node, mapping, stale } = live;
  const ofType = (type: NodeAddressType) => addresses.filter((one) => one.type === type).map(({ address }) => address);
  const [address] = answeringAddresses(live, CONNECTABLE.flatMap(ofType));
  if (address === undefined) return [];
  const labels: Record<string, string> = {
    namespace: mapping.pod.namespace,
    pod: mapping.pod.name,
    pod_uid: mapping.pod.uid,
    pod_ip: mapping.podIPs[0] ?? '',
    port_name: mapping.name,
    protocol: mapping.protocol,
    host_port: `${mapping.hostPort}`,
    end_port: `${mapping.hostPort + mapping.size - 1}`,
    container_port: `${mapping.containerPort}`,
    host_ip: mapping.hostIP ?? '',
    node,
    pool: mapping.pool,
    stale: `${stale === true}`,
  };
  for (const [type, name] of ADDRESS_TYPES) {
    const [first] = ofType(type);
    if (first !== undefined) labels[`node_address_${name}`] = first;
  }
  const host = address.includes(':') ? `[${address}]` : address;
  const told = Object.entries(labels).filter(([, value]) => value !== '');
  return [
    {
      targets: [`${host}:${mapping.hostPort}`],
      labels: Object.fromEntries(told.map(([name, value]) => [`__meta_berth_${name}`, value])),
    },
  ];
}
