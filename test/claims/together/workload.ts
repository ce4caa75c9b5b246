/** What the owners of pods do with them. */
import type { SeededRandom } from '../../simulate/random.ts';
import { NAMESPACES, type People } from '../people.ts';
import type { Reach } from '../replicas.ts';
import { claimPath, type Rig, type Thing } from '../rig.ts';
import type { History, PodFacts } from './history.ts';
import type { Host } from './host.ts';
import { type Kubelets, PORTS } from './kubelets.ts';
import { mapped } from './telljudge.ts';

const SETS = '/apis/apps/v1/namespaces/arena/statefulsets';
/** So many live at a time. */
const MAX_PODS = 14;

export interface WorkloadOptions {
  readonly rig: Rig;
  readonly people: People;
  readonly reach: Reach;
  readonly history: History;
  readonly hosts: readonly Host[];
  readonly kubelets: Kubelets;
}

export class Workload {
  readonly #options: WorkloadOptions;
  readonly #random: SeededRandom;
  readonly #kubelets: Kubelets;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#random = options.rig.random;
    this.#kubelets = options.kubelets;
  }

  actions(): readonly (readonly [number, () => void])[] {
    return [
      [14, () => this.#create()],
      [12, () => this.#roll()],
      [3, () => this.#abandon()],
      [8, () => this.#flap()],
      [5, () => this.#onPod('a pod is deleted', (pod) => this.#kubelets.delete(pod))],
      [2, () => this.#onPod('a pod is deleted at once', (pod) => this.#kubelets.force(pod))],
      [
        3,
        () =>
          this.#onPod('a pod ends', (pod) =>
            this.#kubelets.status(pod.uid, { phase: this.#random.pick(['Succeeded', 'Failed']) }),
          ),
      ],
      [4, () => this.#onPod('a pod comes again on another node', (pod) => this.#move(pod))],
      [2, () => this.#statefulSet()],
    ];
  }

  /** One that starts, gets ready or ends does so. */
  get #living(): readonly PodFacts[] {
    return [...this.#options.history.pods.values()].filter(({ active }) => active);
  }

  get #mapped(): readonly PodFacts[] {
    return this.#living.filter((pod) => mapped(pod).length > 0);
  }

  #host(): Host {
    return this.#random.pick(this.#options.hosts);
  }

  #onPod(what: string, act: (pod: PodFacts) => void): void {
    const pods = this.#living;
    if (pods.length > 0) this.#options.reach(what, act(this.#random.pick(pods)));
  }

  /** Mostly one that has its number. */
  #flap(): void {
    const pods = this.#living;
    const those = this.#mapped.length > 0 && this.#random.chance(0.7) ? this.#mapped : pods;
    if (those.length === 0) return;
    const { uid, ready } = this.#random.pick(those);
    this.#options.reach('a pod is ready or not', this.#kubelets.setReady(uid, !ready));
  }

  #create(): void {
    const { reach, people } = this.#options;
    const random = this.#random;
    if (this.#living.length >= MAX_PODS) return;
    const namespace = random.pick(NAMESPACES);
    const claims = [this.#someClaim(namespace), ...(random.chance(0.2) ? [this.#someClaim(namespace)] : [])];
    const missing = claims.some((name) => this.#options.history.claimNamed(namespace, name) === undefined);
    const name = random.chance(0.5) ? `pod-${random.integer(1, 6)}` : `pod-${people.fresh()}`;
    const annotations = Object.fromEntries(
      [...new Set(claims)].map((claim, index) => [`claim.berth.dev/${PORTS[index]}`, claim]),
    );
    if (this.#kubelets.make({ namespace, name, annotations, host: this.#host() }) && missing)
      reach('a pod names a claim that is not there', undefined);
  }

  #someClaim(namespace: string): string {
    const claims = this.#options.rig.claims().filter(({ metadata }) => metadata.namespace === namespace);
    if (claims.length === 0 || this.#random.chance(0.15)) return `claim-${this.#random.integer(1, 4)}`;
    return this.#random.pick(claims).metadata.name;
  }

  /** As a Deployment does it: the next pod is made, gets ready in a while, and then the old one is deleted. */
  #roll(): void {
    const { reach, people, rig, hosts } = this.#options;
    const pods = this.#living.filter(({ object }) => object.metadata.ownerReferences === undefined);
    if (pods.length === 0 || this.#living.length >= MAX_PODS) return;
    const bound = pods.filter((pod) => mapped(pod).length > 0);
    const old = this.#random.pick(bound.length > 0 ? bound : pods);
    const name = `next-${people.fresh()}`;
    const here = this.#random.chance(0.7) ? hosts.find((one) => one.name === old.node) : undefined;
    const host = here ?? this.#host();
    const annotations = requestOf(old);
    if (!this.#kubelets.make({ namespace: old.namespace, name, annotations, host })) return;
    if (host.name === old.node) reach('two pods of one claim on one node', undefined);
    const { uid } = rig.server.get('pods', `${old.namespace}/${name}`)?.metadata ?? {};
    const ready = this.#random.between(0, 9_000);
    rig.time.after(ready, () => this.#kubelets.setReady(`${uid}`, true));
    // Some stay as they are: two of one claim.
    if (this.#random.chance(0.7))
      rig.time.after(ready + this.#random.between(0, 4_000), () => this.#kubelets.delete(old));
  }

  /** Of its owner: a node is drained, and the pod comes again elsewhere under its name. */
  #move(pod: PodFacts): void {
    const { rig, hosts } = this.#options;
    const others = hosts.filter(({ name }) => name !== pod.node);
    const again = () => {
      const { namespace, name } = pod;
      const owner = pod.object.metadata.ownerReferences?.[0];
      this.#kubelets.make({
        ...{ namespace, name, annotations: requestOf(pod), host: this.#random.pick(others) },
        ...(owner && { owner }),
      });
    };
    if (this.#random.chance(0.5)) this.#kubelets.force(pod);
    else this.#kubelets.delete(pod);
    if (pod.active) rig.time.after(this.#random.between(0, 15_000), again);
    else again();
  }

  /** A node is lost with a pod on it. Its owner gives the pod up and the claim back, and somebody else gets the number. */
  #abandon(): void {
    const { rig, reach, hosts, people } = this.#options;
    const left = this.#mapped;
    if (left.length === 0) return;
    const pod = this.#random.pick(left);
    const { namespace } = pod;
    const host = hosts.find(({ name }) => name === pod.node) as Host;
    host.ground.weather.apiDownUntil = rig.time.now + this.#random.between(5_000, 60_000);
    if (this.#random.chance(0.3)) host.life?.kill('for good, nearly');
    for (const claim of new Set(pod.claims.values())) {
      if (rig.claim(namespace, claim) !== undefined) rig.ask('DELETE', claimPath(namespace, claim));
    }
    rig.time.after(this.#random.between(0, 2_000), () => this.#kubelets.force(pod));
    const name = this.#random.chance(0.5) ? `claim-${this.#random.integer(1, 4)}` : `claim-${people.fresh()}`;
    const spec = { hostPortClassName: 'games' };
    if (rig.claim(namespace, name) === undefined) rig.createClaim(namespace, name, spec);
    const annotations = { 'claim.berth.dev/web': name };
    for (const other of hosts)
      this.#kubelets.make({ namespace, name: `heir-${people.fresh()}`, annotations, host: other });
    reach('a lost node has a pod that is given up', undefined);
  }

  #statefulSet(): void {
    const { rig, reach } = this.#options;
    const annotations = { 'claim-template.berth.dev/web': 'games' };
    const set: Thing = rig.server.get('statefulsets', 'arena/set');
    if (set === undefined) {
      const spec = { replicas: 2, template: { metadata: { annotations } } };
      rig.ask('POST', SETS, { metadata: { name: 'set' }, spec });
      return;
    }
    const owner = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'set', uid: set.metadata.uid, controller: true };
    const name = `set-${this.#random.integer(0, 1)}`;
    if (this.#kubelets.make({ namespace: 'arena', name, annotations, owner, host: this.#host() }))
      reach('a pod of a StatefulSet has a claim of its own', undefined);
  }
}

/** What the pod asks for, without what was written to it. */
function requestOf({ object }: PodFacts): Readonly<Record<string, string>> {
  const annotations = Object.entries<string>(object.metadata.annotations);
  return Object.fromEntries(annotations.filter(([key]) => key.startsWith('claim')));
}
