/** The pods of a run as objects of an API server in memory: what the agent's reflector and publisher read and write. */
import type { Pod, PodRef, PodResult } from '../../daemon/core/vocabulary.ts';
import { ApiServerDouble } from '../../daemon/kube/api/apiserver.double.ts';
import type { StoredPod } from '../../daemon/kube/api/store.double.ts';
import { type ApiPod, decodeApiPod, isOwned } from '../../daemon/kube/apipod.ts';
import type { Shelf } from './shelf.ts';

export const NODE = 'node-a';

export class ObjectShelf implements Shelf {
  readonly server = new ApiServerDouble();
  /** How far the clock of the API server is ahead of that of the node when both are as they should be, in ms. */
  readonly clockOffset: number;
  readonly #decoded = new WeakMap<object, ApiPod>();
  #pods: readonly ApiPod[] = [];
  #revision = -1;

  constructor(clockOffset: number) {
    this.clockOffset = clockOffset;
  }

  get pods(): readonly ApiPod[] {
    const { store } = this.server;
    if (store.revision !== this.#revision) {
      this.#pods = [...store.pods.values()].map((object) => this.decoded(object));
      this.#revision = store.revision;
    }
    return this.#pods;
  }

  /** An object that was stored once, and need not be any more. */
  decoded(object: object): ApiPod {
    const known = this.#decoded.get(object);
    if (known !== undefined) return known;
    const pod = decodeApiPod(object);
    this.#decoded.set(object, pod);
    return pod;
  }

  set(pod: Pod): void {
    const { store } = this.server;
    const key = keyOf(pod);
    const before = store.pods.get(key);
    const same = before?.metadata.uid === pod.uid;
    if (before !== undefined && !same) store.remove(key);
    store.put(objectOf(pod, same ? before : undefined, this.clockOffset));
  }

  delete(pod: PodRef): void {
    this.server.store.remove(keyOf(pod));
  }

  resultOf(uid: string): PodResult | undefined {
    const pod = this.pods.find((one) => one.uid === uid);
    if (pod === undefined) return undefined;
    const annotations = Object.fromEntries(Object.entries(pod.annotations).filter(([key]) => isOwned(key)));
    if (pod.condition === undefined) return { annotations };
    const { status, reason, message } = pod.condition;
    return { annotations, condition: { status: status === 'True' ? 'True' : 'False', reason, message } };
  }

  forge(pod: Pod, key: string, value: string): void {
    this.set({ ...pod, annotations: { ...pod.annotations, [key]: value } });
  }
}

export function keyOf({ namespace, name }: Omit<PodRef, 'uid'>): string {
  return `${namespace}/${name}`;
}

/** A pod that is stored keeps its conditions and when it was made; a new one is made by the clock of the server. */
function objectOf(pod: Pod, before: StoredPod | undefined, clockOffset: number): object {
  const { namespace, name, uid, annotations, terminating, ended, hostNetwork, phase, podIPs } = pod;
  const createdAt = before === undefined ? timeOf(pod.createdAt + clockOffset) : before.metadata.creationTimestamp;
  const containers = containersOf(pod, false);
  const sidecars = containersOf(pod, true).map((one) => ({ ...one, restartPolicy: 'Always' }));
  const statuses = (ofNames: readonly { readonly name: string }[]) =>
    ofNames.map((one) => ({ name: one.name, state: { terminated: { exitCode: 0 } } }));
  const over = ended && phase !== 'Succeeded' && phase !== 'Failed';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...{ name, namespace, uid, annotations, creationTimestamp: createdAt },
      ...(terminating ? { deletionTimestamp: createdAt } : {}),
    },
    spec: { nodeName: NODE, hostNetwork, containers, initContainers: sidecars },
    status: {
      phase,
      podIP: podIPs[0] ?? '',
      podIPs: podIPs.map((ip) => ({ ip })),
      ...(over ? { containerStatuses: statuses(containers), initContainerStatuses: statuses(sidecars) } : {}),
      conditions: conditionsOf(pod, before),
    },
  };
}

/** What others wrote stays. Whether the containers are ready says the pod. */
function conditionsOf({ ready }: Pod, before: StoredPod | undefined): StoredPod['status']['conditions'] {
  const others = before?.status.conditions ?? [{ type: 'Ready', status: 'True' }];
  const rest = others.filter(({ type }) => type !== 'ContainersReady');
  return ready === true ? [...rest, { type: 'ContainersReady', status: 'True' }] : rest;
}

/** metav1.Time has no fractions of a second. */
function timeOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function containersOf({ ports }: Pod, sidecar: boolean) {
  const own = ports.filter((port) => port.sidecar === sidecar);
  const names = [...new Set(own.map(({ container }) => container))];
  if (names.length === 0 && !sidecar) names.push('app');
  return names.map((name) => ({
    name,
    ports: own
      .filter(({ container }) => container === name)
      .map(({ name: portName, containerPort, protocol, hostPort, hostIP }) => ({
        name: portName,
        ...{ containerPort, protocol, hostPort, hostIP },
      })),
  }));
}
