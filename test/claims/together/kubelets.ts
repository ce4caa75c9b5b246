/** The pods as objects, and what the kubelet of their node says of them. */
import type { Rig, Thing } from '../rig.ts';
import type { History, PodFacts } from './history.ts';
import type { Host } from './host.ts';

/** Holds a pod that is being deleted until its containers have ended, as the grace period does. */
const KUBELET = 'example.com/kubelet';
/** Every pod declares these. */
export const PORTS = ['web', 'tls'] as const;

export interface Making {
  readonly namespace: string;
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly owner?: Thing;
  readonly host: Host;
}

export class Kubelets {
  readonly #rig: Rig;
  readonly #history: History;

  constructor(rig: Rig, history: History) {
    this.#rig = rig;
    this.#history = history;
  }

  /** False: there is one of that name. */
  make({ namespace, name, annotations, owner, host }: Making): boolean {
    const rig = this.#rig;
    if (rig.server.get('pods', `${namespace}/${name}`) !== undefined) return false;
    const ports = PORTS.map((port, index) => ({ name: port, containerPort: 8_080 + index, protocol: 'TCP' }));
    const metadata = { name, annotations, finalizers: [KUBELET], ...(owner && { ownerReferences: [owner] }) };
    const spec = { nodeName: host.name, containers: [{ name: 'app', ports }] };
    const { uid } = rig.ask('POST', `/api/v1/namespaces/${namespace}/pods`, { metadata, spec }).metadata;
    rig.time.after(this.#rig.random.between(0, 2_500), () => this.#run(uid, host));
    if (this.#rig.random.chance(0.7))
      rig.time.after(this.#rig.random.between(0, 9_000), () => this.setReady(uid, true));
    return true;
  }

  #run(uid: string, host: Host): void {
    if (this.#history.pods.get(uid)?.object.status?.podIP !== undefined) return;
    const podIP = host.newAddress();
    this.status(uid, { phase: 'Running', podIP, podIPs: [{ ip: podIP }] });
  }

  /** Who has no address has no container that could be ready. */
  setReady(uid: string, ready: boolean): void {
    const { object } = this.#history.pods.get(uid) ?? {};
    if (object?.status?.podIP === undefined) return;
    const others = (object.status.conditions ?? []).filter((one: Thing) => one.type !== 'ContainersReady');
    const conditions = ready ? [...others, { type: 'ContainersReady', status: 'True' }] : others;
    this.status(uid, { conditions });
  }

  delete(pod: PodFacts): void {
    const rig = this.#rig;
    if (!this.#isThere(pod)) return;
    rig.ask('DELETE', pathOf(pod));
    const over = this.#rig.random.between(0, 8_000);
    rig.time.after(over, () => {
      this.setReady(pod.uid, false);
      this.status(pod.uid, { containerStatuses: [{ name: 'app', state: { terminated: { exitCode: 0 } } }] });
    });
    rig.time.after(over + this.#rig.random.between(0, 2_000), () => {
      if (this.#isThere(this.#history.pods.get(pod.uid))) rig.patch(pathOf(pod), { metadata: { finalizers: null } });
    });
  }

  /** Nobody waits for its node. */
  force(pod: PodFacts): void {
    if (this.#isThere(pod)) this.#rig.server.force('pods', `${pod.namespace}/${pod.name}`);
  }

  status(uid: string, status: object): void {
    const pod = this.#history.pods.get(uid);
    if (this.#isThere(pod)) this.#rig.patch(`${pathOf(pod)}/status`, { status });
  }

  #isThere(pod: PodFacts | undefined): pod is PodFacts {
    if (pod === undefined) return false;
    return this.#rig.server.get('pods', `${pod.namespace}/${pod.name}`)?.metadata.uid === pod.uid;
  }
}

function pathOf({ namespace, name }: PodFacts): string {
  return `/api/v1/namespaces/${namespace}/pods/${name}`;
}
