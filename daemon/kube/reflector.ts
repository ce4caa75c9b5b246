/**
 * The pods of one node as the API server has them. It never takes a pod for gone because something could not be read, and a pod
 * that cannot be understood hides no other (I8).
 */
import { BerthError, messageOf } from '../core/errors.ts';
import { printable } from '../core/text.ts';
import type { Pod } from '../core/vocabulary.ts';
import type { Clock, PodObserver, PodSource, Random } from '../reconcile/ports.ts';
import { isNotFound } from './api/apierror.ts';
import type { Api } from './api/client.ts';
import { decodeApiPod, labelOf, nodeOf } from './apipod.ts';
import { ListWatch } from './listwatch.ts';

const PODS = '/api/v1/pods';

export interface ReflectorOptions {
  readonly client: Api;
  readonly node: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Longest wait before the API server is asked again, in ms. */
  readonly reconnectCapMs: number;
  /** A watch over which nothing came for so long, in ms, is opened anew. */
  readonly idleMs?: number;
}

export class Reflector implements PodSource {
  readonly #options: ReflectorOptions;
  readonly #pods: ListWatch;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    const { node, ...shared } = options;
    this.#pods = new ListWatch({
      ...shared,
      path: PODS,
      selector: { fieldSelector: `spec.nodeName=${node}` },
      what: 'pods',
    });
  }

  watch(observer: PodObserver, signal: AbortSignal): Promise<void> {
    const told = {
      listed: (objects: readonly unknown[]) => observer.listed(objects.flatMap((one) => decoded(one, observer) ?? [])),
      changed: (object: unknown) => {
        const pod = decoded(object, observer);
        if (pod !== undefined) observer.changed(pod);
      },
      deleted: (object: unknown) => {
        const pod = decoded(object, observer);
        if (pod !== undefined) observer.deleted({ namespace: pod.namespace, name: pod.name, uid: pod.uid });
      },
      failed: (error: BerthError) => observer.failed(error),
    };
    return this.#pods.run(told, signal);
  }

  /** A pod of that name on another node is none of this node's. */
  async get(namespace: string, name: string): Promise<Pod | undefined> {
    try {
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
      const object = await this.#options.client.send({ method: 'GET', path });
      return nodeOf(object) === this.#options.node ? decodeApiPod(object) : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async list(): Promise<readonly Pod[]> {
    const { items } = await this.#pods.fetch('now');
    return items.map(decodeApiPod);
  }
}

function decoded(object: unknown, observer: PodObserver): Pod | undefined {
  try {
    return decodeApiPod(object);
  } catch (error) {
    const why = printable(`pod ${labelOf(object)}: ${messageOf(error)}`, 512);
    observer.failed(new BerthError('PODS_UNREADABLE', why, { cause: error }));
    return undefined;
  }
}
