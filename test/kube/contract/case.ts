/** What is true of every API server that the agent talks to, one statement a case, and where it is tried. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import type { ApiClient } from '../../../daemon/kube/api/client.ts';
import { systemClock } from '../../../daemon/ops/clock.ts';
import type { Account } from '../apiserver/accounts.ts';
import type { Admin, Thing } from '../apiserver/admin.ts';
import { clientAs, type TestServer } from '../apiserver/testserver.ts';
import { type ObjectSpec, podObject } from '../objects.ts';

export interface Case {
  /** A sentence. */
  readonly title: string;
  readonly run: (t: ExecutionContext, at: Place) => Promise<void>;
}

let places = 0;

/** A namespace and a node of its own at a server, so that cases run side by side. */
export class Place implements AsyncDisposable {
  readonly server: TestServer;
  readonly admin: Admin;
  readonly namespace = `shop-${++places}`;
  readonly node = `node-${places}`;
  readonly #clients: ApiClient[] = [];

  private constructor(server: TestServer, admin: Admin) {
    this.server = server;
    this.admin = admin;
  }

  static async make(server: TestServer, admin: Admin): Promise<Place> {
    const place = new Place(server, admin);
    await admin.namespace(place.namespace);
    await admin.node(place.node, { tier: 'edge' });
    return place;
  }

  client(account: Account = 'agent'): ApiClient {
    const client = clientAs(account, this.server, systemClock);
    this.#clients.push(client);
    return client;
  }

  get pods(): string {
    return `/api/v1/namespaces/${this.namespace}/pods`;
  }

  get events(): string {
    return `/api/v1/namespaces/${this.namespace}/events`;
  }

  /** Scheduled to the node of the place unless told otherwise; it has no address yet. The uid is the server's. */
  create(name = 'web', { spec, ...more }: ObjectSpec = {}): Promise<Thing> {
    const { metadata, ...object } = podObject({ name, namespace: this.namespace, ...more });
    const { uid: _ours, ...known } = metadata;
    const containers = object.spec.containers.map((container) => ({ ...container, image: 'server' }));
    const body = { ...object, metadata: known, spec: { nodeName: this.node, containers, ...spec }, status: undefined };
    return this.admin.create(this.pods, body);
  }

  /** As kubelet reports a pod that runs. */
  runs(name = 'web', ip = '10.0.0.7', more: object = {}): Promise<Thing> {
    const conditions = [{ type: 'Ready', status: 'True' }];
    return this.admin.setStatus(this.namespace, name, {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      conditions,
      ...more,
    });
  }

  pod(name = 'web'): Promise<Thing> {
    return this.admin.get(`${this.pods}/${name}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await client[Symbol.asyncDispose]();
  }
}

/** Asks every few ms, so that the server has the processor meanwhile. Throws after half a minute. */
export async function eventually<T>(what: string, ask: () => T | undefined | false | Promise<T | undefined | false>) {
  const end = performance.now() + 30_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`not within 30 s: ${what}`);
    await delay(5);
  }
}

export function conditionOf(pod: Thing, type = 'berth.dev/PortsMapped'): Thing {
  return pod.status.conditions?.find((condition: Thing) => condition.type === type);
}
