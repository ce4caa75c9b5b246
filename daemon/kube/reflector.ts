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
import { type ApiPod, decodeApiPod, labelOf, newer, nodeOf } from './apipod.ts';
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
  /** By uid: what was answered and not yet heard of. A watch cache that is behind tells of earlier revisions after that. */
  readonly #answered = new Map<string, ApiPod>();

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
      listed: (objects: readonly unknown[]) => {
        const pods = objects.flatMap((one) => decoded(one, observer) ?? []);
        const uids = new Set(pods.map(({ uid }) => uid));
        for (const uid of this.#answered.keys()) if (!uids.has(uid)) this.#answered.delete(uid);
        observer.listed(pods.map((pod) => this.#newest(pod)));
      },
      changed: (object: unknown) => {
        const pod = decoded(object, observer);
        if (pod !== undefined && this.#newest(pod) === pod) observer.changed(pod);
      },
      deleted: (object: unknown) => {
        const pod = decoded(object, observer);
        if (pod === undefined) return;
        this.#answered.delete(pod.uid);
        observer.deleted({ namespace: pod.namespace, name: pod.name, uid: pod.uid });
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
      return nodeOf(object) === this.#options.node ? this.#answer(decodeApiPod(object)) : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async list(): Promise<readonly Pod[]> {
    const { items } = await this.#pods.fetch('now');
    return items.map((item) => this.#answer(decodeApiPod(item)));
  }

  #answer(pod: ApiPod): ApiPod {
    this.#answered.set(pod.uid, pod);
    return pod;
  }

  /** What was answered before, where this is older. */
  #newest(pod: ApiPod): ApiPod {
    const newest = newer(this.#answered.get(pod.uid) ?? pod, pod);
    if (newest === pod) this.#answered.delete(pod.uid);
    return newest;
  }
}

function decoded(object: unknown, observer: PodObserver): ApiPod | undefined {
  try {
    return decodeApiPod(object);
  } catch (error) {
    const why = printable(`pod ${labelOf(object)}: ${messageOf(error)}`, 512);
    observer.failed(new BerthError('PODS_UNREADABLE', why, { cause: error }));
    return undefined;
  }
}
