/**
 * A node with its agent, in memory, for the stories of the reconciler: every adapter is the double that ships with it, time
 * is virtual, and `steps` tells in which order the agent acted. Nothing happens but in `start`, `settle`, `advance` and `stop`.
 */
import { setImmediate } from 'node:timers/promises';
import { PROMISE_PREFIX } from '../../daemon/core/annotation.ts';
import type { PoolConfig } from '../../daemon/core/pool.ts';
import type { Grant } from '../../daemon/core/state.ts';
import type { Mapping, NodeAddress, Pod, PodResult } from '../../daemon/core/vocabulary.ts';
import { DatapathDouble, RulesetDouble } from '../../daemon/datapath/datapath.double.ts';
import { FlowsDouble } from '../../daemon/datapath/flows.double.ts';
import { NetworkDouble } from '../../daemon/datapath/network.double.ts';
import { ClaimsDouble } from '../../daemon/kube/claims.double.ts';
import { PublisherDouble } from '../../daemon/kube/publisher.double.ts';
import { PodSourceDouble } from '../../daemon/kube/source.double.ts';
import { StateFileDouble } from '../../daemon/ops/statefile.double.ts';
import { Loop } from '../../daemon/reconcile/loop.ts';
import type { AgentEvent, World } from '../../daemon/reconcile/ports.ts';
import { ReserverDouble } from '../../daemon/reserve/reserver.double.ts';
import type { Element } from '../../rules/element.ts';
import { type PortSpec, podOf } from '../core/pods.ts';
import { VirtualTime } from '../simulate/virtualtime.ts';

export const HOME: readonly NodeAddress[] = [
  { family: 4, address: '192.0.2.10', device: 'eth0' },
  { family: 6, address: '2001:db8::10', device: 'eth0' },
];

/** Ten numbers, unless the test says otherwise. */
export function poolOf(fields: Partial<PoolConfig> = {}): PoolConfig {
  const ranges = [{ first: 20_000, last: 20_009 }];
  return { name: 'default', ranges, maxPortsPerPod: 64, quarantineMs: 60_000, ...fields };
}

/** Pod `games/server-<index>` with uid `uid-<index>` and address `10.0.0.<index>`; asks for its one port, web (80/TCP). */
export function server(
  index: number,
  more: Partial<Pod> = {},
  ports: readonly PortSpec[] = [{ name: 'web', containerPort: 80 }],
): Pod {
  return podOf({ 'berth.dev/ports': '' }, ports, {
    name: `server-${index}`,
    uid: `uid-${index}`,
    podIPs: [`10.0.0.${index}`],
    createdAt: index,
    ...more,
  });
}

/** The same, with its port claimed and nothing else asked for; not ready. */
export function claimant(index: number, more: Partial<Pod> = {}, claim = 'lobby'): Pod {
  return server(index, { annotations: { 'claim.berth.dev/web': claim }, ...more });
}

export class Rig {
  readonly time = new VirtualTime();
  readonly source = new PodSourceDouble();
  readonly claims = new ClaimsDouble();
  readonly ruleset = new RulesetDouble();
  readonly flows = new FlowsDouble();
  readonly network = new NetworkDouble();
  readonly reserver = new ReserverDouble();
  readonly publisher = new PublisherDouble();
  readonly store = new StateFileDouble();
  /** What the agent did, in this order. */
  readonly steps: string[] = [];
  readonly events: AgentEvent[] = [];
  readonly announced = new Map<string, Mapping>();
  pools: readonly PoolConfig[] = [poolOf()];
  labels: Readonly<Record<string, string>> = {};
  /** The agent serves static hostPorts itself. */
  servesStatics = false;
  random: () => number = () => 0;
  /** What the agent writes comes back to it at once, as from an API server without any delay: one more pass. */
  echoes = true;
  /** Puts something between the agent and its world. */
  wrap: (world: World) => World = (world) => world;
  /** Of the agent that runs, or ran last. */
  datapath = new DatapathDouble(this.ruleset);
  #loop: Loop | undefined;
  #stop = new AbortController();
  #ran: Promise<void> = Promise.resolve();
  #ended = true;

  constructor() {
    this.network.setAddresses(HOME);
    this.publisher.onWrite = (pod, result) => {
      this.steps.push(`tell ${pod.name}: ${resultText(result)}`);
      if (this.echoes) this.source.annotate(pod, result.annotations);
    };
  }

  get loop(): Loop {
    if (this.#loop === undefined) throw new Error('no agent was started');
    return this.#loop;
  }

  /** The agent has ended after `stop`. */
  get ended(): boolean {
    return this.#ended;
  }

  /** A new life of the agent; what it found of the node stays as it is. */
  async start(): Promise<void> {
    this.#stop = new AbortController();
    this.datapath = new DatapathDouble(this.ruleset);
    this.announced.clear();
    const statics = this.servesStatics ? { staticHostPorts: { nodePorts: { first: 30_000, last: 32_767 } } } : {};
    const options = { labels: this.labels, pools: this.pools, fullPassMs: 60_000, ...statics };
    this.#loop = new Loop(this.wrap(this.#world()), options);
    this.#ended = false;
    this.#ran = this.#loop.run(this.#stop.signal).then(() => {
      this.#ended = true;
    });
    await this.settle();
  }

  /** SIGTERM; resolves when everything that can happen at this moment has happened. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.settle();
    if (this.#ended) await this.#ran;
  }

  /** Stops the agent, closes its sockets as the kernel does, and starts another. */
  async restart(): Promise<void> {
    await this.stop();
    this.reserver.crash();
    await this.start();
  }

  /** Everything that happens without any time passing has happened. */
  async settle(): Promise<void> {
    // A turn of Node's loop runs every promise that is due, and those that these make due.
    await setImmediate();
  }

  /** So many ms pass. */
  async advance(ms: number): Promise<void> {
    const end = this.time.now + ms;
    await this.settle();
    while (this.time.step(end)) await this.settle();
  }

  /** The pod appears or changes, and everything that follows at this moment follows. */
  async set(...pods: readonly Pod[]): Promise<void> {
    for (const pod of pods) this.source.set(pod);
    await this.settle();
  }

  async delete(pod: Pod): Promise<void> {
    this.source.delete(pod.namespace, pod.name);
    await this.settle();
  }

  /** Every number as `server-0/web TCP 20000`, in the order of the ledger. */
  grants(): readonly string[] {
    return [...this.loop.reconciler.ledger.grants()].map(grantText);
  }

  /** The first host port of the pod's first port; undefined when it has none. */
  number(pod: Pod): number | undefined {
    return [...this.loop.reconciler.ledger.grantsOf(pod.uid).values()][0]?.hostPort;
  }

  /** What is announced, as `server-0/web TCP 20000`. */
  live(): readonly string[] {
    return [...this.announced.values()].map((mapping) => grantText({ ...mapping, pod: mapping.pod.name })).sort();
  }

  /** The mappings in the kernel, as `tcp . 20000 : 10.0.0.1 . 80`. */
  rules(): readonly string[] {
    return this.ruleset
      .elements()
      .filter(isRule)
      .map(({ key, value }) => `${key} : ${value}`)
      .sort();
  }

  told(pod: Pod): PodResult | undefined {
    return this.publisher.results.get(pod.uid);
  }

  /** The reason of the pod's condition. */
  reason(pod: Pod): string | undefined {
    return this.told(pod)?.condition?.reason;
  }

  /** The reasons of the Events on the pod. */
  said(pod: Pod): readonly string[] {
    return (this.publisher.events.get(pod.uid) ?? []).map(({ reason }) => reason);
  }

  /** What was recorded of one kind. */
  recorded<K extends AgentEvent['kind']>(kind: K): readonly Extract<AgentEvent, { readonly kind: K }>[] {
    return this.events.filter((event): event is Extract<AgentEvent, { readonly kind: K }> => event.kind === kind);
  }

  /** The steps since the last call. */
  takeSteps(): readonly string[] {
    return this.steps.splice(0);
  }

  #world(): World {
    const { time, source, claims, flows, network, reserver, publisher, store, datapath } = this;
    return {
      clock: { now: () => time.wall, monotonic: () => time.now, after: (ms, callback) => time.after(ms, callback) },
      random: () => this.random(),
      source,
      claims,
      network,
      datapath: {
        read: () => datapath.read(),
        apply: async (change) => {
          await datapath.apply(change);
          const added = change.add.filter(isRule).length;
          const removed = change.remove.filter(isRule).length;
          this.steps.push(`rules +${added} -${removed}`);
        },
        watch: (onForeignChange, signal) => datapath.watch(onForeignChange, signal),
      },
      flows: {
        purge: async (ports, disagrees) => {
          const deleted = await flows.purge(ports, disagrees);
          this.steps.push(`purge ${deleted}`);
          return deleted;
        },
      },
      reserver: {
        reserve: (reservation) => {
          const outcome = reserver.reserve(reservation);
          this.steps.push(`reserve ${reservation.protocol} ${reservation.port}: ${outcome.kind}`);
          return outcome;
        },
        release: (reservation) => {
          reserver.release(reservation);
          this.steps.push(`release ${reservation.protocol} ${reservation.port}`);
        },
        held: () => reserver.held(),
      },
      publisher,
      store: {
        load: () => store.load(),
        save: async (state) => {
          await store.save(state);
          this.steps.push('state file');
        },
      },
      recorder: { record: (event) => this.events.push(event) },
      registry: {
        set: (mapping) => {
          this.steps.push(`announce ${mapping.pod.name}/${mapping.name}`);
          this.announced.set(`${mapping.pod.uid}/${mapping.name}/${mapping.protocol}`, mapping);
        },
        delete: (pod, name, protocol) => {
          this.steps.push(`unannounce ${pod.name}/${name}`);
          this.announced.delete(`${pod.uid}/${name}/${protocol}`);
        },
      },
    };
  }
}

/** The element leads to a pod. */
export function isRule({ set, value }: Element): boolean {
  return value !== '' && /^(any|host)/.test(set);
}

function grantText({
  pod,
  name,
  protocol,
  hostPort,
  size,
}: Pick<Grant, 'pod' | 'name' | 'protocol' | 'hostPort' | 'size'>) {
  return `${pod}/${name} ${protocol} ${hostPort}${size === 1 ? '' : `-${hostPort + size - 1}`}`;
}

function resultText({ annotations, condition }: PodResult): string {
  const promised = Object.entries(annotations).filter(([key]) => key.startsWith(PROMISE_PREFIX));
  return [
    condition?.reason ?? 'nothing',
    ...promised.map(([key, value]) => `${key.slice(PROMISE_PREFIX.length)}=${value}`),
  ].join(' ');
}
