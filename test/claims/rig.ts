/**
 * A cluster in memory for the controller of claims: an API server with everything that it watches, replicas of the controller with
 * their own clients over connections in memory, and people who make and delete objects. Time is virtual.
 */
import { ClaimController } from '../../daemon/claims/controller.ts';
import { Election, type Fence } from '../../daemon/claims/election.ts';
import type { ClaimApi, ClaimEvent } from '../../daemon/claims/ports.ts';
import type { NodePool } from '../../daemon/core/claims/view.ts';
import { ApiClient } from '../../daemon/kube/api/client.ts';
import { ObjectsDouble, type ResourceDouble, type StoredObject } from '../../daemon/kube/api/objects.double.ts';
import type { Asked, Reply } from '../../daemon/kube/api/resources.double.ts';
import { type Journey, TransportDouble } from '../../daemon/kube/api/transport.double.ts';
import { ApiLease } from '../../daemon/kube/claims/lease.ts';
import { ClaimObjects } from '../../daemon/kube/claims/objects.ts';
import type { Clock } from '../../daemon/reconcile/ports.ts';
import { SeededRandom } from '../simulate/random.ts';
import { VirtualTime } from '../simulate/virtualtime.ts';

const BERTH = '/apis/berth.dev/v1alpha1';
const OWN = { group: BERTH, status: true } as const;
export const RESOURCES: readonly ResourceDouble[] = [
  { ...OWN, plural: 'hostportclasses', kind: 'HostPortClass', namespaced: false },
  { ...OWN, plural: 'hostportclaims', kind: 'HostPortClaim', namespaced: true },
  { ...OWN, plural: 'hostports', kind: 'HostPort', namespaced: false },
  { group: '/apis/apps/v1', plural: 'statefulsets', kind: 'StatefulSet', namespaced: true, status: true },
  { group: '/api/v1', plural: 'namespaces', kind: 'Namespace', namespaced: false, status: true },
  { group: '/api/v1', plural: 'pods', kind: 'Pod', namespaced: true, status: true },
  { group: '/api/v1', plural: 'events', kind: 'Event', namespaced: true, status: false },
  { group: '/apis/coordination.k8s.io/v1', plural: 'leases', kind: 'Lease', namespaced: true, status: false },
];

/** An object of the API: what a test reads of it is written down where it is read. */
// biome-ignore lint/suspicious/noExplicitAny: the API's objects have no types here
export type Thing = any;

export interface ReplicaOptions {
  /** What becomes of a request. */
  readonly journey?: (asked: Asked) => Journey;
  /** How long a line of a watch takes, in ms. */
  readonly lag?: () => number;
  /** Of its own: then it leads whoever else does. */
  readonly lease?: string;
  /** A bug that is put between the controller and its API. */
  readonly alter?: (api: ClaimApi) => ClaimApi;
  /** Asked before each request is sent: false kills the replica there. */
  readonly survives?: (asked: Asked) => boolean;
}

export class Rig implements AsyncDisposable {
  readonly time = new VirtualTime();
  readonly random: SeededRandom;
  readonly server: ObjectsDouble;
  readonly replicas: Replica[] = [];
  nodePools: readonly NodePool[] | undefined = [];

  constructor(seed = 1) {
    this.random = new SeededRandom(seed);
    this.server = new ObjectsDouble(RESOURCES, () => this.timestamp());
  }

  timestamp(): string {
    return `${new Date(this.time.wall).toISOString().slice(0, 19)}Z`;
  }

  start(name: string, options: ReplicaOptions = {}): Replica {
    const replica = new Replica(this, name, options);
    this.replicas.push(replica);
    return replica;
  }

  /** Runs for so many virtual ms. */
  async run(ms: number): Promise<void> {
    const end = this.time.now + ms;
    await drain();
    while (this.time.step(end)) await drain();
  }

  /** Runs until it holds; throws when it does not within so many virtual ms. */
  async until(holds: () => boolean, ms = 60_000): Promise<void> {
    const end = this.time.now + ms;
    await drain();
    while (!holds()) {
      if (!this.time.step(end)) throw new Error(`it does not hold within ${ms} ms: ${holds}`);
      await drain();
    }
  }

  /** As an administrator. Throws what is refused. */
  ask(method: string, path: string, body: object = {}): Thing {
    const reply: Reply = this.server.answer({ method, path, query: {}, headers: {}, body: body as Asked['body'] });
    if (reply.code >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(reply.body)}`);
    return reply.body;
  }

  createClass(name: string, spec: object): Thing {
    return this.ask('POST', `${BERTH}/hostportclasses`, { metadata: { name }, spec });
  }

  createClaim(namespace: string, name: string, spec: object): Thing {
    return this.ask('POST', claimPath(namespace), { metadata: { name }, spec });
  }

  createHostPort(name: string, spec: object): Thing {
    return this.ask('POST', `${BERTH}/hostports`, { metadata: { name }, spec });
  }

  createNamespace(name: string, labels: Readonly<Record<string, string>> = {}): Thing {
    return this.ask('POST', '/api/v1/namespaces', { metadata: { name, labels } });
  }

  createPod(namespace: string, name: string, annotations: Readonly<Record<string, string>>): Thing {
    const metadata = { name, annotations };
    return this.ask('POST', `/api/v1/namespaces/${namespace}/pods`, { metadata, spec: {} });
  }

  patch(path: string, patch: object): Thing {
    return this.ask('PATCH', path, patch);
  }

  claim(namespace: string, name: string): Thing {
    return this.server.get('hostportclaims', `${namespace}/${name}`);
  }

  hostPort(name: string): Thing {
    return this.server.get('hostports', name);
  }

  class(name: string): Thing {
    return this.server.get('hostportclasses', name);
  }

  claims(): readonly StoredObject[] {
    return this.server.all('hostportclaims');
  }

  hostPorts(): readonly StoredObject[] {
    return this.server.all('hostports');
  }

  phase(namespace: string, name: string): string | undefined {
    return this.claim(namespace, name)?.status?.phase;
  }

  reason(namespace: string, name: string): string | undefined {
    return condition(this.claim(namespace, name), 'Bound')?.reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const replica of this.replicas) replica.kill();
    await drain();
  }
}

/** One process with the controller in it. */
export class Replica {
  readonly name: string;
  readonly events: ClaimEvent[] = [];
  readonly #rig: Rig;
  readonly #end = new AbortController();
  readonly #transport: TransportDouble;
  #alive = true;
  leading = false;
  controller: ClaimController | undefined;
  readonly done: Promise<void>;

  constructor(rig: Rig, name: string, options: ReplicaOptions) {
    this.#rig = rig;
    this.name = name;
    const clock = this.#clock();
    const random = () => rig.random.next();
    const { journey = () => ({ there: 1, back: 1 }), lag = () => 1, survives = () => true } = options;
    this.#transport = new TransportDouble({
      server: rig.server,
      journey: (asked) => {
        if (this.#alive && !survives(asked)) this.kill();
        // What was never sent does not arrive.
        return this.#alive ? journey(asked) : { there: 1, back: 1, fault: { kind: 'silence' } };
      },
      lag,
      arrive: (ms, run) => void rig.time.after(ms, run),
      deliver: (ms, run) => rig.time.after(ms, () => this.#alive && run()),
    });
    const credentials = { server: 'https://10.96.0.1', grant: async () => ({ headers: {}, tls: {} }), rejected() {} };
    const client = new ApiClient({ credentials, clock, userAgent: 'berth-test', transport: this.#transport });
    const lead = async (fence: Fence, signal: AbortSignal) => {
      const api = new ClaimObjects({ client, clock, random, fence, reconnectCapMs: 30_000, signal });
      this.controller = new ClaimController({
        clock,
        random,
        timestamp: () => rig.timestamp(),
        api: options.alter?.(api) ?? api,
        recorder: { record: (event) => this.events.push(event) },
        nodePools: () => rig.nodePools,
      });
      await this.controller.run(signal);
    };
    const election = new Election({
      store: new ApiLease({
        client,
        namespace: 'berth-system',
        name: options.lease ?? 'berth-claims',
        now: () => rig.time.wall,
      }),
      identity: name,
      clock,
      random,
      lead,
      onLeading: (leading) => {
        this.leading = leading;
      },
      onError: (error) => this.events.push({ kind: 'failure', operation: 'lease', error }),
    });
    this.done = election.run(this.#end.signal);
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** It gives the lease back. */
  stop(): Promise<void> {
    this.#end.abort();
    return this.done;
  }

  /** From one moment to the next: nothing is sent any more, and nothing heard. */
  kill(): void {
    this.#alive = false;
    this.leading = false;
    void this.#transport[Symbol.asyncDispose]();
  }

  news(reason: string): readonly string[] {
    return this.events.flatMap((event) =>
      event.kind === 'news' && event.news.reason === reason
        ? [`${event.about.kind} ${event.about.object.meta.name}: ${event.news.message}`]
        : [],
    );
  }

  get failures(): readonly string[] {
    return this.events.flatMap((event) =>
      event.kind === 'failure' ? [`${event.operation}: ${event.error.message}`] : [],
    );
  }

  #clock(): Clock {
    const { time } = this.#rig;
    return {
      now: () => time.wall,
      monotonic: () => time.now,
      after: (ms, run) => time.after(ms, () => this.#alive && run()),
    };
  }
}

export function claimPath(namespace: string, name?: string): string {
  return `${BERTH}/namespaces/${namespace}/hostportclaims${name === undefined ? '' : `/${name}`}`;
}

export function classPath(name: string): string {
  return `${BERTH}/hostportclasses/${name}`;
}

export function hostPortPath(name: string): string {
  return `${BERTH}/hostports/${name}`;
}

export function condition(object: Thing, type: string): Thing {
  return object?.status?.conditions?.find((one: Thing) => one.type === type);
}

function drain(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
